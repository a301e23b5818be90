//! Records of the ring buffer as allocations, frees and stacks.

use super::format::{Field, Format};
use super::pairs::{Events, Key};
use super::wanted::{AllocSource, Class, TraceTargets};
use std::collections::{BTreeMap, HashMap};

/// What is traced, by system and name; which of them a kernel has differs from version to version. Pages that are freed in
/// batches are in `mm_page_free`, too.
pub const KMALLOC: [&str; 2] = ["kmem/kmalloc", "kmem/kmalloc_node"];
pub const CACHE_ALLOC: [&str; 2] = ["kmem/kmem_cache_alloc", "kmem/kmem_cache_alloc_node"];
pub const OBJECT_FREE: [&str; 2] = ["kmem/kfree", "kmem/kmem_cache_free"];
pub const PAGE_ALLOC: &str = "kmem/mm_page_alloc";
pub const PAGE_FREE: &str = "kmem/mm_page_free";
pub const PERCPU_ALLOC: &str = "percpu/percpu_alloc_percpu";
pub const PERCPU_FREE: &str = "percpu/percpu_free_percpu";
pub const STACK: &str = "ftrace/kernel_stack";

/// No architecture hands out more pages at once (CONFIG_ARCH_FORCE_MAX_ORDER).
const MOST_ORDER: u8 = 13;
/// Allocations that may wait for their stack at once: one for each level of interrupts.
const MOST_PENDING: usize = 8;

/// What a kind of record says, and where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Kmalloc { caller: Field, pointer: Field, slot_bytes: Field, flags: Field, bits: [(u64, Class); 3] },
    CacheAlloc { caller: Field, pointer: Field, object_bytes: Field, slot_bytes: Field },
    ObjectFree { pointer: Field, cache: Option<Field> },
    PageAlloc { page: Field, order: Field },
    PageFree { page: Field, order: Field },
    PerCpuAlloc { pointer: Field },
    PerCpuFree { pointer: Field },
    Stack { frames: Field },
}

/// Understands records by the number that they begin with.
#[derive(Debug)]
pub struct Decoder {
    kinds: HashMap<u16, Kind>,
    /// Allocations of the processor being read that have no stack yet, the innermost last; `None` are those that nobody
    /// asked about.
    pending: Vec<Option<usize>>,
}

impl Decoder {
    /// Makes a decoder for a kernel with these formats; `None` if it cannot tell anything that is wanted.
    pub fn new(formats: &BTreeMap<&'static str, Format>, wanted: &TraceTargets) -> Option<Self> {
        let kinds: HashMap<u16, Kind> =
            formats.iter().filter_map(|(name, format)| Some((format.id, kind(name, format)?))).collect();
        let has = |f: fn(&Kind) -> bool| kinds.values().any(f);
        let traceable = |source: &AllocSource| match source {
            AllocSource::Slab(_) => {
                has(|k| matches!(k, Kind::Kmalloc { .. })) && has(|k| matches!(k, Kind::ObjectFree { .. }))
            }
            AllocSource::Pages => {
                has(|k| matches!(k, Kind::PageAlloc { .. })) && has(|k| matches!(k, Kind::PageFree { .. }))
            }
            AllocSource::PerCpu => {
                has(|k| matches!(k, Kind::PerCpuAlloc { .. })) && has(|k| matches!(k, Kind::PerCpuFree { .. }))
            }
        };
        wanted.has(traceable).then_some(Self { kinds, pending: Vec::new() })
    }

    /// Forgets what waits for more: what follows is of another processor, or comes later.
    pub fn begin(&mut self) {
        self.pending.clear();
    }

    /// Puts what a record says among the events.
    pub fn decode(&mut self, time: u64, record: &[u8], wanted: &TraceTargets, events: &mut Events) {
        // A record that is too short for its own fields says nothing.
        let _ = self.try_decode(time, record, wanted, events);
    }

