//! What host and guest both know of the guest: its files, its caches, and what it says on its console.

/// Where the host puts the program that makes a file system.
pub const MKFS: &str = "/sbin/mkfs";

/// Where the initramfs keeps the plan.
pub const PLAN: &str = "/plan.json";

/// Tells the guest by the kernel's command line that it shall have counted what each line of source allocates (/proc/allocinfo, since Linux
/// 6.10), once something leaks. Until then nothing is counted: the vectors in which a kernel counts come and go with slabs, and made
/// size classes of 6.12 restless.
pub const LINES_ARE_COUNTED_LATER: &str = "sysctl.vm.mem_profiling=0";

/// Where files that the scenario's programs need lie in the guest.
pub const EXEC_FILES: &str = "/exec";

/// Where programs are, in the guest as on the host.
pub const PROGRAM_DIRS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What a mount that cannot be taken down cleanly holds on to.
pub const BUSY_CACHES: [&str; 2] = ["dentry", "nfs_inode_cache"];

/// What the guest says on its console before and after it unmounts, to show that what the kernel says in between is heard.
pub const SAID: &str = "dirleak is heard";

/// How often it says so.
pub const TIMES_SAID: i64 = 2;
