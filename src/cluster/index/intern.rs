//! One copy of what many objects have in common.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Hands out shared copies of equal values.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// Above this many, those that nobody holds any more are dropped.
    limit: usize,
}

impl<T: ?Sized> Clone for Interner<T> {
    fn clone(&self) -> Self {
        Self { known: self.known.clone(), limit: self.limit }
    }
}

impl<T: ?Sized + Hash + Eq> Default for Interner<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), limit: 1024 }
    }
}

impl<T: ?Sized + Hash + Eq> Interner<T> {
    fn insert(&mut self, value: Arc<T>) -> Arc<T> {
        if self.known.len() >= self.limit {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.limit = (2 * self.known.len()).max(1024);
        }
        self.known.insert(Arc::clone(&value));
        value
    }
}

impl Interner<str> {
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        match self.known.get(text) {
            Some(known) => Arc::clone(known),
            None => self.insert(Arc::from(text)),
        }
    }
}

impl<T: Hash + Eq> Interner<T> {
    pub(super) fn value(&mut self, value: T) -> Arc<T> {
        match self.known.get(&value) {
            Some(known) => Arc::clone(known),
            None => self.insert(Arc::new(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut names = Interner::<str>::default();
        let held = names.text("held");
        assert!(Arc::ptr_eq(&held, &names.text("held")));
        for number in 0..5000 {
            names.text(&number.to_string());
        }
        assert!(names.known.len() <= 1024, "{}", names.known.len());
        assert!(Arc::ptr_eq(&held, &names.text("held")));
    }
}