    fn try_decode(&mut self, time: u64, record: &[u8], wanted: &TraceTargets, events: &mut Events) -> Option<()> {
        let id = u16::from_le_bytes(record.get(..2)?.try_into().ok()?);
        let number = |field: Field| field.number(record);
        match *self.kinds.get(&id)? {
            Kind::Kmalloc { caller, pointer, slot_bytes, flags, bits } => {
                let class = class_of(number(flags)?, &bits);
                let counter = wanted.index_of_kmalloc(number(slot_bytes)?, class);
                self.allocated(counter, events, time, Key::Object(number(pointer)?), number(caller)?, 0);
            }
            Kind::CacheAlloc { caller, pointer, object_bytes, slot_bytes } => {
                let counter = wanted.index_of_cache(number(object_bytes)?, number(slot_bytes)?);
                self.allocated(counter, events, time, Key::Object(number(pointer)?), number(caller)?, 0);
            }
            Kind::ObjectFree { pointer, cache } => {
                events.freed(time, Key::Object(number(pointer)?), 0, cache.and_then(|cache| cache.text(record)));
            }
            Kind::PageAlloc { page, order } => {
                let order = number(order).and_then(order_of)?;
                // An allocation that failed has no page.
                let page = number(page)?;
                let counter = wanted.index_of_source(AllocSource::Pages).filter(|_| page != u64::MAX);
                self.allocated(counter, events, time, Key::Page(page), 0, order);
            }
            Kind::PageFree { page, order } => {
                events.freed(time, Key::Page(number(page)?), number(order).and_then(order_of)?, None);
            }
            Kind::PerCpuAlloc { pointer } => {
                self.allocated(
                    wanted.index_of_source(AllocSource::PerCpu),
                    events,
                    time,
                    Key::PerCpu(number(pointer)?),
                    0,
                    0,
                );
            }
            Kind::PerCpuFree { pointer } => events.freed(time, Key::PerCpu(number(pointer)?), 0, None),
            Kind::Stack { frames } => {
                if let Some(Some(event)) = self.pending.pop() {
                    events.stack(event, addresses(record.get(frames.offset..)?));
                }
            }
        }
        Some(())
    }

    fn allocated(&mut self, counter: Option<u16>, events: &mut Events, time: u64, key: Key, caller: u64, order: u8) {
        // An object that another counter has now is not what it was before.
        let event = match counter {
            Some(counter) => Some(events.allocated(time, key, counter, caller, order)),
            None => {
                events.freed(time, key, order, None);
                None
            }
        };
        if self.pending.len() == MOST_PENDING {
            // Nobody takes stacks.
            self.pending.clear();
        }
        self.pending.push(event);
    }
}

/// Returns which of the size classes flags ask for, given what the bits of this kernel mean.
pub(super) fn class_of(flags: u64, bits: &[(u64, Class)]) -> Class {
    bits.iter().find(|(bit, _)| flags & bit != 0).map_or(Class::Plain, |(_, class)| *class)
}

/// Returns the order that a number stands for, if it can be one: pages are allocated two to this power at a time.
fn order_of(number: u64) -> Option<u8> {
    u8::try_from(number).ok().filter(|order| *order <= MOST_ORDER)
}

