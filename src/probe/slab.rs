//! How many objects every slab cache holds, exactly: from `/sys/kernel/slab/*/objects`.
//!
//! `objects` counts what lies free in per-CPU lists as in use, so `shrink` is written right before each cache is read
//! (Documentation/ABI/testing/sysfs-kernel-slab). `/proc/slabinfo` is not used where sysfs exists: since Linux 6.10
//! it only estimates caches with more than 10,000 partial slabs (count_partial_free_approx in mm/slub.c). Except for the smallest
//! size classes: reading `objects` takes an object of one of them, and writing `shrink`, too (show_slab_objects in mm/slub.c,
//! kernfs_fop_write_iter in fs/kernfs/file.c). Without slub_debug the processor is left with one to three slabs of its own for that, by
//! how full the fullest happens to be, and their free objects would count as in use: up to 512. Reading `/proc/slabinfo` takes none.

mod cgroups;
mod place;

use super::kernel_files::{KernelFiles, entries};
use super::procfs::{read_all, release_of};
use super::slabinfo;
use crate::error::{Context, Error, Result};
use crate::sample::Sample;
use cgroups::{CHILDREN, CHILDREN_ARE_HIDDEN, Children, has_caches_of_cgroups, parent_of};
use place::Place;
#[cfg(any(test, fuzzing))]
pub(super) use place::parse_objects;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Where SLUB shows its caches.
pub(super) const SYSFS: &str = "/sys/kernel/slab";
/// The size classes that reading itself takes objects of: a number for each node, up to four of them, and the text that is written.
const TAKEN_BY_READING: [&str; 3] = ["kmalloc-8", "kmalloc-16", "kmalloc-32"];
/// How the names of the caches begin in which kmemleak has a note of every other object: what grows there grows elsewhere.
const NOTES_OF_KMEMLEAK: &str = "kmemleak_";

/// How the directory of caches that a kernel has merged begins, for instance ":A-0000256" (create_unique_id in mm/slub.c, seen on 6.1).
/// The names of the caches are links to it.
const MERGED: char = ':';
/// How those names begin, best known first, by which one merged cache is called: size classes, open files, and what NFS has.
const KNOWN: [&str; 5] = ["kmalloc-", "filp", "nfs", "rpc_", "dentry"];

/// The files of all caches, kept open so that reading allocates next to nothing.
pub struct Slabs {
    files: KernelFiles,
    caches: Vec<Cache>,
    /// [`slabinfo::FILE`], which tells all caches at once without taking an object for it; `None` if the kernel has none.
    table: Option<File>,
    has_sheaves: bool,
}

struct Cache {
    /// What it is counted under.
    name: String,
    /// The other names of a merged cache.
    shared_with: Vec<String>,
    /// What the table calls it, if reading takes objects of it.
    listed: Option<String>,
    own: Place,
    /// `None` where the kernel shows none, as all do that are older or newer.
    children: Option<Children>,
    layout: Layout,
}

/// How large the objects of a cache are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of an object, debugging data not counted.
    pub object_bytes: u64,
    /// Bytes that it takes.
    pub slot_bytes: u64,
}

/// Returns what a cache is counted under: that of a cgroup under the cache that it is of. kmalloc-rnd-`copy`-`size` (CONFIG_RANDOM_KMALLOC_CACHES, Linux 6.6) and
/// kmalloc-part-`copy`-`size` (7.x) are copies of kmalloc-`size`; which of them a caller allocates from is drawn by lot at
/// each boot.
pub fn counted_as(cache: &str) -> String {
    let cache = parent_of(cache).unwrap_or(cache);
    let copy = ["kmalloc-rnd-", "kmalloc-part-"].iter().find_map(|prefix| cache.strip_prefix(prefix));
    match copy.and_then(|rest| rest.split_once('-')) {
        Some((number, size)) if number.bytes().all(|b| b.is_ascii_digit()) && !size.contains('-') => {
            format!("kmalloc-{size}")
        }
        _ => cache.to_owned(),
    }
}

