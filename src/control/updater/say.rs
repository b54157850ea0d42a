//! The order in which workloads are told how they fare.

use crate::cluster::index::{Acted, ObjectKey, WorkloadKey};

/// How much is said in a round of workloads that are not being changed: a quarter of a second's worth.
const WORDS: usize = 100;

/// What is to be said of a recommendation.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) name: ObjectKey,
    pub(super) acted: Acted,
    /// Its workload, where it is held anew.
    pub(super) news: Option<WorkloadKey>,
    /// Its pods are being changed.
    pub(super) acts: bool,
}

impl Word {
    /// Nothing is said any more.
    pub(super) fn none(name: &ObjectKey) -> Self {
        Self { name: name.clone(), acted: Acted::default(), news: None, acts: false }
    }
}

/// What is said of workloads that are being changed, and of the others as much as a round has time for, each in its turn
/// after `last`: an OOM kill must not wait until all else is said.
pub(super) fn in_turn(due: Vec<Word>, last: &mut Option<ObjectKey>) -> Vec<Word> {
    let (mut first, mut others): (Vec<_>, Vec<_>) = due.into_iter().partition(|word| word.acts);
    others.sort_by(|a, b| a.name.cmp(&b.name));
    let next = others.partition_point(|word| last.as_ref().is_some_and(|last| word.name <= *last));
    others.rotate_left(next);
    others.truncate(WORDS);
    if let Some(word) = others.last() {
        *last = Some(word.name.clone());
    }
    first.append(&mut others);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object_key;

    #[test]
    fn what_is_being_changed_is_told_first_and_the_rest_in_its_turn() {
        let word = |number: u32| {
            let name = object_key(&format!("web-{number:03}"));
            Word { acts: number == 240, ..Word::none(&name) }
        };
        let (mut last, mut said) = (None, Vec::new());
        for _ in 0..3 {
            let words = in_turn((0..250).map(word).collect(), &mut last);
            assert_eq!((words.len(), &*words[0].name.name), (WORDS + 1, "web-240"));
            said.extend(words.into_iter().map(|word| word.name));
        }
        said.sort();
        said.dedup();
        assert_eq!(said.len(), 250, "each was said in three rounds");
    }
}
