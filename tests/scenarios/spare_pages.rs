//! What a kernel SERIES+spare-pages leaks per listing, by the rules in the header of vm/patches/SERIES/spare-pages.patch.

use crate::directory::Directory;
use crate::spare_pages_by_index;
use dirleak::internals::scenario::Scenario;
use std::collections::HashMap;

/// Names that fit one page of the client's directory cache.
const PAGE_NAMES: u64 = 127;
/// Pages that one reply fills beside the wanted one.
const SPARE_PAGES: usize = 7;
/// Names that the first getdents64 call of a listing gives at most, by clients that wait to see whether the program looks at
/// attributes.
const FIRST_CALL_NAMES: u64 = 19;
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
pub fn listing(series: &str, scenario: &Scenario) -> Expected {
    assert_eq!(scenario.mount.version.as_str(), "3", "the model knows no such scenario");
    match series {
        "5.10" => spare_pages_by_index::listing(scenario),
        "6.1" => Listing::new(scenario, None).run(),
        _ => Listing::new(scenario, Some(FIRST_CALL_NAMES)).run(),
    }
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
    directory: Directory,
    getdents_bytes: u64,
    /// How many names the first call gives at most.
    first_call_names: Option<u64>,
    most_reply_bytes: u64,

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
    fn new(scenario: &Scenario, first_call_names: Option<u64>) -> Self {
        Self {
            directory: Directory::from_scenario(scenario),
            getdents_bytes: scenario.listing.getdents_buffer_bytes as u64,
            first_call_names,
            most_reply_bytes: u64::from(scenario.mount.rsize_bytes),
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
        while self.next < self.directory.names {
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
        let first_call = self.next == 0;
        while self.next < self.directory.names {
            if !self.cached.get(&self.page).is_some_and(|page| page.full) && !self.use_spare() {
                self.ask(plus);
            }
            let page = self.cached[&self.page];
            let end = self.page * PAGE_NAMES + page.names;
            while self.next < end {
                let record = self.directory.record_bytes(self.next);
                if record > room || (first_call && Some(self.next) == self.first_call_names) {
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
        let end = name + self.directory.in_reply(name, self.reply_bytes, plus);
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
        page.full |= end == self.directory.names;
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
}

/// Trials of the model itself, on figures that the headers work out or that follow from their rules by hand.
pub mod trials {
    use super::*;
    use dirleak::internals::scenario::{Overrides, select};
    use libtest_mimic::Failed;

    fn expected_leak(series: &str, scenario: &str, entries: u64) -> Expected {
        let overrides = Overrides { entries: Some(entries), ..Overrides::default() };
        listing(series, &select(&[scenario.into()], None, &[], &overrides).unwrap()[0])
    }

    /// What fits one page is kept; beyond, all but that leaks as long as one reply holds the directory.
    pub fn one_page_more() -> Result<(), Failed> {
        for (entries, leaked, readdirplus) in
            [(1, 0, 1), (110, 0, 1), (125, 0, 1), (126, 1, 2), (128, 3, 2), (150, 25, 2)]
        {
            same("6.1", entries, Expected { leaked, readdirplus, readdir: 0 })?;
        }
        for (entries, leaked, readdirplus) in [(1, 0, 1), (100, 0, 1), (101, 1, 2), (110, 10, 2), (150, 50, 2)] {
            same("5.10", entries, Expected { leaked, readdirplus, readdir: 0 })?;
        }
        // The second page is asked for by the second call, which wants no attributes.
        for (entries, leaked, readdir) in [(17, 0, 0), (125, 0, 0), (126, 1, 1), (150, 25, 1)] {
            same("6.12", entries, Expected { leaked, readdirplus: 1, readdir })?;
        }
        Ok(())
    }

    /// 302 names of 200 bytes: the first reply holds 195 and leaks 68; what the others leak depends on when they are asked for.
    pub fn reply_too_short() -> Result<(), Failed> {
        same("6.1", 300, Expected { leaked: 68 + 48, readdirplus: 2, readdir: 1 })?;
        same("6.12", 300, Expected { leaked: 68 + 48, readdirplus: 1, readdir: 2 })?;
        same("5.10", 300, Expected { leaked: 98, readdirplus: 1, readdir: 1 })
    }

    /// 1,002 names of 200 bytes, of which a getdents64 buffer holds 146: what the headers count call by call.
    pub fn many_pages() -> Result<(), Failed> {
        same("5.10", 1000, Expected { leaked: 2460, readdirplus: 2, readdir: 6 })?;
        same("6.12", 1000, Expected { leaked: 1006, readdirplus: 1, readdir: 7 })
    }

    /// A getdents64 buffer of 682 names, a reply of 8 pages of P names: about n (8 P / 682 - 1).
    pub fn large_directory() -> Result<(), Failed> {
        for (series, page_names) in [("5.10", 102.0), ("6.1", 127.0), ("6.12", 127.0)] {
            let leaked = expected_leak(series, "huge-flat", 100_000).leaked as f64;
            let about = 100_000.0 * (8.0 * page_names / 682.0 - 1.0);
            if (leaked / about - 1.0).abs() > 0.02 {
                return Err(format!("the model of {series} says {leaked}, the header's short formula {about}").into());
            }
        }
        Ok(())
    }

    fn same(series: &str, entries: u64, expected: Expected) -> Result<(), Failed> {
        let modelled = expected_leak(series, "quick", entries);
        if modelled != expected {
            let what = format!("quick -n {entries} on {series}");
            return Err(format!("the model says {modelled:?} for {what}, not {expected:?}").into());
        }
        Ok(())
    }
}