/// Returns the name of a merged cache that people know: the same on each boot, whatever order the names are read in.
fn best_known(names: &[String]) -> Option<&String> {
    let rank = |name: &String| KNOWN.iter().position(|prefix| name.starts_with(prefix)).unwrap_or(KNOWN.len());
    names.iter().min_by_key(|name| (rank(name), *name))
}

/// Returns where below [`SYSFS`] all caches are that are counted under `name`, those of cgroups last.
pub fn members(files: &KernelFiles, name: &str) -> Vec<String> {
    let names = entries(&files.path(SYSFS)).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let own: Vec<String> = names.filter(|cache| counted_as(cache) == name).collect();
    let children = own.iter().flat_map(|cache| {
        let children = entries(&files.path(&format!("{SYSFS}/{cache}/{CHILDREN}")));
        children.map(move |entry| format!("{cache}/{CHILDREN}/{}", entry.file_name().to_string_lossy()))
    });
    let children: Vec<String> = children.collect();
    own.into_iter().chain(children).collect()
}

/// Returns whether the kernel empties the caches that are counted under `name` when it wants memory, as it does inodes and
/// dentries.
pub fn is_reclaimable(files: &KernelFiles, name: &str) -> bool {
    let told = |cache: String| files.text(&format!("{SYSFS}/{cache}/reclaim_account"));
    members(files, name).into_iter().any(|cache| told(cache).is_ok_and(|text| text.trim() == "1"))
}

impl Slabs {
    /// Opens every cache there is now.
    pub fn open(files: &KernelFiles) -> Result<Self> {
        let caches = Self::find(&files.path(SYSFS))?;
        let has_sheaves = caches.iter().any(|cache| cache.own.has_sheaves());
        Ok(Self { files: files.clone(), caches, table: files.open(slabinfo::FILE).ok(), has_sheaves })
    }

    /// Opens every cache that is in this directory.
    fn find(root: &Path) -> Result<Vec<Cache>> {
        let entries = fs::read_dir(root).map_err(|_| {
            Error::kernel(format!(
                "this kernel shows no {}: it lacks CONFIG_SLUB_DEBUG or CONFIG_SYSFS, without which objects cannot be counted",
                root.display()
            ))
        })?;
        let mut caches = Vec::new();
        let mut aliases: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for entry in entries {
            let entry = entry.machine(|| format!("cannot list {}", root.display()))?;
            if let Ok(target) = fs::read_link(entry.path()) {
                let alias = entry.file_name().to_string_lossy().into_owned();
                aliases.entry(target).or_default().push(alias);
            }
            // A merged cache's names are links to the one directory that counts.
            let counts = !entry.file_name().to_string_lossy().starts_with(NOTES_OF_KMEMLEAK);
            if counts && entry.file_type().is_ok_and(|t| t.is_dir()) {
                caches.push(Cache::open(&entry.path())?);
            }
        }
        let mut group_of = BTreeMap::new();
        for cache in &mut caches {
            let dir = cache.own.dir.file_name().map(PathBuf::from).unwrap_or_default();
            let names = aliases.remove(&dir).unwrap_or_default();
            if let Some(known) = best_known(&names).filter(|_| cache.name.starts_with(MERGED)) {
                cache.name = counted_as(known);
                cache.shared_with = names.iter().filter(|name| *name != known).cloned().collect();
                cache.shared_with.sort();
            }
            group_of.extend(names.iter().map(|name| (name.clone(), cache.name.clone())));
            let mut names = names.into_iter().chain([dir.to_string_lossy().into_owned()]);
            cache.listed = names.find(|name| TAKEN_BY_READING.contains(&counted_as(name).as_str()));
        }
        for cache in &mut caches {
            // Of a cgroup, beside the caches: what it is of may be merged with others.
            if let Some(group) = cache.parent().and_then(|parent| group_of.get(&parent)) {
                cache.name = group.clone();
            }
        }
        caches.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(caches)
    }

