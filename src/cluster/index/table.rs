//! What a watch has told, kept so that a new listing forgets what is gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Values by key, as one watch tells them.
///
/// A watch that had to start over lists everything again. What is told during a listing carries the listing's number;
/// at its end, what carries an older one is gone. So a listing needs no second copy, and one that breaks off in the
/// middle loses nothing.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    entries: HashMap<K, Entry<V>>,
    listing: u32,
    synced: bool,
}

#[derive(Debug)]
struct Entry<V> {
    /// A table has twice the places that it needs, and copies them all when it grows; and whoever looks at it for long
    /// has a copy of its own.
    value: Arc<V>,
    listing: u32,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), listing: self.listing }
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), listing: 0, synced: false }
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// A listing begins.
    pub fn begin(&mut self) {
        self.listing = self.listing.wrapping_add(1);
    }

    /// This is there; answers what was known of it before.
    pub fn put(&mut self, key: K, value: V) -> Option<Arc<V>> {
        let entry = Entry { value: Arc::new(value), listing: self.listing };
        self.entries.insert(key, entry).map(|entry| entry.value)
    }

    /// This is gone.
    pub fn remove(&mut self, key: &K) -> Option<Arc<V>> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// The listing is complete: what it did not tell is gone, and handed over.
    pub fn finish(&mut self) -> Vec<(K, Arc<V>)> {
        self.synced = true;
        let listing = self.listing;
        let gone = self.entries.extract_if(|_, entry| entry.listing != listing);
        gone.map(|(key, entry)| (key, entry.value)).collect()
    }

    /// True once a listing was complete.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// What is known of this.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.get(key).map(|entry| &*entry.value)
    }

    /// Everything.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &*entry.value))
    }

    /// How much there is.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_forgets_what_it_does_not_tell() {
        let mut table = Table::default();
        table.begin();
        assert!(!table.synced());
        table.put("a", 1);
        table.put("b", 1);
        assert!(table.finish().is_empty() && table.synced());
        table.put("c", 1);
        table.begin();
        table.put("a", 2);
        // It breaks off here and starts over: what it would have told is still known.
        assert_eq!(table.len(), 3);
        table.begin();
        table.put("c", 2);
        let mut gone = table.finish();
        gone.sort_unstable();
        assert_eq!(gone, [("a", Arc::new(2)), ("b", Arc::new(1))]);
        assert_eq!(table.get("c"), Some(&2));
    }
}