/// Returns what records of an event say; `None` if its format lacks a field of that.
pub(super) fn kind(name: &str, format: &Format) -> Option<Kind> {
    let field = |name: &str| format.field(name);
    Some(match name {
        _ if KMALLOC.contains(&name) => Kind::Kmalloc {
            caller: field("call_site")?,
            pointer: field("ptr")?,
            slot_bytes: field("bytes_alloc")?,
            flags: field("gfp_flags")?,
            // In the order in which the kernel looks (kmalloc_type in include/linux/slab.h).
            bits: [
                (format.flag("__GFP_DMA"), Class::Dma),
                (format.flag("__GFP_RECLAIMABLE"), Class::Reclaimable),
                (format.flag("__GFP_ACCOUNT"), Class::Accounted),
            ],
        },
        _ if CACHE_ALLOC.contains(&name) => Kind::CacheAlloc {
            caller: field("call_site")?,
            pointer: field("ptr")?,
            object_bytes: field("bytes_req")?,
            slot_bytes: field("bytes_alloc")?,
        },
        _ if OBJECT_FREE.contains(&name) => Kind::ObjectFree { pointer: field("ptr")?, cache: field("name") },
        PAGE_ALLOC => Kind::PageAlloc { page: field("pfn")?, order: field("order")? },
        PAGE_FREE => Kind::PageFree { page: field("pfn")?, order: field("order")? },
        PERCPU_ALLOC => Kind::PerCpuAlloc { pointer: field("ptr")? },
        PERCPU_FREE => Kind::PerCpuFree { pointer: field("ptr")? },
        STACK => Kind::Stack { frames: field("caller")? },
        _ => return None,
    })
}

