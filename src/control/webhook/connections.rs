//! The open connections to the webhook: so many at most, and who does least makes room for who comes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All open connections.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Open>,
    most: usize,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<u64, Entry>,
    /// Numbers of connections and of what they do, one after the other.
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    /// When it was last of use: never, or at that turn.
    useful: Option<u64>,
    end: CancellationToken,
}

/// One connection; forgotten when this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// Told when the connection has to end.
    pub end: CancellationToken,
}

impl Connections {
    /// So many at most.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new one. Where there is none left, the connection ends that never brought a whole review, or
    /// whose last one is longest ago.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Place {
        let mut open = self.open();
        if open.by_id.len() >= self.most {
            let least = open.by_id.iter().min_by_key(|(id, entry)| (entry.useful, **id)).map(|(id, _)| *id);
            if let Some(entry) = least.and_then(|id| open.by_id.remove(&id)) {
                entry.end.cancel();
            }
        }
        open.turn += 1;
        let (id, end) = (open.turn, CancellationToken::new());
        open.by_id.insert(id, Entry { useful: None, end: end.clone() });
        Place { connections: Arc::clone(self), id, end }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open().by_id.len()
    }

    /// True where there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Place {
    /// It has brought a whole review.
    pub fn was_useful(&self) {
        let mut open = self.connections.open();
        open.turn += 1;
        let turn = open.turn;
        if let Some(entry) = open.by_id.get_mut(&self.id) {
            entry.useful = Some(turn);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open().by_id.remove(&self.id);
    }
}

/// Bytes that are held at once, of all requests together.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    most: usize,
}

/// Some of them; given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// So many at most.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), most })
    }

    /// Nothing so far.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Share {
    /// Takes so many more; false where there are not that many left.
    pub fn take(&mut self, bytes: usize) -> bool {
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.budget.most {
            self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_least_makes_room() {
        let connections = Connections::new(3);
        let (useful, idle, later) = (connections.enter(), connections.enter(), connections.enter());
        useful.was_useful();
        let fourth = connections.enter();
        assert!(idle.end.is_cancelled() && !useful.end.is_cancelled() && !later.end.is_cancelled());
        let fifth = connections.enter();
        assert!(later.end.is_cancelled() && !fourth.end.is_cancelled());
        drop((idle, later, fourth, fifth));
        assert_eq!(connections.len(), 1);
    }

    #[test]
    fn bytes_are_given_back() {
        let budget = Budget::new(10);
        let mut one = budget.share();
        assert!(one.take(6) && !one.take(5) && one.take(4));
        assert!(!budget.share().take(1));
        drop(one);
        assert!(budget.share().take(10));
    }
}
