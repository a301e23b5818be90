//! What the kernel 6.1+spare-pages leaks per listing, by the rules in the header of vm/patches/6.1/spare-pages.patch.

use dirleak::scenario::{Names, Scenario, ServerKind};
use std::collections::HashMap;

/// Names that fit one page of the client's directory cache.
const PAGE_NAMES: u64 = 127;
/// Pages that one reply fills beside the wanted one.
const SPARE_PAGES: usize = 7;
/// What the client asks for at first, in bytes; it doubles this where a reply was too short.
const FIRST_REPLY_BYTES: u64 = 64 << 10;

/// What one cold listing costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Names that are never freed.
    pub leaked: u64,
    pub readdirplus: u64,
    pub readdir: u64,
}

/// A cold listing of the scenario's directory over NFSv3 by READDIRPLUS, as its mount options ask for.
pub fn listing(scenario: &Scenario) -> Expected {
    let Names::Random { min_bytes, max_bytes } = scenario.directory.names else {
        panic!("the model knows names of one length only");
    };
    assert_eq!((min_bytes, scenario.mount.version.as_str()), (max_bytes, "3"), "the model knows no such scenario");
    Listing::new(scenario, min_bytes as u64).run()
}

/// A page of names, in the cache or spare.
#[derive(Clone, Copy, Default)]
struct Page {
    names: u64,
    /// No name will be added: one did not fit, or the directory ends here.
    full: bool,
}

/// A listing on its way.
struct Listing {
    /// Names in the directory, `.` and `..` included.
    names: u64,
    name_bytes: u64,
    getdents_bytes: u64,
    most_reply_bytes: u64,
    /// What a reply holds beside the entries, and a file handle.
    frame_bytes: u64,
    handle_bytes: u64,

    /// The page at which the listing is, the name it wants next, and the pages that were handed over to the cache.
    page: u64,
    next: u64,
    cached: HashMap<u64, Page>,
    spares: Vec<Page>,
    used_spares: usize,
    /// How much the client asks for, and the last page that the last reply touched.
    reply_bytes: u64,
    last_filled: Option<u64>,
    seen: Expected,
}

impl Listing {
    fn new(scenario: &Scenario, name_bytes: u64) -> Self {
        // tests measure both; the frame of the synthetic server counts the directory's attributes, too.
        let (frame_bytes, handle_bytes) = match scenario.server {
            ServerKind::Synthetic => (108, 16),
            ServerKind::Knfsd => (8, 20),
        };
        Self {
            names: scenario.directory.entries + 2,
            name_bytes,
            getdents_bytes: scenario.listing.getdents_buffer_bytes as u64,
            most_reply_bytes: u64::from(scenario.mount.rsize_bytes),
            frame_bytes,
            handle_bytes,
            page: 0,
            next: 0,
            cached: HashMap::new(),
            spares: Vec::new(),
            used_spares: 0,
            reply_bytes: FIRST_REPLY_BYTES.min(scenario.mount.rsize_bytes.into()),
            last_filled: None,
            seen: Expected::default(),
        }
    }

    /// getdents64 until it has nothing more to give. Only the first call asks for attributes: nobody looks at them.
    fn run(mut self) -> Expected {
        while self.next < self.names {
            let plus = self.next == 0;
            self.last_filled = None;
            self.getdents(plus);
            self.drop_spares();
        }
        self.seen
    }

    /// One call: pages, until the buffer is full or the directory ends.
    fn getdents(&mut self, plus: bool) {
        let mut room = self.getdents_bytes;
        while self.next < self.names {
            if !self.cached.get(&self.page).is_some_and(|page| page.full) && !self.use_spare() {
                self.ask(plus);
            }
            let page = self.cached[&self.page];
            let end = self.page * PAGE_NAMES + page.names;
            while self.next < end {
                // A record holds 19 bytes, the name and its NUL, and is aligned to 8.
                let record = (20 + self.length(self.next)).next_multiple_of(8);
                if record > room {
                    return;
                }
                room -= record;
                self.next += 1;
            }
            self.page += u64::from(page.full);
        }
    }

    /// Takes the next spare page into the cache, but never the last one.
    fn use_spare(&mut self) -> bool {
        if self.used_spares + 1 >= self.spares.len() {
            return false;
        }
        let spare = std::mem::take(&mut self.spares[self.used_spares]);
        self.cached.insert(self.page, spare);
        self.used_spares += 1;
        true
    }

