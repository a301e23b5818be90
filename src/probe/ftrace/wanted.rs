//! What a trace is asked about: counters, and which allocations they count.

use crate::probe::slab::Layout;
use crate::sample::CounterKind;
use std::collections::BTreeMap;

/// Everything that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceTargets {
    /// One after the other.
    pub counters: Vec<Counter>,
    /// Whether accounted objects of general use have caches of their own.
    has_accounted_caches: bool,
    /// Whether reclaimable ones have.
    has_reclaimable_caches: bool,
}

/// A counter, and where its allocations are traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    pub name: String,
    pub source: AllocSource,
}

/// Where allocations are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocSource {
    /// A slab cache of objects like these.
    Slab(Objects),
    Pages,
    PerCpu,
}

/// The objects of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    /// What kind of size class it is; `None` of caches with a name of their own.
    pub class: Option<Class>,
    /// Bytes of an object, debugging data not counted.
    pub object_bytes: u64,
    /// Bytes that an object takes.
    pub slot_bytes: u64,
}

/// Which of the size classes of kmalloc an allocation is from (enum kmalloc_cache_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Plain,
    Accounted,
    Reclaimable,
    Dma,
}

const CLASSES: [(&str, Class); 4] = [
    ("kmalloc-cg-", Class::Accounted),
    ("kmalloc-rcl-", Class::Reclaimable),
    ("dma-kmalloc-", Class::Dma),
    ("kmalloc-", Class::Plain),
];

impl TraceTargets {
    /// Takes these counters, given all caches; counters that cannot be traced are left out.
    pub fn new(names: &[String], caches: &BTreeMap<String, Layout>) -> Self {
        let counter = |name: &String| {
            let source = match CounterKind::from_counter(name) {
                CounterKind::Pages => AllocSource::Pages,
                CounterKind::Percpu => AllocSource::PerCpu,
                _ => {
                    let Layout { object_bytes, slot_bytes } = *caches.get(name)?;
                    AllocSource::Slab(Objects { class: class_of_cache(name), object_bytes, slot_bytes })
                }
            };
            Some(Counter { name: name.clone(), source })
        };
        let has = |prefix: &str| caches.keys().any(|name| name.starts_with(prefix));
        Self {
            counters: names.iter().filter_map(counter).collect(),
            has_accounted_caches: has("kmalloc-cg-"),
            has_reclaimable_caches: has("kmalloc-rcl-"),
        }
    }

    /// Returns the names of the counters.
    pub fn names(&self) -> Vec<String> {
        self.counters.iter().map(|counter| counter.name.clone()).collect()
    }

    /// Returns the bytes that objects of the size classes take, or of the caches with names of their own.
    pub fn slot_bytes(&self, size_classes: bool) -> Vec<u64> {
        let bytes = |counter: &Counter| match counter.source {
            AllocSource::Slab(objects) => (objects.class.is_some() == size_classes).then_some(objects.slot_bytes),
            AllocSource::Pages | AllocSource::PerCpu => None,
        };
        self.counters.iter().filter_map(bytes).collect()
    }

    /// Returns whether any counter is of this source.
    pub fn has(&self, what: impl Fn(&AllocSource) -> bool) -> bool {
        self.counters.iter().any(|counter| what(&counter.source))
    }

    /// Returns the counter of what kmalloc gave.
    pub fn index_of_kmalloc(&self, slot_bytes: u64, asked: Class) -> Option<u16> {
        let class = match asked {
            Class::Accounted if !self.has_accounted_caches => Class::Plain,
            Class::Reclaimable if !self.has_reclaimable_caches => Class::Plain,
            class => class,
        };
        self.position(|objects| objects.class == Some(class) && objects.slot_bytes == slot_bytes)
    }

    /// Returns the counter of what a cache with a name of its own gave, as far as sizes tell it.
    pub fn index_of_cache(&self, object_bytes: u64, slot_bytes: u64) -> Option<u16> {
        self.position(|objects| {
            objects.class.is_none() && (objects.object_bytes, objects.slot_bytes) == (object_bytes, slot_bytes)
        })
    }

    /// Returns the counter of pages, or of per-CPU memory.
    pub fn index_of_source(&self, source: AllocSource) -> Option<u16> {
        self.counters.iter().position(|counter| counter.source == source).map(|index| index as u16)
    }

    fn position(&self, is: impl Fn(&Objects) -> bool) -> Option<u16> {
        let found = |counter: &Counter| matches!(&counter.source, AllocSource::Slab(objects) if is(objects));
        self.counters.iter().position(found).map(|index| index as u16)
    }
}

fn class_of_cache(name: &str) -> Option<Class> {
    let class_of = |(prefix, class): (&str, Class)| {
        name.strip_prefix(prefix).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).map(|_| class)
    };
    CLASSES.into_iter().find_map(class_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches(names: &[(&str, u64)]) -> BTreeMap<String, Layout> {
        let layout =
            |(name, bytes): &(&str, u64)| (name.to_string(), Layout { object_bytes: *bytes, slot_bytes: *bytes });
        names.iter().map(layout).collect()
    }

    #[test]
    fn size_classes_are_told_by_size_and_flags() {
        let caches = caches(&[("kmalloc-256", 256), ("kmalloc-cg-256", 256), ("filp", 256), ("kmalloc-96", 96)]);
        let names = ["kmalloc-256", "kmalloc-cg-256", "filp", "pages", "no-such-cache"].map(str::to_owned);
        let wanted = TraceTargets::new(&names, &caches);
        assert_eq!(wanted.names(), ["kmalloc-256", "kmalloc-cg-256", "filp", "pages"]);
        assert_eq!(wanted.index_of_kmalloc(256, Class::Plain), Some(0));
        assert_eq!(wanted.index_of_kmalloc(256, Class::Accounted), Some(1));
        assert_eq!(wanted.index_of_kmalloc(256, Class::Reclaimable), Some(0), "this kernel has no caches for them");
        assert_eq!(wanted.index_of_kmalloc(96, Class::Plain), None);
        assert_eq!(wanted.index_of_cache(256, 256), Some(2));
        assert_eq!(
            (wanted.index_of_source(AllocSource::Pages), wanted.index_of_source(AllocSource::PerCpu)),
            (Some(3), None)
        );
        assert_eq!((wanted.slot_bytes(true), wanted.slot_bytes(false)), (vec![256, 256], vec![256]));
    }

    #[test]
    fn accounted_and_reclaimable_objects_have_classes_of_their_own_where_the_kernel_has_them() {
        let of = |names: &[(&str, u64)]| {
            let all: Vec<String> = names.iter().map(|(name, _)| (*name).to_owned()).collect();
            let wanted = TraceTargets::new(&all, &caches(names));
            [Class::Plain, Class::Accounted, Class::Reclaimable].map(|class| wanted.index_of_kmalloc(256, class))
        };
        assert_eq!(of(&[("kmalloc-256", 256)]), [Some(0); 3], "before Linux 4.20, and without memory cgroups");
        let all = [("kmalloc-256", 256), ("kmalloc-cg-256", 256), ("kmalloc-rcl-256", 256)];
        assert_eq!(of(&all), [Some(0), Some(1), Some(2)]);
    }
}