    /// Returns the kernel's files, of which these are read.
    pub fn files(&self) -> &KernelFiles {
        &self.files
    }

    /// Hands back what lies free in per-CPU lists and empty slabs, so that the count is exact.
    pub fn shrink(&self) {
        self.caches.iter().for_each(Cache::shrink);
    }

    /// Returns whether some cache keeps objects in sheaves, those among them that kfree_rcu() frees.
    pub fn has_sheaves(&self) -> bool {
        self.has_sheaves
    }

    /// Reads how many objects are in use in every cache.
    pub fn read(&self) -> Result<Sample> {
        let mut sample = Sample::default();
        for cache in &self.caches {
            *sample.objects.entry(cache.name.clone()).or_default() += cache.count()?;
        }
        Ok(sample)
    }

    /// Returns objects in use in every cache, each counted right after its lists were handed back: whatever other processors take
    /// an object of meanwhile leaves them with a slab of their own again. What reading takes objects of comes last.
    pub fn read_shrunk(&self) -> Result<Sample> {
        self.read_shrunk_of(|_| true)
    }

    /// Reads the same of those caches alone that are counted under wanted names.
    pub fn read_shrunk_of(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Sample> {
        let mut sample = Sample::default();
        let wanted = self.caches.iter().filter(|cache| is_wanted(&cache.name));
        let (listed, others): (Vec<_>, Vec<_>) = wanted.partition(|cache| cache.listed.is_some());
        for cache in others {
            cache.shrink();
            *sample.objects.entry(cache.name.clone()).or_default() += cache.count()?;
        }
        listed.iter().for_each(|cache| cache.shrink());
        let table = self.table.as_ref().filter(|_| !listed.is_empty()).and_then(|file| read_all(file).ok());
        let table = table.map(|text| slabinfo::parse(&text)).unwrap_or_default();
        for cache in listed {
            let told = cache.listed.as_ref().and_then(|name| table.get(name)).copied();
            *sample.objects.entry(cache.name.clone()).or_default() += told.map_or_else(|| cache.count(), Ok)?;
        }
        Ok(sample)
    }

    /// Returns, in a sentence, what this kernel may keep in caches that it does not show; `None` if nothing.
    pub fn note(&self) -> Option<&'static str> {
        let shows_children = self.caches.iter().any(|cache| cache.children.is_some() || cache.parent().is_some());
        let read = |file: &str| self.files.text(file).unwrap_or_default();
        let has = has_caches_of_cgroups(&release_of(&self.files).ok()?, &read("/proc/cmdline"), &read("/proc/cgroups"));
        (has && !shows_children).then_some(CHILDREN_ARE_HIDDEN)
    }

    /// Returns what the cache of this name is counted under; `None` if there is none.
    pub fn counted_under(&self, cache: &str) -> Option<&str> {
        let is_it = |of: &&Cache| of.name == cache || of.shared_with.iter().any(|other| other == cache);
        self.caches.iter().find(is_it).map(|of| of.name.as_str())
    }

    /// Returns bytes of one object of each cache, without debugging data.
    pub fn object_bytes(&self) -> BTreeMap<String, u64> {
        self.layouts().into_iter().map(|(name, layout)| (name, layout.object_bytes)).collect()
    }

    /// Returns, for each merged cache that has them, the other names of what is counted under its name.
    pub fn shared_names(&self) -> BTreeMap<String, Vec<String>> {
        let shared = self.caches.iter().filter(|cache| !cache.shared_with.is_empty());
        shared.map(|cache| (cache.name.clone(), cache.shared_with.clone())).collect()
    }

    /// Returns how large the objects of each cache are.
    pub fn layouts(&self) -> BTreeMap<String, Layout> {
        self.caches.iter().map(|c| (c.name.clone(), c.layout)).collect()
    }
}

