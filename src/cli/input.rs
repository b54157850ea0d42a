//! Files that a person names, read whole and bounded; `-` is standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};

use crate::api::{Bounded, VerticalScalingPolicy};

/// The text of a file of at most `most` bytes.
pub(super) fn text(file: &Path, most: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(file)?) };
    input.take(most + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= most, "it is longer than {} MiB", most >> 20);
    Ok(text)
}

/// Reads the policy in a file. What cannot be read of it is named by its field.
pub(super) fn policy(file: &Path) -> anyhow::Result<VerticalScalingPolicy> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    read_policy(&text).with_context(|| format!("{} is not a VerticalScalingPolicy", file.display()))
}

fn read_policy(text: &str) -> anyhow::Result<VerticalScalingPolicy> {
    let first_line =
        |error: &dyn std::fmt::Display| anyhow!("{}", error.to_string().lines().next().unwrap_or_default());
    let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| first_line(&error))?;
    let mut policy: VerticalScalingPolicy =
        serde_path_to_error::deserialize(value).map_err(|error| first_line(&error))?;
    policy.spec.bound();
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_cannot_be_read_is_named_by_its_field() {
        let error = |rules: &str| {
            let text = format!(
                "{{apiVersion: plumb.dev/v1alpha1, kind: VerticalScalingPolicy, metadata: {{name: x}}, spec: {rules}}}"
            );
            read_policy(&text).unwrap_err().to_string()
        };
        assert_eq!(
            error("{containers: [{name: a, cpu: {maxShortfallPercent: 0.5}}]}"),
            "spec.containers[0].cpu.maxShortfallPercent: invalid type: floating point `0.5`, expected a whole number \
             that is not negative, or text such as \"0.5\", \"250m\" or \"512Mi\""
        );
        assert!(error("{actuation: {cooldown: soon}}").starts_with("spec.actuation.cooldown: "));
        assert!(error("{mode: Fast}").starts_with("spec.mode: unknown variant `Fast`, expected"));
    }
}
