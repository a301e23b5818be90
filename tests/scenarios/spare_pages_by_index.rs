//! The same for clients that number the pages of a directory, as those before Linux 5.11 do: the rules in the header of
//! vm/patches/5.10/spare-pages.patch.

use crate::directory::Directory;
use crate::spare_pages::Expected;
use dirleak::internals::scenario::{Scenario, ServerKind};
use std::ops::Range;

/// Names that fit one page of the client's directory cache.
const PAGE_NAMES: u64 = 102;
/// Pages that are filled at once, the wanted one included.
const FILLED_PAGES: u64 = 8;
/// The longest reply that the client asks for.
const MOST_REPLY_BYTES: u64 = 64 * 4096;

pub fn listing(scenario: &Scenario) -> Expected {
    let reply_bytes = match scenario.server {
        ServerKind::Synthetic => MOST_REPLY_BYTES,
        // knfsd answers with a 4096th of the memory that Linux sees, as a power of two; Linux sees less than there is.
        ServerKind::Knfsd => u64::from(scenario.guest.memory_mib) << 20 >> 13,
    };
    let listing = Listing {
        directory: Directory::from_scenario(scenario),
        getdents_bytes: scenario.listing.getdents_buffer_bytes as u64,
        reply_bytes: reply_bytes.min(MOST_REPLY_BYTES).min(scenario.mount.rsize_bytes.into()),
        next: 0,
        cached_pages: 0,
        spares: 0..0,
        end: 0,
        seen: Expected::default(),
    };
    listing.run()
}

/// A listing on its way.
struct Listing {
    directory: Directory,
    getdents_bytes: u64,
    reply_bytes: u64,
    /// The name that the listing wants next, and how many pages the cache has.
    next: u64,
    cached_pages: u64,
    /// The full spare pages that were not handed over, by the page's number, and the name after the last one in a spare page.
    spares: Range<u64>,
    end: u64,
    seen: Expected,
}

impl Listing {
    /// getdents64 until it has nothing more to give. Only the first call asks for attributes: nobody looks at them.
    fn run(mut self) -> Expected {
        while self.next < self.directory.names {
            let plus = self.next == 0;
            self.getdents(plus);
            self.drop_spares();
        }
        self.seen
    }

    /// One call: pages, until the buffer is full or the directory ends.
    fn getdents(&mut self, plus: bool) {
        let mut room = self.getdents_bytes;
        while self.next < self.directory.names {
            let page = self.next / PAGE_NAMES;
            if page >= self.cached_pages {
                self.cache(page, plus);
            }
            let record = self.directory.record_bytes(self.next);
            if record > room {
                return;
            }
            room -= record;
            self.next += 1;
        }
    }

    /// Takes the page from the spare ones, or asks for it.
    fn cache(&mut self, page: u64, plus: bool) {
        if !self.spares.contains(&page) {
            self.fill(page, plus);
        }
        self.spares.start = page + 1;
        self.cached_pages = page + 1;
    }

    /// READDIR or READDIRPLUS, until the spare pages are full or hold the end of the directory. That they are full shows in the first name
    /// that finds no room.
    fn fill(&mut self, page: u64, plus: bool) {
        self.drop_spares();
        let first = page * PAGE_NAMES;
        let room = first + FILLED_PAGES * PAGE_NAMES;
        self.end = first;
        loop {
            *(if plus { &mut self.seen.readdirplus } else { &mut self.seen.readdir }) += 1;
            self.end += self.directory.in_reply(self.end, self.reply_bytes, plus);
            if self.end > room {
                self.end = room;
                self.spares = page..page + FILLED_PAGES;
                return;
            }
            if self.end == self.directory.names {
                // The last page that was begun is never used, full or not, unless it is the wanted one.
                self.spares = page..(self.end - 1) / PAGE_NAMES;
                return;
            }
        }
    }

    /// The names that were not handed over are lost.
    fn drop_spares(&mut self) {
        self.seen.leaked += self.end.saturating_sub(self.cached_pages * PAGE_NAMES);
        self.spares = 0..0;
        self.end = 0;
    }
}
