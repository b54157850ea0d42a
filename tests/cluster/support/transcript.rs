//! Commands as a person would type them, and what came of them, as Markdown.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::cluster::{Context, Output};
use super::paths;

/// What was said and done so far.
pub struct Transcript<'a> {
    context: &'a Context,
    text: String,
}

impl<'a> Transcript<'a> {
    pub fn new(context: &'a Context) -> Self {
        Self { context, text: String::new() }
    }

    /// Words between two commands.
    pub fn say(&mut self, words: &str) {
        self.text.push_str(words);
        self.text.push_str("\n\n");
    }

    /// Runs a command, which must end well, and writes it down with its answer. Words are parted by spaces; quotes are only
    /// for who copies it into a shell.
    pub async fn run(&mut self, command: &str) -> Result<String> {
        let said = self.ask(command).await?.ok().with_context(|| command.to_owned())?;
        // Tables are filled up with spaces.
        let lines: Vec<&str> = said.trim_end().lines().map(str::trim_end).collect();
        self.text.push_str(&format!("```\n$ {command}\n{}\n```\n\n", lines.join("\n")));
        Ok(said)
    }

    /// Runs a command, and writes nothing down.
    pub async fn ask(&self, command: &str) -> Result<Output> {
        let mut words = command.split(' ');
        let program = match words.next() {
            Some("helm") => paths::shared_program("helm"),
            Some("kubectl") => paths::kubernetes_program("kubectl"),
            Some("plumb") => paths::plumb(),
            Some("cat") => PathBuf::from("/bin/cat"),
            other => anyhow::bail!("{other:?} is no command of a transcript"),
        };
        let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
        self.context.run(&program, &self.context.kubeconfig(), &words).await
    }

    /// The commands of a transcript, in their order.
    pub fn commands(text: &str) -> Vec<&str> {
        text.lines().filter(|line| line.starts_with("$ ")).collect()
    }

    /// Writes it to the file that the variable names, or holds against the file that is kept: the commands must be the
    /// same, what they answer differs from run to run.
    pub fn keep(self, variable: &str, kept: &str) -> Result<()> {
        let text = format!("{}\n", self.text.trim_end());
        if let Some(file) = std::env::var_os(variable) {
            return Ok(std::fs::write(file, text)?);
        }
        let old = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + kept)
            .with_context(|| kept.to_owned())?;
        ensure!(
            Self::commands(&old) == Self::commands(&text),
            "{kept} tells of other commands than are run: `make worked-example` writes it anew"
        );
        Ok(())
    }
}
