//! Client requests by their target or id, oldest first, with cheap insertion and removal however many share one.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use super::Key;

/// Queues of keys by what the request names. Names are hashed with a random key: two that collide only cost a comparison more.
#[derive(Debug, Default)]
pub(super) struct Targets {
    hasher: RandomState,
    queues: foldhash::HashMap<u64, Queue>,
    none: VecDeque<Key>,
}

/// A name as it is kept here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashed(u64);

#[derive(Debug, Default)]
struct Queue {
    /// Oldest first; some may be over.
    keys: VecDeque<Key>,
    /// How many are not.
    live: usize,
}

impl Targets {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Adds a request; gives what [`Self::remove`] will ask for.
    pub(super) fn push(&mut self, name: &(impl Hash + ?Sized), key: Key) -> Hashed {
        let hash = self.hasher.hash_one(name);
        let queue = self.queues.entry(hash).or_default();
        queue.keys.push_back(key);
        queue.live += 1;
        Hashed(hash)
    }

    /// One request of `name` is over. Its key stays until it reaches the front or the dead outnumber the living.
    pub(super) fn remove(&mut self, Hashed(hash): Hashed, is_live: impl Fn(&Key) -> bool) {
        let Some(queue) = self.queues.get_mut(&hash) else { return };
        queue.live = queue.live.saturating_sub(1);
        if queue.live == 0 {
            self.queues.remove(&hash);
        } else if queue.keys.len() > 2 * queue.live + 16 {
            queue.keys.retain(is_live);
        }
    }

    /// The requests of `name`, oldest first; the first one is not over.
    pub(super) fn get(
        &mut self,
        name: &(impl Hash + ?Sized),
        is_live: impl Fn(&Key) -> bool,
    ) -> &VecDeque<Key> {
        let Some(queue) = self.queues.get_mut(&self.hasher.hash_one(name)) else { return &self.none };
        while queue.keys.front().is_some_and(|key| !is_live(key)) {
            queue.keys.pop_front();
        }
        &queue.keys
    }
}
