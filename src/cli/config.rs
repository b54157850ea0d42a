//! Where options come from: flags before the environment, before the file that `--config` names, before defaults.
//!
//! What the file says becomes the default of the option of the same name, so that clap judges values from a file just
//! as it does those of a flag, and no option has to be named twice.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use serde::Deserialize;

use super::Cli;

/// A configuration is a few lines; what is longer is some other file.
const MAX_BYTES: u64 = 256 * 1024;

/// A value in the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Setting {
    Switch(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    List(Vec<String>),
}

/// Reads arguments and environment, and the file where one is named.
pub(super) fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let command = named_as_called(Cli::command(), arguments.first().map(OsString::as_os_str));
    let mut matches = command.clone().try_get_matches_from(arguments)?;
    let file = matches.subcommand().and_then(|(verb, matches)| {
        let file = matches.try_get_one::<PathBuf>("config").ok().flatten()?;
        Some((verb.to_owned(), file.clone()))
    });
    if let Some((verb, file)) = file {
        let refuse = |why: String| {
            command.clone().error(ErrorKind::InvalidValue, format!("{}: {why}", file.display()))
        };
        let settings = read(&file).map_err(refuse)?;
        let with_file = apply(command.clone(), &verb, settings).map_err(refuse)?;
        // Without the file it was well: what is wrong now is in the file.
        matches = with_file.try_get_matches_from(arguments).map_err(|error| {
            let whole = error.to_string();
            let first = whole.lines().next().unwrap_or_default();
            refuse(first.trim_start_matches("error: ").to_owned())
        })?;
    }
    Cli::from_arg_matches(&matches)
}

/// kubectl runs `kubectl-plumb` for `kubectl plumb`; help then says it as the person did.
fn named_as_called(command: Command, called: Option<&OsStr>) -> Command {
    let name = called.map(Path::new).and_then(Path::file_stem);
    if name == Some(OsStr::new("kubectl-plumb")) { command.bin_name("kubectl plumb") } else { command }
}

fn read(file: &Path) -> Result<BTreeMap<String, Setting>, String> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_string(&mut text));
    opened.map_err(|error| format!("cannot read it: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes, which no configuration is"));
    }
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_saphyr::from_str(&text).map_err(|error| {
        let whole = error.to_string();
        let first = whole.lines().next().unwrap_or_default().to_owned();
        format!("not a map of options to values: {first}")
    })
}

/// The command with each setting as the default of its option.
fn apply(command: Command, verb: &str, settings: BTreeMap<String, Setting>) -> Result<Command, String> {
    let mut verb_command = command.find_subcommand(verb).cloned().ok_or_else(|| format!("no verb {verb}"))?;
    for (name, setting) in settings {
        let option = verb_command.get_arguments().find(|option| option.get_long() == Some(&name));
        let Some(option) = option.filter(|option| option.get_id() != "config").cloned() else {
            return Err(format!("{name} is no option; `plumb {verb} --help` lists them"));
        };
        let values = values(&option, setting).map_err(|why| format!("{name}: {why}"))?;
        verb_command = verb_command.mut_arg(option.get_id(), |option| option.default_values(values));
    }
    Ok(command.mut_subcommand(verb, |_| verb_command))
}

fn values(option: &Arg, setting: Setting) -> Result<Vec<String>, &'static str> {
    let is_switch = matches!(option.get_action(), ArgAction::SetTrue);
    let takes_many = matches!(option.get_action(), ArgAction::Append);
    match setting {
        Setting::Switch(value) if is_switch => Ok(vec![value.to_string()]),
        _ if is_switch => Err("true or false is meant"),
        Setting::List(values) if takes_many => Ok(values),
        Setting::List(_) => Err("one value is meant, not a list"),
        Setting::Switch(value) => Ok(vec![value.to_string()]),
        Setting::Whole(value) => Ok(vec![value.to_string()]),
        Setting::Number(value) => Ok(vec![value.to_string()]),
        Setting::Text(value) => Ok(vec![value]),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn parse_with(text: &str, more: &[&str]) -> Result<String, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let arguments =
            ["plumb", "run", "--config", path].into_iter().chain(more.iter().copied()).map(OsString::from);
        match parse(&arguments.collect::<Vec<_>>()) {
            Ok(cli) => Ok(format!("{:?}", cli.command)),
            Err(error) => Err(error.to_string().replace(path, "FILE")),
        }
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let text = "interval: 2m\nwrites-per-second: 7\nno-container-metrics: true\nprice-core-hour: 0.5\n\
                    roles: [recommender]\n";
        let args = parse_with(text, &[]).unwrap();
        for said in ["seconds: 120", "writes_per_second: 7", "no_container_metrics: true", "core_hour: 0.5"] {
            assert!(args.contains(said), "{said} in {args}");
        }
        let args = parse_with(text, &["--interval", "45s"]).unwrap();
        assert!(args.contains("seconds: 45") && args.contains("writes_per_second: 7"), "{args}");
        assert!(parse_with("", &[]).unwrap().contains("writes_per_second: 50"));
    }

    #[test]
    fn what_the_file_has_wrong_is_named() {
        let refused = |text| parse_with(text, &[]).unwrap_err();
        assert!(refused("intervall: 2m").contains("FILE: intervall is no option"));
        assert!(refused("config: other.yaml").contains("config is no option"));
        assert!(refused("interval: soon").contains("FILE: invalid value 'soon' for '--interval"));
        assert!(refused("interval: [1m, 2m]").contains("interval: one value is meant"));
        assert!(refused("no-container-metrics: 1").contains("true or false"));
        assert!(refused("- 1").contains("not a map"));
        assert!(refused("interval: 1m\ninterval: 2m").contains("FILE"));
        let gone = parse(&["plumb", "run", "--config", "/no/such"].map(OsString::from)).unwrap_err();
        assert!(gone.to_string().contains("/no/such: cannot read it"));
    }

    #[test]
    fn as_a_plugin_help_names_kubectl() {
        let help = parse(&["/bin/kubectl-plumb", "--help"].map(OsString::from)).unwrap_err().to_string();
        assert!(help.contains("Usage: kubectl plumb"), "{help}");
    }
}