/// Reads frames until the end of the record or the mark behind the last one.
fn addresses(bytes: &[u8]) -> Vec<u64> {
    let frames = bytes.chunks_exact(8).map(|frame| u64::from_le_bytes(frame.try_into().expect("eight bytes")));
    frames.take_while(|frame| *frame != u64::MAX && *frame != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ftrace::tracefs::formats;
    use crate::probe::kernel_files::made::MadeFiles;
    use crate::probe::slab::Layout;

    const KMALLOC_FORMAT: &str = "ID: 10\n\tfield:unsigned long call_site;\toffset:8;\tsize:8;\n\tfield:const void * ptr;\toffset:16;\tsize:8;\n\
        \tfield:size_t bytes_alloc;\toffset:24;\tsize:8;\n\tfield:unsigned long gfp_flags;\toffset:32;\tsize:8;\n\
        print fmt: \"\", {( unsigned long)(( gfp_t)0x400000u), \"__GFP_ACCOUNT\"}\n";
    const KFREE_FORMAT: &str = "ID: 11\n\tfield:const void * ptr;\toffset:16;\tsize:8;\n";
    const STACK_FORMAT: &str =
        "ID: 4\n\tfield:int size;\toffset:8;\tsize:4;\n\tfield:unsigned long caller[8];\toffset:16;\tsize:64;\n";

    fn record(id: u16, numbers: &[u64]) -> Vec<u8> {
        let mut record = u64::from(id).to_le_bytes().to_vec();
        numbers.iter().for_each(|n| record.extend(n.to_le_bytes()));
        record
    }

    #[test]
    fn interrupt_between_an_allocation_and_its_stack_has_its_own() {
        let formats = [("kmem/kmalloc", KMALLOC_FORMAT), ("kmem/kfree", KFREE_FORMAT), (STACK, STACK_FORMAT)];
        let formats = formats.into_iter().map(|(name, text)| (name, Format::parse(text).unwrap())).collect();
        let layout = Layout { object_bytes: 256, slot_bytes: 256 };
        let caches = ["kmalloc-256", "kmalloc-cg-256"].map(|name| (name.to_owned(), layout)).into();
        let wanted = TraceTargets::new(&["kmalloc-256".to_owned()], &caches);
        let mut decoder = Decoder::new(&formats, &wanted).unwrap();
        let mut events = Events::default();
        let records = [
            record(10, &[0x100, 1, 256, 0]),
            record(10, &[0x200, 2, 256, 0x40_0000]),
            record(4, &[2, 0x201, 0x202]),
            record(4, &[2, 0x101, 0x102, u64::MAX]),
            record(10, &[0x100, 3, 256, 0]),
            record(11, &[0x300, 3]),
            record(11, &[0x300])[..12].to_vec(),
        ];
        records.iter().zip(1..).for_each(|(record, time)| decoder.decode(time, record, &wanted, &mut events));
        let alive = events.alive(&wanted.names());
        let by = alive.keys().next().unwrap();
        assert_eq!((alive.len(), by.caller, events.frames(by.stack)), (1, 0x100, &[0x101, 0x102][..]));
    }

    #[test]
    fn kernel_without_the_events_cannot_tell() {
        assert!(Decoder::new(&BTreeMap::new(), &TraceTargets::new(&["pages".to_owned()], &BTreeMap::new())).is_none());
    }

    #[test]
    fn order_is_none_that_no_kernel_has() {
        let most = u64::from(MOST_ORDER);
        assert_eq!([0, most, most + 1, 300].map(order_of), [Some(0), Some(MOST_ORDER), None, None]);
    }

    /// Returns a decoder of the events of Linux 6.1 and what is asked about: pages, per-CPU memory, and a cache with a name of its own.
    fn of_a_machine() -> (Decoder, TraceTargets) {
        let made = MadeFiles::machine();
        made.tracepoints();
        let caches = [("filp".to_owned(), Layout { object_bytes: 232, slot_bytes: 256 })].into();
        let wanted = TraceTargets::new(&["pages", "percpu", "filp"].map(str::to_owned), &caches);
        (Decoder::new(&formats(&made.files), &wanted).unwrap(), wanted)
    }

    /// Returns what is alive after these records, by counter.
    fn alive(records: &[Vec<u8>]) -> BTreeMap<u16, i64> {
        let (mut decoder, wanted) = of_a_machine();
        let mut events = Events::default();
        records.iter().zip(1..).for_each(|(record, time)| decoder.decode(time, record, &wanted, &mut events));
        let mut alive = BTreeMap::new();
        events.alive(&wanted.names()).into_iter().for_each(|(by, n)| *alive.entry(by.counter).or_default() += n);
        alive
    }

    #[test]
    fn pages_count_by_their_order_and_are_freed_one_by_one() {
        let (taken, freed) = (record(14, &[0x1000, 2]), record(15, &[0x1001, 0]));
        assert_eq!(alive(std::slice::from_ref(&taken)), [(0, 4)].into());
        assert_eq!(alive(&[taken.clone(), freed]), [(0, 3)].into());
        assert_eq!(alive(&[taken, record(15, &[0x1000, 2])]), [].into());
        assert_eq!(alive(&[record(14, &[u64::MAX, 0])]), [].into(), "the allocation failed");
        assert_eq!(alive(&[record(14, &[0x1000, 99])]), [].into(), "no kernel has such an order");
    }

    #[test]
    fn percpu_memory_and_objects_of_a_cache_live_until_they_are_freed() {
        let percpu = record(16, &[0x100, 0, 0, 0, 0, 0, 0x60_1000]);
        assert_eq!(alive(std::slice::from_ref(&percpu)), [(1, 1)].into());
        assert_eq!(alive(&[percpu, record(17, &[0, 0, 0x60_1000])]), [].into());
        let file = record(11, &[0x200, 0xa000, 232, 256]);
        assert_eq!(alive(std::slice::from_ref(&file)), [(2, 1)].into());
        assert_eq!(alive(&[file, record(12, &[0x300, 0xa000])]), [].into());
        assert_eq!(alive(&[record(11, &[0x200, 0xa000, 200, 256])]), [].into(), "another cache with slots as large");
    }

    #[test]
    fn stack_on_another_processor_is_not_that_of_an_allocation_here() {
        let (mut decoder, wanted) = of_a_machine();
        let mut events = Events::default();
        decoder.decode(1, &record(11, &[0x200, 0xa000, 232, 256]), &wanted, &mut events);
        decoder.begin();
        decoder.decode(2, &record(4, &[1, 0x201, u64::MAX]), &wanted, &mut events);
        assert_eq!(events.alive(&wanted.names()).keys().map(|by| by.stack).collect::<Vec<_>>(), [0]);
    }
}
