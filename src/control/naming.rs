//! What a workload's Recommendation is called.

use std::collections::HashMap;

use crate::cluster::index::{WorkloadKey, stable_hash};

/// The longest name that Kubernetes takes.
const LONGEST: usize = 253;
/// Digits of the hash that makes a name unique where the plain one would not be.
const DIGITS: usize = 10;

/// `deployment-web`: kind and name in lower case. Where that is no name, too long, or taken by another workload of
/// the namespace, its end is a hash of the whole.
///
/// `taken` holds the names of one round; the order of the calls must be the same in each.
pub fn name(workload: &WorkloadKey, taken: &mut HashMap<(String, String), WorkloadKey>) -> String {
    let plain = format!("{}-{}", workload.kind, workload.name).to_lowercase();
    let namespace = workload.namespace.to_string();
    let free = |name: &String, taken: &HashMap<(String, String), WorkloadKey>| {
        taken.get(&(namespace.clone(), name.clone())).is_none_or(|holder| holder == workload)
    };
    let name = if is_name(&plain) && free(&plain, taken) { plain } else { hashed(&plain, workload) };
    taken.entry((namespace, name.clone())).or_insert_with(|| workload.clone());
    name
}

/// The names that a workload's Recommendation can have, the likelier first.
#[must_use]
pub fn candidates(workload: &WorkloadKey) -> [String; 2] {
    let plain = format!("{}-{}", workload.kind, workload.name).to_lowercase();
    let hashed = hashed(&plain, workload);
    [plain, hashed]
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
    let whole = format!("{}/{}/{}", workload.api_version, workload.kind, workload.name);
    let hash = stable_hash(whole.bytes());
    format!("{short}-{:0width$x}", hash >> (64 - 4 * DIGITS), width = DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;

    #[test]
    fn names_are_plain_where_they_can_be() {
        let mut taken = HashMap::new();
        assert_eq!(name(&workload("web").key(), &mut taken), "deployment-web");
        assert_eq!(name(&workload("db.main").kind("StatefulSet").key(), &mut taken), "statefulset-db.main");
        // The same again is the same.
        assert_eq!(name(&workload("web").key(), &mut taken), "deployment-web");
    }

    #[test]
    fn long_odd_and_taken_names_end_in_a_hash() {
        let mut taken = HashMap::new();
        let long = name(&workload(&"x".repeat(250)).key(), &mut taken);
        assert_eq!(long.len(), 253);
        let other = name(&workload(&format!("{}y", "x".repeat(249))).key(), &mut taken);
        assert!(is_name(&long) && is_name(&other) && long != other);
        let odd = name(&workload("My_App").kind("Pod").key(), &mut taken);
        assert!(is_name(&odd) && odd.starts_with("pod-my-app-"), "{odd}");
        let first = name(&workload("web").key(), &mut taken);
        let second = name(&workload("web").api_version("other.dev/v1").key(), &mut taken);
        assert!(first == "deployment-web" && second.starts_with("deployment-web-"), "{second}");
    }
}
