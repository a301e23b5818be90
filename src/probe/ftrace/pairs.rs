//! What was allocated and not freed: allocations and frees paired by address, in the order of their time.

use std::collections::{BTreeMap, HashMap};

/// An address and what kind it is of: an object's pointer, a page's number, a per-CPU pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Object(u64),
    Page(u64),
    PerCpu(u64),
}

/// Who allocated something, and for which counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllocOrigin {
    /// Its number among those that are asked about.
    pub counter: u16,
    /// The address that the allocator returned to.
    pub caller: u64,
    /// Its number in `Events::stacks`; 0 is none.
    pub stack: u32,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Of an order, if of pages.
    Allocated { by: AllocOrigin, order: u8 },
    /// Of an order; and the number of the cache it belonged to, if that was told. 0 is none.
    Freed { order: u8, cache: u16 },
}

/// No kernel has so many caches; one more is none that is known.
const MOST_CACHES: usize = 4096;

/// What an event takes.
pub const EVENT_BYTES: u64 = size_of::<(u64, Key, Event)>() as u64;

/// What was traced. The buffers of several processors are read one after the other, so nothing is paired before the end.
#[derive(Debug, Default)]
pub struct Events {
    events: Vec<(u64, Key, Event)>,
    stacks: Vec<Vec<u64>>,
    numbers: HashMap<Vec<u64>, u32>,
    caches: Vec<String>,
}

impl Events {
    /// Returns how many events there are so far.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Notes an allocation; gives its number, by which its stack may follow.
    pub fn allocated(&mut self, time: u64, key: Key, counter: u16, caller: u64, order: u8) -> usize {
        self.events.push((time, key, Event::Allocated { by: AllocOrigin { counter, caller, stack: 0 }, order }));
        self.events.len() - 1
    }

    /// Notes the stack of an allocation.
    pub fn stack(&mut self, event: usize, frames: Vec<u64>) {
        let next = self.stacks.len() as u32 + 1;
        let number = *self.numbers.entry(frames).or_insert_with_key(|frames| {
            self.stacks.push(frames.clone());
            next
        });
        if let Some((_, _, Event::Allocated { by, .. })) = self.events.get_mut(event) {
            by.stack = number;
        }
    }

    /// Returns the frames of a stack.
    pub fn frames(&self, stack: u32) -> &[u64] {
        (stack as usize).checked_sub(1).and_then(|n| self.stacks.get(n)).map_or(&[], Vec::as_slice)
    }

    /// Notes a free, of an object of the cache `cache` if that is told.
    pub fn freed(&mut self, time: u64, key: Key, order: u8, cache: Option<&str>) {
        let cache = cache.map_or(0, |name| self.cache(name));
        self.events.push((time, key, Event::Freed { order, cache }));
    }

    fn cache(&mut self, name: &str) -> u16 {
        if let Some(index) = self.caches.iter().position(|cache| cache == name) {
            return index as u16 + 1;
        }
        if self.caches.len() == MOST_CACHES {
            return 0;
        }
        self.caches.push(name.to_owned());
        self.caches.len() as u16
    }

    /// Returns the allocations without a free, counted; those whose callers allocate from another cache than the
    /// counter's, as frees of theirs tell, are left out. What was allocated before is freed without a pair.
    pub fn alive(&mut self, counters: &[String]) -> BTreeMap<AllocOrigin, i64> {
        self.events.sort_by_key(|(time, ..)| *time);
        let mut alive: HashMap<Key, AllocOrigin> = HashMap::new();
        let mut cache_of: HashMap<u64, u16> = HashMap::new();
        for (_, key, what) in &self.events {
            match *what {
                Event::Allocated { by, order } => each(*key, order, |key| {
                    alive.insert(key, by);
                }),
                Event::Freed { order, cache } => each(*key, order, |key| {
                    if let (Some(by), true) = (alive.remove(&key), cache > 0) {
                        cache_of.insert(by.caller, cache);
                    }
                }),
            }
        }
        let of_another = |by: &AllocOrigin| {
            let cache = cache_of.get(&by.caller).map(|number| &self.caches[*number as usize - 1]);
            cache.is_some_and(|cache| *cache != counters[by.counter as usize])
        };
        let mut counts = BTreeMap::new();
        alive.into_values().filter(|by| !of_another(by)).for_each(|by| *counts.entry(by).or_default() += 1);
        counts
    }
}

