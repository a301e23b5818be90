//! A directory with the files of a kernel that is none, for tests: what kernels show, and what a test changes of it.

use super::KernelFiles;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

/// As Linux 6.1 shows it, shortened: 3000 pages, of which 2081 are explained beside those of the stacks of threads.
pub const ZONEINFO: &str = "Node 0, zone      DMA\n  per-node stats\n      nr_inactive_anon 7\n      nr_anon_pages 12\n\
    \x20     nr_file_pages 20\n      nr_swapcached 2\n\
    \x20     nr_slab_unreclaimable 300\n      nr_kernel_stack 80\n      nr_page_table_pages 5\n  pages free     1000\n\
    \x20       min      7\n        managed  2000\n      nr_free_pages 1000\n      nr_zone_inactive_anon 7\n\
    \x20 pagesets\n    cpu: 0\n              count: 40\n              high:  90\n\
    Node 0, zone    DMA32\n  pages free     500\n        managed  1000\n  pagesets\n    cpu: 0\n              count: 2\n";
/// Of the same machine.
pub const MEMINFO: &str = "MemTotal:          12000 kB\nMemAvailable:       9000 kB\nSUnreclaim:         1200 kB\n\
    KernelStack:          80 kB\nVmallocTotal:   34359738367 kB\nVmallocUsed:         400 kB\nPercpu:               80 kB\n";
/// As 5.10 and later show it without CONFIG_VMAP_STACK.
pub const VMALLOCINFO: &str = "0x0000000000000000-0x0000000000000000   20480 irq_init_percpu_irqstack+0xcf/0x100 vmap\n\
    0x0000000000000000-0x0000000000000000    8192 bpf_prog_alloc_no_stats+0x37/0xc0 pages=1 vmalloc N0=1\n\
    0x0000000000000000-0x0000000000000000    8192 bpf_prog_alloc_no_stats+0x37/0xc0 pages=1 vmalloc N0=1\n";
/// As /sys/kernel/debug/percpu_stats begins.
pub const PERCPU_STATS: &str = "Percpu Memory Statistics\nAllocation Info:\n----------------------------------------\n\
    \x20 unit_size           :       262144\nGlobal Stats:\n----------------------------------------\n\
    \x20 nr_alloc            :         1345\n  nr_dealloc          :          100\n  nr_cur_alloc        :         1245\n";
/// Functions and their addresses.
pub const KALLSYMS: &str = "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _text\nffffffff81001000 t nfs_readdir\n\
    ffffffff81002000 T nfs_opendir\nffffffff81003000 T kstrdup\nffffffff81004000 T __alloc_pages\nffffffff81005000 T pcpu_alloc\n\
    ffffffff81006000 t stack_trace_save\nffffffff81007000 T __traceiter_kmalloc\n";
/// Of one page, as Linux 6.1 tells its owner.
pub const OWNED_PAGE: &str = "Page allocated via order 0, mask 0x400cc0(GFP_KERNEL_ACCOUNT), pid 1, tgid 1 (init), ts 12 ns, free_ts 0 ns\n\
    PFN 4711 type Unmovable Block 9 type Unmovable Flags 0x100(node=0|zone=1)\n \
    get_page_from_freelist+0x14b/0x180\n __alloc_pages+0xdd/0x210\n pipe_write+0x2c/0x110\n vfs_write+0x1/0x2\n\n";
/// Allocations of a cache as `alloc_traces` tells them since Linux 5.14.
pub const ALLOC_TRACES: &str = "    152 nfs_readdir_page_array_append+0x2c/0x110 age=3/5/9 pid=1 cpus=0-1\n\tkmemdup_nul+0x1e/0x50\n\
    \tnfs_readdir_page_array_append+0x2c/0x110\n\tnfs_readdir_xdr_to_array+0x2e1/0x3d0\n\n";

/// Where tracefs is.
pub const TRACING: &str = "/sys/kernel/tracing";
/// What the buffer of a processor says that has lost nothing and holds nothing.
pub const NOTHING_LOST: &str =
    "entries: 0\noverrun: 0\ncommit overrun: 0\nbytes: 0\ndropped events: 0\nread events: 0\n";