    fn drop_spares(&mut self) {
        self.seen.leaked += self.spares.drain(..).map(|page| page.names).sum::<u64>();
        self.used_spares = 0;
    }

    /// READDIR or READDIRPLUS for the page at which the listing is.
    fn ask(&mut self, plus: bool) {
        self.drop_spares();
        if self.last_filled == Some(self.page) {
            self.reply_bytes = (2 * self.reply_bytes).min(self.most_reply_bytes);
        }
        *(if plus { &mut self.seen.readdirplus } else { &mut self.seen.readdir }) += 1;
        let mut page = self.cached.get(&self.page).copied().unwrap_or_default();
        let mut name = self.page * PAGE_NAMES + page.names;
        let end = name + self.in_reply(name, plus);
        while name < end {
            if page.names == PAGE_NAMES {
                page.full = true;
                self.put(page);
                if self.spares.len() == SPARE_PAGES {
                    return self.note_last();
                }
                self.spares.push(Page::default());
                page = Page::default();
            }
            page.names += 1;
            name += 1;
        }
        page.full |= end == self.names;
        self.put(page);
        self.note_last();
    }

    /// Writes the page that is being filled back to where it is: the last spare page or the wanted one.
    fn put(&mut self, page: Page) {
        match self.spares.last_mut() {
            Some(spare) => *spare = page,
            None => drop(self.cached.insert(self.page, page)),
        }
    }

    fn note_last(&mut self) {
        self.last_filled = Some(self.page + self.spares.len() as u64);
    }

    /// How many entries from `name` on fit one reply.
    fn in_reply(&self, name: u64, plus: bool) -> u64 {
        let mut room = self.reply_bytes - self.frame_bytes;
        let fits = |name: &u64| {
            // Three numbers and two lengths, the name; then attributes and handle, each with its own "here it is".
            let plain = 24 + self.length(*name).next_multiple_of(4);
            let entry = if plus { plain + 4 + 84 + 4 + 4 + self.handle_bytes } else { plain };
            let enough = entry <= room;
            room = room.saturating_sub(entry);
            enough
        };
        (name..self.names).take_while(fits).count() as u64
    }

    /// The length of a name; the first two are `.` and `..`.
    fn length(&self, name: u64) -> u64 {
        if name < 2 { name + 1 } else { self.name_bytes }
    }
}

/// Trials of the model itself, on figures that the header works out or that follow from its rules by hand.
pub mod trials {
    use super::*;
    use dirleak::scenario::{Overrides, select};

    fn of(scenario: &str, entries: u64) -> Expected {
        let overrides = Overrides { entries: Some(entries), mount_options: None };
        listing(&select(&[scenario.into()], None, &[], &overrides).unwrap()[0])
    }

    /// 127 names fit one page; beyond, all but them leak as long as one reply holds the directory.
    pub fn one_page_more() -> Result<(), libtest_mimic::Failed> {
        for (entries, leaked, readdirplus) in
            [(1, 0, 1), (110, 0, 1), (125, 0, 1), (126, 1, 2), (128, 3, 2), (150, 25, 2)]
        {
            let expected = Expected { leaked, readdirplus, readdir: 0 };
            same(&format!("quick -n {entries}"), of("quick", entries), expected)?;
        }
        Ok(())
    }

    /// 302 names of 200 bytes: the first reply holds 195 and leaks 68, the second fills the next page and leaks the rest.
    pub fn reply_too_short() -> Result<(), libtest_mimic::Failed> {
        let expected = Expected { leaked: 68 + 48, readdirplus: 2, readdir: 1 };
        same("quick -n 300", of("quick", 300), expected)
    }

    /// A getdents64 buffer of 682 names, a reply of 8 pages: about n (8 x 127 / 682 - 1).
    pub fn large_directory() -> Result<(), libtest_mimic::Failed> {
        let leaked = of("huge-flat", 100_000).leaked as f64;
        let about = 100_000.0 * (8.0 * 127.0 / 682.0 - 1.0);
        if (leaked / about - 1.0).abs() > 0.01 {
            return Err(format!("the model says {leaked} for huge-flat, the header's short formula {about}").into());
        }
        Ok(())
    }

    fn same(what: &str, modelled: Expected, expected: Expected) -> Result<(), libtest_mimic::Failed> {
        if modelled != expected {
            return Err(format!("the model says {modelled:?} for {what}, not {expected:?}").into());
        }
        Ok(())
    }
}
