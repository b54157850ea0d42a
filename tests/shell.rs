//! Completions, manual pages and the generated pages of docs/ are those of the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

fn plumb(args: &[&str]) -> String {
    let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    let output = command.env_clear().args(args).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_takes_the_completions() {
    let script = plumb(&["completions", "bash"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    let ask =
        r#"source "$1"; COMP_WORDS=(plumb sc); COMP_CWORD=1; _plumb plumb sc plumb; echo "${COMPREPLY[*]}""#;
    let mut bash = Command::new("bash");
    let output =
        bash.args(["--norc", "-c", ask, "bash"]).arg(file.path()).assert().success().get_output().clone();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "scan");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(plumb(&["completions", shell]).contains("keep-mode"), "{shell}");
    }
}

#[test]
fn each_verb_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("man1");
    plumb(&["man", folder.to_str().unwrap()]);
    let help = plumb(&["--help"]);
    let verbs =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> = verbs.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(verbs.contains(&"scan") && verbs.contains(&"man") && !verbs.contains(&"reference"), "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help" && *verb == verb.to_lowercase()) {
        let page = folder.join(format!("plumb-{verb}.1"));
        // Lines of help that are wrapped do not name a verb.
        if plumb(&["help"]).contains(&format!("\n  {verb} ")) && page.exists() {
            assert!(fs::read_to_string(page).unwrap().contains(".SH NAME"), "{verb}");
        }
    }
    for page in ["plumb.1", "plumb-scan.1", "plumb-import.1", "plumb-import-vpa.1"] {
        assert!(folder.join(page).is_file(), "{page}");
    }
    assert!(!folder.join("plumb-reference.1").exists());
}

/// Each command of a page that begins with `plumb`, in a block, names a verb and options that there are.
#[test]
fn what_the_pages_tell_to_type_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|page| page.extension().is_some_and(|end| end == "md"));
    let mut seen = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        // Every second part is between fences.
        for block in text.split("```").skip(1).step_by(2) {
            let commands = block.lines().map(|line| line.trim().trim_start_matches("$ "));
            for command in commands.filter_map(|line| line.strip_prefix("plumb ")) {
                let command = command.split(['#', '|', '>']).next().unwrap();
                let mut words = command.split_whitespace();
                let verb = words.next().unwrap();
                if !verb.chars().all(|c| c.is_ascii_lowercase()) {
                    continue; // What a command says of itself.
                }
                let help = match verb {
                    "import" => plumb(&["import", "vpa", "--help"]),
                    _ => plumb(&[verb, "--help"]),
                };
                for option in words.filter(|word| word.starts_with("--")) {
                    let option = option.split('=').next().unwrap();
                    assert!(help.contains(option), "{}: plumb {verb} has no {option}", page.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 10, "{seen} options were looked for");
}

#[test]
fn exit_codes_are_in_the_help_and_documented() {
    assert!(plumb(&["--help"]).contains("Exit codes: 0 "));
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).unwrap();
    assert!(docs.contains("| 2 | wrong flags or values"));
}

#[test]
fn output_means_the_same_everywhere() {
    for verb in [&["backtest"][..], &["demo"], &["doctor"], &["explain"], &["scan"], &["import", "vpa"]] {
        let help = plumb(&[verb, &["-h"]].concat());
        let line = help.lines().find(|line| line.contains("-o, --output")).unwrap_or_default();
        let rest = help.split("-o, --output").nth(1).unwrap_or_default();
        for word in ["table", "json", "yaml"] {
            assert!(rest.contains(word), "{verb:?} has no -o {word}: {line}");
        }
    }
}

#[test]
fn the_policy_reference_is_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    plumb(&["reference", dir.path().to_str().unwrap()]);
    let page = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for name in ["policy.md", "metrics.md"] {
        assert!(page(&docs, name) == page(dir.path(), name), "docs/{name} is old: run `make reference`");
    }
    let made = page(dir.path(), "policy.md");
    for said in [
        "| `actuation.cooldown` | string | `\"10m\"` |",
        "`Recommend`, `Auto`",
        "minAllowed.cpu must not be above",
    ] {
        assert!(made.contains(said), "{said} is not in it");
    }
}