impl Cache {
    fn open(dir: &Path) -> Result<Self> {
        let name = counted_as(&dir.file_name().unwrap_or_default().to_string_lossy());
        let bytes = |file: &str| fs::read_to_string(dir.join(file)).ok().and_then(|text| text.trim().parse().ok());
        let layout =
            Layout { object_bytes: bytes("object_size").unwrap_or(0), slot_bytes: bytes("slab_size").unwrap_or(0) };
        let (own, children) = (Place::open(dir)?, Children::find(dir)?);
        Ok(Self { name, shared_with: Vec::new(), listed: None, own, children, layout })
    }

    /// Returns the cache of which a cgroup has this one; `None` if it is nobody's.
    fn parent(&self) -> Option<String> {
        parent_of(&self.own.dir.file_name()?.to_string_lossy()).map(str::to_owned)
    }

    fn shrink(&self) {
        self.own.shrink();
        if let Some(children) = &self.children {
            children.shrink();
        }
    }

    /// Returns how many objects are in use, those in caches of cgroups among them; 0 if the cache is gone.
    fn count(&self) -> Result<i64> {
        let Some(children) = &self.children else { return self.own.count() };
        let of_children = children.count()?;
        Ok(self.own.count()? + of_children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::{MadeFiles, make_cache};

    #[test]
    fn objects_are_the_total_over_the_nodes() {
        assert_eq!(parse_objects(b"355 N0=300 N1=55\n"), Some(355));
        assert_eq!(parse_objects(b"0\n"), Some(0));
        assert_eq!(parse_objects(b"\n"), None);
    }

    fn cache(root: &Path, name: &str, objects: u64) {
        make_cache(&root.join(name), objects);
    }

    /// Opens the caches in this directory, without a table.
    fn open_at(root: &Path) -> Slabs {
        Slabs { files: KernelFiles::at(root), caches: Slabs::find(root).unwrap(), table: None, has_sheaves: false }
    }

    #[test]
    fn aliases_are_not_counted_twice() {
        let root = tempfile::tempdir().unwrap();
        cache(root.path(), "kmalloc-32", 12);
        std::os::unix::fs::symlink("kmalloc-32", root.path().join("alias")).unwrap();
        let slabs = open_at(root.path());
        assert_eq!(slabs.read().unwrap().objects, [("kmalloc-32".to_owned(), 12)].into());
        assert_eq!(slabs.object_bytes()["kmalloc-32"], 32);
    }

    #[test]
    fn merged_cache_is_counted_under_the_name_that_people_know() {
        let root = tempfile::tempdir().unwrap();
        // As Linux 6.1 shows them when it merges caches, which is its default.
        for (dir, objects, names) in [
            (":A-0000256", 8123, ["ip6_dst_cache", "filp"]),
            (":0000128", 611, ["btree_node", "nfsd_file"]),
            (":0000440", 7, ["xfs_efd_item", "aio_kiocb"]),
            (":0000064", 5, ["ext4_io_end", "kmalloc-64"]),
        ] {
            cache(root.path(), dir, objects);
            names.iter().for_each(|name| std::os::unix::fs::symlink(dir, root.path().join(name)).unwrap());
        }
        cache(root.path(), "nfs_inode_cache", 3);
        let slabs = open_at(root.path());
        let counted = [("filp", 8123), ("nfsd_file", 611), ("aio_kiocb", 7), ("kmalloc-64", 5), ("nfs_inode_cache", 3)];
        let counted = counted.map(|(name, objects)| (name.to_owned(), objects));
        assert_eq!(slabs.read().unwrap().objects, counted.into());
        let shared = slabs.shared_names();
        assert_eq!(shared["filp"], ["ip6_dst_cache"]);
        assert_eq!(shared["aio_kiocb"], ["xfs_efd_item"]);
        assert!(!shared.contains_key("nfs_inode_cache"), "it is its own");
    }

    /// Makes a cache that a cgroup has of another one.
    fn child(root: &Path, parent: &str, name: &str, objects: u64) {
        fs::create_dir_all(root.join(parent).join(CHILDREN)).unwrap();
        cache(&root.join(parent).join(CHILDREN), name, objects);
    }

    #[test]
    fn caches_of_cgroups_count_with_the_cache_that_they_are_of() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        // As Linux 4.5 to 5.8 show them, merged and on its own.
        cache(root, ":A-0000256", 41);
        std::os::unix::fs::symlink(":A-0000256", root.join("filp")).unwrap();
        for (name, objects) in
            [("filp(102:debug.mount)", 0), ("filp(849:ssh (old).service)", 96), ("filp(12342:session-19.scope)", 560)]
        {
            child(root, ":A-0000256", name, objects);
        }
        cache(root, "kmalloc-64", 9120);
        child(root, "kmalloc-64", "kmalloc-64(12342:session-19.scope)", 17);
        cache(root, "kmalloc-96", 5);
        fs::create_dir(root.join("kmalloc-96").join(CHILDREN)).unwrap();
        let slabs = open_at(root);
        let counted =
            |slabs: &Slabs| ["filp", "kmalloc-64", "kmalloc-96"].map(|name| slabs.read().unwrap().objects[name]);
        assert_eq!(counted(&slabs), [697, 9137, 5]);
        assert_eq!(slabs.read().unwrap().objects.len(), 3);
        assert_eq!(slabs.read_shrunk().unwrap().objects, slabs.read().unwrap().objects);
        // A session begins, and another one ends.
        child(root, ":A-0000256", "filp(12400:session-20.scope)", 300);
        child(root, "kmalloc-96", "kmalloc-96(12400:session-20.scope)", 2);
        fs::remove_dir_all(root.join("kmalloc-64").join(CHILDREN).join("kmalloc-64(12342:session-19.scope)")).unwrap();
        assert_eq!(counted(&slabs), [997, 9120, 7]);
    }

    #[test]
    fn caches_of_cgroups_beside_the_others_count_with_the_cache_that_they_are_of() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        cache(root, ":A-0000256", 41);
        ["filp", "ip6_dst_cache"]
            .iter()
            .for_each(|name| std::os::unix::fs::symlink(":A-0000256", root.join(name)).unwrap());
        cache(root, "dentry", 1000);
        for (name, objects) in
            [("filp(849:ssh.service)", 96), ("ip6_dst_cache(7:init.scope)", 3), ("dentry(849:ssh.service)", 50)]
        {
            cache(root, name, objects);
        }
        let slabs = open_at(root);
        assert_eq!(slabs.read().unwrap().objects, [("filp".to_owned(), 140), ("dentry".to_owned(), 1050)].into());
    }

