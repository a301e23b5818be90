//! Call sites in the words of the kernel: functions with offsets, and helpers that are looked through.

use super::object_allocators::is_object_allocator;
use super::procfs::number;
use crate::sample::Site;

/// Names who asked where SLUB names a function that allocates for whoever asks. kmalloc_track_caller() makes it look through one such
/// function, and is itself called by others: behind kasprintf() comes who asked it.
pub(crate) fn look_through(site: &mut Site) {
    if is_object_allocator(&site.function) {
        let behind = site.stack.iter().skip_while(|f| **f != site.function).find(|f| !is_object_allocator(f));
        site.function = behind.unwrap_or(&site.function).clone();
    }
}

/// Strips the offset off "nfs_readdir+0x12/0x90 \[nfs\]".
pub(crate) fn without_offset(place: &str) -> String {
    place.split('+').next().unwrap_or(place).to_owned()
}

/// Reads records, each a line "`count` `function`+`offset` age=..." and, indented below it, the stack.
pub fn parse(text: &str) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for line in text.lines() {
        let words = line.trim();
        let mut parts = words.split_whitespace();
        let (first, second) = (parts.next(), parts.next());
        match (first.and_then(number).filter(|objects| *objects > 0), second) {
            (Some(objects), Some(place)) => {
                sites.push(Site { function: without_offset(place), stack: Vec::new(), objects });
            }
            _ => {
                if let (Some(site), Some(frame)) = (sites.last_mut(), first) {
                    site.stack.push(without_offset(frame));
                }
            }
        }
    }
    sites.iter_mut().for_each(look_through);
    sites
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_stands_behind_the_function_that_is_named() {
        let stack = ["irq_exit", "kstrdup", "kmemdup", "nfs_opendir", "vfs_open"].map(str::to_owned).to_vec();
        let mut site = Site { function: "kstrdup".into(), stack, objects: 1 };
        look_through(&mut site);
        assert_eq!(site.function, "nfs_opendir");
    }
}
