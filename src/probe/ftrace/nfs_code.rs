//! Which addresses are in functions of NFS: of its client, its server, and what both rest on.

use super::symbols::{FILE, code_of_module};
use crate::error::{Context, Result};
use crate::probe::kernel_files::KernelFiles;

/// How the names of their modules begin (fs/nfs, fs/nfsd, fs/lockd, fs/netfs, net/sunrpc).
const MODULES: [&str; 9] =
    ["nfs", "sunrpc", "auth_rpcgss", "rpcsec_gss", "rpcrdma", "lockd", "grace", "netfs", "blocklayoutdriver"];
/// How the names of their functions begin where they are built in, once leading underscores are off, as those of Linux 6.1 do.
const FUNCTIONS: [&str; 19] = [
    "nfs",
    "rpc",
    "xprt",
    "xs_",
    "svc",
    "nlm",
    "nsm",
    "lockd",
    "netfs",
    "pnfs",
    "gss",
    "sunrpc",
    "xdr_",
    "unx_",
    "exp_",
    "expkey",
    "fh_",
    "ff_layout",
    "filelayout",
];
const LOADED: &str = "/proc/modules";

/// Their functions.
#[derive(Debug)]
pub struct NfsCode {
    /// Where each begins and ends, in the order of addresses.
    functions: Vec<(u64, u64, String)>,
    /// The modules that were loaded then.
    loaded: Vec<String>,
}

impl NfsCode {
    /// Reads them as they are now.
    pub fn read(files: &KernelFiles) -> Result<Self> {
        let text = files.text(FILE).machine(|| format!("cannot read {FILE}"))?;
        Ok(Self { functions: parse(&text), loaded: loaded(files) })
    }

    /// Returns whether modules have come or gone since, so that addresses may be of other functions.
    pub fn is_outdated(&self, files: &KernelFiles) -> bool {
        self.loaded != loaded(files)
    }

    /// Returns the function of NFS that an address is in; `None` if it is in another one.
    pub fn function(&self, address: u64) -> Option<&str> {
        let after = self.functions.partition_point(|(begin, ..)| *begin <= address);
        let (_, end, name) = self.functions.get(after.checked_sub(1)?)?;
        (address < *end).then_some(name.as_str())
    }
}

/// Returns those of a table of all functions.
pub(super) fn parse(table: &str) -> Vec<(u64, u64, String)> {
    let mut all: Vec<_> = table.lines().filter_map(code_of_module).filter(|(address, ..)| *address != 0).collect();
    // Of several names for one function the first is what the kernel itself prints.
    all.sort_by_key(|(address, ..)| *address);
    all.dedup_by_key(|(address, ..)| *address);
    let ends = all.iter().skip(1).map(|(address, ..)| *address).chain([u64::MAX]);
    let functions = all.iter().zip(ends).filter(|((_, name, module), _)| is_of_nfs(name, *module));
    functions.map(|((address, name, _), end)| (*address, end, (*name).to_owned())).collect()
}

fn is_of_nfs(function: &str, module: Option<&str>) -> bool {
    match module {
        Some(module) => MODULES.iter().any(|prefix| module.starts_with(prefix)),
        None => FUNCTIONS.iter().any(|prefix| function.trim_start_matches('_').starts_with(prefix)),
    }
}

/// Returns the names of the modules that are loaded; none of a kernel without modules.
fn loaded(files: &KernelFiles) -> Vec<String> {
    let text = files.text(LOADED).unwrap_or_default();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn function_is_of_nfs_by_its_module_or_where_it_is_built_in_by_its_name() {
        let table = "ffffffff81000000 T _text\nffffffff81001000 t nfs_mount\nffffffff81002000 T kstrdup\nffffffff81003000 t __rpc_execute\n\
                     ffffffffa0000000 t decode_entry\t[nfsv3]\nffffffffa0001000 t ext4_find\t[ext4]\nffffffffa0002000 d nfs_data\t[nfs]\n";
        let code = NfsCode { functions: parse(table), loaded: Vec::new() };
        let told = |address| code.function(address);
        assert_eq!(told(0xffff_ffff_8100_1010), Some("nfs_mount"));
        assert_eq!(told(0xffff_ffff_8100_2000), None, "who helps all is nobody's");
        assert_eq!(told(0xffff_ffff_8100_3fff), Some("__rpc_execute"));
        assert_eq!(told(0xffff_ffff_a000_0fff), Some("decode_entry"));
        assert_eq!((told(0xffff_ffff_a000_1000), told(0)), (None, None));
    }

    #[test]
    fn table_is_outdated_when_a_module_comes() {
        let made = MadeFiles::machine();
        let code = NfsCode::read(&made.files).unwrap();
        assert_eq!(code.function(0xffff_ffff_8100_1000), Some("nfs_readdir"));
        assert!(!code.is_outdated(&made.files));
        made.write(LOADED, "nfsd 700416 5 - Live 0xffffffffc0a00000\n");
        assert!(code.is_outdated(&made.files));
        assert!(!NfsCode::read(&made.files).unwrap().is_outdated(&made.files));
    }
}