    #[test]
    fn names_that_only_look_like_those_of_cgroups_are_their_own() {
        assert_eq!(counted_as("kmalloc-rnd-07-64(12:a)"), "kmalloc-64");
        assert_eq!(counted_as("filp(849:ssh (old).service)"), "filp");
        for name in ["ext4_inode_cache(dead)", "(12:a)", "filp(:a)", "filp(x:a)", "filp(12:a", "filp(12)", "filp()"] {
            assert_eq!(counted_as(name), name);
        }
    }

    #[test]
    fn class_that_reading_takes_objects_of_is_counted_by_the_table() {
        let root = tempfile::tempdir().unwrap();
        for (name, objects) in [("kmalloc-16", 300), ("kmalloc-96", 40), ("kmalloc-rnd-03-8", 50), (":0000008", 500)] {
            cache(root.path(), name, objects);
        }
        std::os::unix::fs::symlink(":0000008", root.path().join("kmalloc-8")).unwrap();
        let mut slabs = open_at(root.path());
        let counted = |slabs: &Slabs| {
            let objects = slabs.read_shrunk().unwrap().objects;
            ["kmalloc-16", "kmalloc-8", "kmalloc-96"].map(|name| objects[name])
        };
        assert_eq!(counted(&slabs), [300, 550, 40], "there may be no table");
        let table = root.path().join("slabinfo");
        fs::write(&table, "slabinfo\n# name\nkmalloc-8 477 512\nkmalloc-rnd-03-8 45 512\nkmalloc-96 1 1\n").unwrap();
        slabs.table = File::open(&table).ok();
        // What the table does not name is counted where the others are.
        assert_eq!(counted(&slabs), [300, 477 + 45, 40]);
    }

