//! What a workload's Recommendation is called.

use crate::cluster::index::{WorkloadKey, group, is_known_kind, stable_hash};

/// The longest name that Kubernetes takes.
const LONGEST: usize = 253;
/// Digits of the hash that makes a name unique where the plain one would not be.
const DIGITS: usize = 10;

/// `deployment-web`: kind and name in lower case. Where that is no name, too long, or of a kind that another group may
/// have too, its end is a hash of group, kind and name.
///
/// It follows from the workload alone: what else there is, and in which order it was seen, changes nothing. Nor does the
/// version of its API.
#[must_use]
pub fn name(workload: &WorkloadKey) -> String {
    let plain = format!("{}-{}", workload.kind, workload.name).to_lowercase();
    let known = is_known_kind(group(&workload.api_version), &workload.kind);
    if known && is_name(&plain) { plain } else { hashed(&plain, workload) }
}

/// A DNS subdomain of at most 253 characters.
fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let edges = part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric());
        edges && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= LONGEST && text.split('.').all(part)
}

fn hashed(plain: &str, workload: &WorkloadKey) -> String {
    let safe: String =
        plain.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    let short: String = safe.chars().take(LONGEST - DIGITS - 1).collect();
    let short = short.trim_matches('-');
    // The name of an object must be the same in every build.
    let whole = format!("{}/{}/{}", group(&workload.api_version), workload.kind, workload.name);
    let hash = stable_hash(whole.bytes());
    format!("{short}-{:0width$x}", hash >> (64 - 4 * DIGITS), width = DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;

    #[test]
    fn names_are_plain_where_they_can_be() {
        assert_eq!(name(&workload("web").key()), "deployment-web");
        assert_eq!(name(&workload("db.main").kind("StatefulSet").key()), "statefulset-db.main");
        assert_eq!(
            name(&workload("web").kind("Rollout").api_version("argoproj.io/v1alpha1").key()),
            "rollout-web"
        );
    }

    #[test]
    fn long_odd_and_unknown_names_end_in_a_hash() {
        let long = name(&workload(&"x".repeat(250)).key());
        assert_eq!(long.len(), 253);
        let other = name(&workload(&format!("{}y", "x".repeat(249))).key());
        assert!(is_name(&long) && is_name(&other) && long != other);
        let odd = name(&workload("My_App").kind("Pod").api_version("v1").key());
        assert!(is_name(&odd) && odd.starts_with("pod-my-app-"), "{odd}");
    }

    #[test]
    fn a_name_is_of_the_group_and_of_no_version() {
        let of = |api_version: &str| name(&workload("web").api_version(api_version).key());
        assert_eq!(of("apps/v1"), "deployment-web");
        assert!(of("other.dev/v1").starts_with("deployment-web-"), "{}", of("other.dev/v1"));
        assert_eq!(of("other.dev/v1"), of("other.dev/v1beta1"));
        assert_ne!(of("other.dev/v1"), of("another.dev/v1"));
    }
}