/// Calls `f` for every page of an order; pages that were allocated together may be freed one by one.
fn each(key: Key, order: u8, mut f: impl FnMut(Key)) {
    match key {
        Key::Page(first) => (first..first.saturating_add(1 << order)).for_each(|page| f(Key::Page(page))),
        other => f(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Vec<String> {
        ["kmalloc-256", "pages", "dentry"].map(str::to_owned).to_vec()
    }

    #[test]
    fn object_that_is_freed_is_not_alive_whichever_processor_is_read_first() {
        let mut events = Events::default();
        events.freed(20, Key::Object(0xa), 0, None);
        events.freed(1, Key::Object(0xb), 0, None);
        let first = events.allocated(10, Key::Object(0xa), 0, 0x100, 0);
        let second = events.allocated(11, Key::Object(0xb), 0, 0x100, 0);
        events.stack(first, vec![1, 2]);
        events.stack(second, vec![1, 2]);
        let alive = events.alive(&counters());
        assert_eq!(alive, [(AllocOrigin { counter: 0, caller: 0x100, stack: 1 }, 1)].into());
        assert_eq!(events.frames(1), [1, 2]);
        assert_eq!(events.frames(0), [] as [u64; 0]);
    }

    #[test]
    fn pages_count_one_by_one_and_are_no_objects() {
        let mut events = Events::default();
        events.allocated(1, Key::Page(8), 1, 0, 2);
        events.freed(2, Key::Page(9), 0, None);
        events.freed(2, Key::Object(8), 0, None);
        assert_eq!(events.alive(&counters()).into_values().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn address_that_is_allocated_again_was_freed_unseen() {
        let mut events = Events::default();
        events.allocated(1, Key::Object(8), 0, 0x100, 0);
        events.allocated(2, Key::Object(8), 0, 0x200, 0);
        assert_eq!(events.alive(&counters()).into_keys().map(|by| by.caller).collect::<Vec<_>>(), [0x200]);
    }

    #[test]
    fn caller_whose_objects_are_freed_to_another_cache_of_that_size_is_left_out() {
        let mut events = Events::default();
        for (object, caller, cache) in [(1, 0x100, "dentry"), (2, 0x200, "filp")] {
            events.allocated(1, Key::Object(object), 2, caller, 0);
            events.freed(2, Key::Object(object), 0, Some(cache));
            events.allocated(3, Key::Object(object), 2, caller, 0);
        }
        assert_eq!(events.alive(&counters()).into_keys().map(|by| by.caller).collect::<Vec<_>>(), [0x100]);
    }

    #[test]
    fn pages_at_the_end_of_all_addresses_and_caches_without_number_are_taken() {
        let mut events = Events::default();
        events.allocated(1, Key::Page(u64::MAX - 1), 0, 0, 3);
        (0..5000).for_each(|n| events.freed(2, Key::Object(n), 0, Some(&format!("cache-{n}"))));
        assert_eq!(events.alive(&["pages".to_owned()]).into_values().sum::<i64>(), 1);
    }

    #[test]
    fn callers_whose_objects_are_of_one_other_cache_are_all_left_out() {
        let mut events = Events::default();
        for (object, caller) in [(1, 0x100), (2, 0x200), (3, 0x300)] {
            events.allocated(1, Key::Object(object), 2, caller, 0);
            events.freed(2, Key::Object(object), 0, Some("filp"));
            events.allocated(3, Key::Object(object), 2, caller, 0);
        }
        assert_eq!(events.len(), 9);
        assert!(events.alive(&counters()).is_empty());
    }
}