    #[test]
    fn copies_of_a_size_class_are_one_counter() {
        let root = tempfile::tempdir().unwrap();
        let caches = [("kmalloc-32", 12), ("kmalloc-rnd-01-32", 3), ("kmalloc-part-15-32", 4), ("kmalloc-cg-32", 5)];
        caches.iter().for_each(|(name, objects)| cache(root.path(), name, *objects));
        let slabs = open_at(root.path());
        let expected = [("kmalloc-32".to_owned(), 19), ("kmalloc-cg-32".to_owned(), 5)].into();
        assert_eq!(slabs.read().unwrap().objects, expected);
        assert_eq!(slabs.layouts()["kmalloc-32"], Layout { object_bytes: 32, slot_bytes: 64 });
        assert_eq!(counted_as("kmalloc-rnd-like-mine"), "kmalloc-rnd-like-mine");
    }

    #[test]
    fn cache_that_goes_has_no_objects_until_it_is_there_again() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("nfsd_file");
        cache(root.path(), "nfsd_file", 3);
        let slabs = open_at(root.path());
        let count = || slabs.caches[0].count().unwrap();
        assert_eq!(count(), 3);
        fs::remove_dir_all(&dir).unwrap();
        // The file of a plain directory can still be read; that of sysfs cannot.
        *slabs.caches[0].own.files.borrow_mut() = None;
        assert_eq!(count(), 0);
        cache(root.path(), "nfsd_file", 5);
        assert_eq!(count(), 5);
    }

    #[test]
    fn kernel_without_slub_debug_is_told() {
        let error = Slabs::find(Path::new("/dirleak-no-such-dir")).err().unwrap();
        assert!(error.to_string().contains("CONFIG_SLUB_DEBUG"), "{error}");
    }

    #[test]
    fn name_that_only_looks_like_a_copy_is_counted_as_itself() {
        assert_eq!(counted_as("kmalloc-rnd-07-64"), "kmalloc-64");
        assert_eq!(counted_as("kmalloc-rnd-07-rnd-07-64"), "kmalloc-rnd-07-rnd-07-64");
        assert_eq!(parse_objects(b"9223372036854775807 N0=1"), None);
    }

    #[test]
    fn cache_is_asked_to_shrink() {
        let root = tempfile::tempdir().unwrap();
        cache(root.path(), "kmalloc-32", 12);
        let slabs = open_at(root.path());
        slabs.caches.iter().for_each(Cache::shrink);
        assert_eq!(fs::read_to_string(root.path().join("kmalloc-32/shrink")).unwrap(), "1");
    }

    #[test]
    fn caches_that_count_under_a_name_are_its_copies_and_those_of_cgroups() {
        let made = MadeFiles::new(&[]);
        ["kmalloc-64", "kmalloc-rnd-03-64", "kmalloc-96"].iter().for_each(|name| made.cache(name, 5));
        made.cache("kmalloc-96/cgroup/kmalloc-96(12:a)", 2);
        let members = |name| {
            let mut members = members(&made.files, name);
            members.sort();
            members
        };
        assert_eq!(members("kmalloc-64"), ["kmalloc-64", "kmalloc-rnd-03-64"]);
        assert_eq!(members("kmalloc-96"), ["kmalloc-96", "kmalloc-96/cgroup/kmalloc-96(12:a)"]);
        assert!(members("filp").is_empty());
    }

    #[test]
    fn cache_that_is_emptied_for_memory_says_so() {
        let made = MadeFiles::new(&[]);
        for (name, flag) in [("dentry", "1\n"), ("filp", "0\n")] {
            made.cache(name, 5);
            made.write(&format!("{SYSFS}/{name}/reclaim_account"), flag);
        }
        made.cache("names_cache", 5);
        assert_eq!(
            ["dentry", "filp", "names_cache"].map(|name| is_reclaimable(&made.files, name)),
            [true, false, false]
        );
    }

    #[test]
    fn sheaves_are_seen_where_a_cache_has_some() {
        let made = MadeFiles::new(&[]);
        ["filp", "vm_area_struct"].iter().for_each(|name| made.cache(name, 5));
        let has_sheaves = || Slabs::open(&made.files).unwrap().has_sheaves();
        assert!(!has_sheaves(), "Linux 6.17 has none");
        made.write(&format!("{SYSFS}/vm_area_struct/sheaf_capacity"), "0\n");
        assert!(!has_sheaves(), "a cache that is debugged has none");
        made.write(&format!("{SYSFS}/vm_area_struct/sheaf_capacity"), "32\n");
        assert!(has_sheaves());
    }

    #[test]
    fn classes_that_reading_takes_objects_of_are_counted_by_the_table_of_this_kernel() {
        let made = MadeFiles::new(&[(slabinfo::FILE, "slabinfo - version: 2.1\n# name\nkmalloc-8 477 512\n")]);
        made.cache("kmalloc-8", 512);
        let slabs = Slabs::open(&made.files).unwrap();
        assert_eq!(slabs.read_shrunk().unwrap().objects["kmalloc-8"], 477);
        slabs.shrink();
        assert_eq!(made.text(&format!("{SYSFS}/kmalloc-8/shrink")), "11", "once for the reading, and once more");
    }

    #[test]
    fn kernel_that_hides_the_caches_of_cgroups_is_told() {
        let made = MadeFiles::new(&[("/proc/cmdline", "ro quiet\n"), ("/proc/cgroups", "memory\t4\t131\t1\n")]);
        made.cache("filp", 5);
        let note = |release: &str| {
            made.write("/proc/sys/kernel/osrelease", release);
            Slabs::open(&made.files).unwrap().note()
        };
        assert_eq!(note("5.4.0-150-generic\n"), Some(CHILDREN_ARE_HIDDEN));
        assert_eq!(note("5.10.262\n"), None);
        made.cache("filp/cgroup/filp(12:a)", 1);
        assert_eq!(note("5.4.0-150-generic\n"), None, "it shows them");
        let beside =
            MadeFiles::new(&[("/proc/sys/kernel/osrelease", "5.4.0\n"), ("/proc/cgroups", "memory\t4\t131\t1\n")]);
        ["filp", "filp(12:a)"].iter().for_each(|name| beside.cache(name, 5));
        assert_eq!(Slabs::open(&beside.files).unwrap().note(), None, "it shows them beside the others");
    }

    #[test]
    fn cache_of_a_cgroup_that_cannot_be_opened_is_an_error() {
        let made = MadeFiles::new(&[]);
        made.cache("filp", 5);
        made.cache("filp/cgroup/filp(12:a)", 2);
        let slabs = Slabs::open(&made.files).unwrap();
        assert_eq!(slabs.read().unwrap().objects["filp"], 7);
        fs::create_dir(made.files.path(SYSFS).join("filp/cgroup/filp(13:b)")).unwrap();
        let error = slabs.read().unwrap_err().to_string();
        assert!(error.contains("cannot open ") && error.contains("filp(13:b)/"), "{error}");
    }

    #[test]
    fn files_of_a_cache_that_is_gone_are_those_of_its_successor_and_other_errors_are_told() {
        let made = MadeFiles::new(&[]);
        made.cache("nfsd_file", 3);
        let place = Place::open(&made.files.path(SYSFS).join("nfsd_file")).unwrap();
        let asked = |code: i32| {
            let mut first = true;
            let answer = place.with_files(|_| match std::mem::take(&mut first) {
                true => Err(std::io::Error::from_raw_os_error(code)),
                false => Ok(()),
            });
            answer.map_err(|error| error.raw_os_error())
        };
        assert_eq!(asked(libc::ENODEV), Ok(Some(())));
        assert_eq!(asked(libc::EIO), Err(Some(libc::EIO)));
    }
}
