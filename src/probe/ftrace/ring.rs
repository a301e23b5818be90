//! The pages of the kernel's trace buffer, as tracefs `per_cpu/cpu*/trace_pipe_raw` gives them: kernel/trace/ring_buffer.c.
//!
//! The same events as text would take the kernel seconds to write, and with pointers that are hashed to 32 bits.

/// Bytes of a page.
pub use crate::sample::PAGE_BYTES;

/// A time stamp and how many bytes of the page are used.
const HEADER_BYTES: usize = 16;
/// The upper bits of that number are flags.
const USED_BITS: u64 = (1 << 20) - 1;

/// Kinds of entries, from `events/header_event`; smaller ones are the length of a record in words, and 0 one whose length
/// follows.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// Bits of an entry's head that are the time since the one before.
const DELTA_BITS: u32 = 27;

/// Gives every record of a page with its time; one that was overwritten half does not come.
pub fn records(page: &[u8], mut each: impl FnMut(u64, &[u8])) {
    let Some(mut time) = number(page, 0) else { return };
    let Some(used) = number(page, 8) else { return };
    let end = page.len().min(HEADER_BYTES + (used & USED_BITS) as usize);
    let mut at = HEADER_BYTES;
    while let Some(head) = word(&page[..end], at) {
        let (kind, delta) = (head & 31, u64::from(head >> 5));
        let next = word(&page[..end], at + 4);
        let long = |next: u32| u64::from(next) << DELTA_BITS;
        let (data, length) = match (kind, next) {
            (PADDING, _) if delta == 0 => return,
            (PADDING, Some(length)) => (at + 4, length as usize),
            (TIME_EXTEND, Some(next)) => {
                time = time.wrapping_add(long(next));
                (at + 4, 4)
            }
            (TIME_STAMP, Some(next)) => {
                // The time itself, of which the head has the lower bits.
                time = long(next);
                (at + 4, 4)
            }
            (0, Some(length)) => (at + 8, (length as usize).saturating_sub(4)),
            (words, _) => (at + 4, words as usize * 4),
        };
        // What is no time is no reason to end.
        time = time.wrapping_add(delta);
        if kind < PADDING {
            let Some(record) = page.get(data..data + length).filter(|_| data + length <= end) else { return };
            each(time, record);
        }
        at = data + length;
    }
}

fn word(page: &[u8], at: usize) -> Option<u32> {
    page.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn number(page: &[u8], at: usize) -> Option<u64> {
    page.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(words: &[u32]) -> Vec<u8> {
        let mut page = 1000_u64.to_le_bytes().to_vec();
        page.extend(((words.len() as u64 * 4) | (1 << 31)).to_le_bytes());
        words.iter().for_each(|w| page.extend(w.to_le_bytes()));
        page.resize(PAGE_BYTES, 0xaa);
        page
    }

    fn read(page: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        records(page, |time, record| all.push((time, record.to_vec())));
        all
    }

    #[test]
    fn records_of_both_forms_come_with_their_time() {
        let page = page(&[
            2 | 5 << 5,
            7,
            8,
            TIME_EXTEND | 1 << 5,
            1,
            3 << 5, // a length that follows counts itself
            8,
            9,
            PADDING | 1 << 5, // one that was taken back, with its length in the first of its two words
            8,
            0,
            1,
            4,
            PADDING,
        ]);
        let bytes = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let later = 1000 + 5 + 1 + (1 << DELTA_BITS) + 3;
        assert_eq!(read(&page), [(1005, bytes(&[7, 8])), (later, bytes(&[9])), (later + 1, bytes(&[4]))]);
    }

    #[test]
    fn page_that_is_cut_ends_early() {
        assert_eq!(read(&page(&[4, 1, 2])), []);
        assert_eq!(read(&[1, 2, 3]), []);
        assert_eq!(read(&page(&[])), []);
    }

    #[test]
    fn times_that_no_clock_has_end_nothing() {
        let mut page = page(&[1 | 5 << 5, 7, TIME_EXTEND, u32::MAX, 1, 8]);
        page[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read(&page).len(), 2);
    }

    #[test]
    fn nothing_behind_the_padding_that_ends_a_page_is_a_record() {
        assert_eq!(read(&page(&[1 | 5 << 5, 7, PADDING, 4, 1, 99])).len(), 1);
    }

    #[test]
    fn time_that_is_told_whole_takes_the_place_of_the_one_before() {
        let bytes = |word: u32| word.to_le_bytes().to_vec();
        let told = page(&[1 | 5 << 5, 7, TIME_STAMP | 9 << 5, 2, 1 | 1 << 5, 8]);
        assert_eq!(read(&told), [(1005, bytes(7)), ((2 << DELTA_BITS) + 10, bytes(8))]);
    }
}