/// A field of an event: its name, where it is, and how many bytes it has.
type Field = (&'static str, usize, usize);
/// Events of Linux 6.1 by name and number, and their fields.
const EVENTS: [(&str, u16, &[Field]); 9] = [
    (
        "kmem/kmalloc",
        10,
        &[("call_site", 8, 8), ("ptr", 16, 8), ("bytes_req", 24, 8), ("bytes_alloc", 32, 8), ("gfp_flags", 40, 8)],
    ),
    ("kmem/kmem_cache_alloc", 11, &[("call_site", 8, 8), ("ptr", 16, 8), ("bytes_req", 24, 8), ("bytes_alloc", 32, 8)]),
    ("kmem/kfree", 12, &[("call_site", 8, 8), ("ptr", 16, 8)]),
    ("kmem/kmem_cache_free", 13, &[("call_site", 8, 8), ("ptr", 16, 8), ("name", 24, 4)]),
    ("kmem/mm_page_alloc", 14, &[("pfn", 8, 8), ("order", 16, 4)]),
    ("kmem/mm_page_free", 15, &[("pfn", 8, 8), ("order", 16, 4)]),
    ("percpu/percpu_alloc_percpu", 16, &[("call_site", 8, 8), ("ptr", 56, 8)]),
    ("percpu/percpu_free_percpu", 17, &[("ptr", 24, 8)]),
    ("ftrace/kernel_stack", 4, &[("size", 8, 4), ("caller[8]", 16, 64)]),
];
/// How the kernel prints the flags of an allocation, shortened.
const FLAGS: &str = "print fmt: \"gfp_flags=%s\", __print_flags(REC->gfp_flags, \"|\", {( unsigned long)(( gfp_t)0x400000u), \"__GFP_ACCOUNT\"}, \
    {( unsigned long)(( gfp_t)0x10u), \"__GFP_RECLAIMABLE\"}, {( unsigned long)(( gfp_t)0x01u), \"__GFP_DMA\"})\n";

/// Returns the text of an event's `format`.
fn format(name: &str, id: u16, fields: &[Field]) -> String {
    let field = |(name, offset, size): &Field| {
        format!("\tfield:unsigned long {name};\toffset:{offset};\tsize:{size};\tsigned:0;\n")
    };
    let fields: String = fields.iter().map(field).collect();
    let name = name.split_once('/').map_or(name, |(_, name)| name);
    format!(
        "name: {name}\nID: {id}\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n{fields}\n{FLAGS}"
    )
}

/// The directory, gone when this is dropped.
pub struct MadeFiles {
    root: TempDir,
    pub files: KernelFiles,
}

impl MadeFiles {
    /// Makes one with these texts by path.
    pub fn new(texts: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let files = KernelFiles::at(root.path());
        let made = Self { root, files };
        texts.iter().for_each(|(file, text)| made.write(file, text));
        made
    }

    /// Makes one that has all counters, of which nothing tells who allocated anything.
    pub fn machine() -> Self {
        let made = Self::new(&[
            ("/proc/sys/kernel/osrelease", "6.1.192\n"),
            ("/proc/sys/vm/stat_refresh", ""),
            ("/proc/sys/vm/drop_caches", ""),
            ("/proc/zoneinfo", ZONEINFO),
            ("/proc/meminfo", MEMINFO),
            ("/proc/vmallocinfo", VMALLOCINFO),
            ("/proc/kallsyms", KALLSYMS),
            ("/sys/kernel/debug/percpu_stats", PERCPU_STATS),
        ]);
        [("filp", 900), ("kmalloc-256", 4000), ("dentry", 7000)].iter().for_each(|(name, n)| made.cache(name, *n));
        made
    }

    /// Makes the same with an NFS mount on a directory, which has sent so many READDIR calls.
    pub fn with_mount(dir: &Path, readdirs: u64) -> Self {
        let made = Self::machine();
        made.has_sent(dir, readdirs);
        made
    }

    /// Has the mount on a directory have sent so many READDIR calls.
    pub fn has_sent(&self, dir: &Path, readdirs: u64) {
        let stats = format!(
            "device server:/export mounted on {} with fstype nfs4 statvers=1.1\n\topts:\trw,vers=4.2\n\tper-op statistics\n\
             \t     READDIR: {readdirs} {readdirs} 0 1400 9800 3 20 25 0\n",
            dir.display()
        );
        self.write("/proc/self/mountstats", stats);
    }

    /// Adds tracefs, with all tracepoints and the empty buffers of two processors.
    pub fn tracepoints(&self) {
        for (name, id, fields) in EVENTS {
            self.write(&format!("{TRACING}/events/{name}/format"), format(name, id, fields));
        }
        for (file, text) in [("set_event", ""), ("current_tracer", "nop\n"), ("trace_clock", "[local] global\n")] {
            self.write(&format!("{TRACING}/{file}"), text);
        }
        for cpu in ["cpu0", "cpu1"] {
            self.write(&format!("{TRACING}/per_cpu/{cpu}/trace_pipe_raw"), "");
            self.write(&format!("{TRACING}/per_cpu/{cpu}/stats"), NOTHING_LOST);
        }
        self.write(&format!("{TRACING}/buffer_size_kb"), "7 (expanded: 1408)\n");
        self.write(&format!("{TRACING}/tracing_on"), "1\n");
    }

    /// Returns what a file of tracefs has in it.
    pub fn tracing(&self, file: &str) -> String {
        self.text(&format!("{TRACING}/{file}"))
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Puts a text where it is asked for, directories and all.
    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.files.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns a text; "" if it is not there.
    pub fn text(&self, file: &str) -> String {
        self.files.text(file).unwrap_or_default()
    }

    /// Takes a file away.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.files.path(file)).unwrap();
    }

    /// Makes a slab cache with so many objects of 32 bytes.
    pub fn cache(&self, name: &str, objects: u64) {
        make_cache(&self.files.path("/sys/kernel/slab").join(name), objects);
    }

    /// Returns what changes the number of a cache's objects while others read it.
    pub fn objects_of(&self, name: &str) -> Objects {
        let file = self.files.path("/sys/kernel/slab").join(name).join("objects");
        Objects(File::options().write(true).open(file).unwrap())
    }
}

/// The objects of a cache.
pub struct Objects(File);

impl Objects {
    /// Sets how many there are, all at once.
    pub fn set(&self, objects: u64) {
        self.0.write_all_at(format!("{objects:012} N0={objects:012}\n").as_bytes(), 0).unwrap();
    }
}

/// Makes the directory of a slab cache with so many objects of 32 bytes.
pub fn make_cache(dir: &Path, objects: u64) {
    fs::create_dir_all(dir).unwrap();
    let total = format!("{objects} N0={objects}\n");
    for (file, text) in [("objects", total.as_str()), ("shrink", ""), ("object_size", "32\n"), ("slab_size", "64\n")] {
        fs::write(dir.join(file), text).unwrap();
    }
}
