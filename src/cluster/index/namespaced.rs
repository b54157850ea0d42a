//! Objects of one watch by namespace, for kinds of which few are in each.

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::ObjectKey;

/// Values by namespace and name, as one watch tells them: a [`Table`](super::Table) that finds a namespace's values
/// without a look at those of others.
#[derive(Clone, Debug)]
pub struct NamespacedTable<V> {
    by_namespace: HashMap<Arc<str>, Vec<Entry<V>>>,
    listing: u32,
    synced: bool,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    name: Box<str>,
    value: V,
    listing: u32,
}

impl<V> Default for NamespacedTable<V> {
    fn default() -> Self {
        Self { by_namespace: HashMap::new(), listing: 0, synced: false }
    }
}

impl<V> NamespacedTable<V> {
    /// Begins a listing.
    pub fn begin(&mut self) {
        self.listing = self.listing.wrapping_add(1);
    }

    /// Adds or replaces an object.
    pub fn put(&mut self, key: ObjectKey, value: V) {
        let entries = self.by_namespace.entry(key.namespace).or_default();
        entries.retain(|entry| entry.name != key.name);
        entries.push(Entry { name: key.name, value, listing: self.listing });
    }

    /// Removes an object.
    pub fn remove(&mut self, key: &ObjectKey) {
        if let Some(entries) = self.by_namespace.get_mut(&key.namespace) {
            entries.retain(|entry| entry.name != key.name);
            if entries.is_empty() {
                self.by_namespace.remove(&key.namespace);
            }
        }
    }

    /// Ends a listing: removes the objects that it did not tell.
    pub fn finish(&mut self) {
        self.synced = true;
        let listing = self.listing;
        self.by_namespace.retain(|_, entries| {
            entries.retain(|entry| entry.listing == listing);
            !entries.is_empty()
        });
    }

    /// True once a listing was complete.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Values of one namespace, in no order.
    pub fn of(&self, namespace: &str) -> impl Iterator<Item = &V> {
        self.by_namespace.get(namespace).into_iter().flatten().map(|entry| &entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn a_namespace_has_its_own_values_and_a_listing_forgets_what_it_does_not_tell() {
        let mut table = NamespacedTable::default();
        let of = |table: &NamespacedTable<u32>, namespace: &str| {
            let mut all: Vec<_> = table.of(namespace).copied().collect();
            all.sort_unstable();
            all
        };
        table.begin();
        table.put(key("shop", "a"), 1);
        table.put(key("shop", "b"), 2);
        table.put(key("bank", "a"), 3);
        assert!(!table.synced());
        table.finish();
        assert!(table.synced());
        table.put(key("shop", "a"), 4);
        assert_eq!(
            (of(&table, "shop"), of(&table, "bank"), of(&table, "zoo")),
            (vec![2, 4], vec![3], vec![])
        );
        table.begin();
        table.put(key("shop", "b"), 5);
        table.finish();
        assert_eq!((of(&table, "shop"), of(&table, "bank")), (vec![5], vec![]));
        table.remove(&key("shop", "b"));
        table.remove(&key("zoo", "b"));
        assert!(of(&table, "shop").is_empty());
    }
}
