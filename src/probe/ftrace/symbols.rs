//! Which function an address of the kernel's belongs to: from `/proc/kallsyms`.

use crate::error::{Context, Result};
use crate::probe::kernel_files::KernelFiles;
use std::io::{BufRead, BufReader};

pub(super) const FILE: &str = "/proc/kallsyms";
/// Functions that are looked at to see whether addresses are told: of a kernel that keeps them back each is 0.
const LOOKED_AT: usize = 1000;
/// What is said where they are kept back, and what mends it (kallsyms_show_value in kernel/kallsyms.c of Linux 6.1).
pub const KEPT_BACK: &str = "functions of a trace have no names, because /proc/kallsyms tells no addresses even to root \
    (kernel.kptr_restrict=2, or CAP_SYSLOG is missing); `sysctl kernel.kptr_restrict=1` mends it";

/// Returns whether the kernel keeps the addresses of its functions back.
pub fn are_kept_back(files: &KernelFiles) -> bool {
    files.open(FILE).map_or(true, |file| tells_none(BufReader::new(file)))
}

/// Returns whether the first functions of a table are all at address 0, or there are none.
fn tells_none(table: impl BufRead) -> bool {
    let addresses = table.lines().map_while(std::result::Result::ok).filter_map(|line| code(&line).map(|(at, _)| at));
    addresses.take(LOOKED_AT).all(|address| address == 0)
}

/// Reads the address and the name of a function from a line "`address` `type` `name`"; `None` if it is of something else.
fn code(line: &str) -> Option<(u64, &str)> {
    code_of_module(line).map(|(address, name, _)| (address, name))
}

/// Reads the same and the module that the function is in, from "[`module`]" behind its name; `None` of one that is built in.
pub(super) fn code_of_module(line: &str) -> Option<(u64, &str, Option<&str>)> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
    let name = words.next().filter(|_| is_code)?;
    Some((address, name, words.next().and_then(|word| word.strip_prefix('[')?.strip_suffix(']'))))
}

/// The kernel's functions by address.
pub struct Symbols(Vec<(u64, String)>);

impl Symbols {
    /// Reads them, modules included; where the kernel keeps addresses back there are none.
    pub fn read(files: &KernelFiles) -> Result<Self> {
        Ok(Self::parse(&files.text(FILE).machine(|| format!("cannot read {FILE}"))?))
    }

    /// Reads lines "`address` `type` `name`", and of a module its name after that.
    pub(crate) fn parse(text: &str) -> Self {
        let symbols = text.lines().filter_map(code).filter(|(address, _)| *address != 0);
        let mut symbols: Vec<_> = symbols.map(|(address, name)| (address, name.to_owned())).collect();
        // Of several names for one function the first is what the kernel itself prints.
        symbols.sort_by_key(|(address, _)| *address);
        symbols.dedup_by_key(|(address, _)| *address);
        Self(symbols)
    }

    /// Returns the function that an address is in.
    pub fn function(&self, address: u64) -> String {
        let after = self.0.partition_point(|(begin, _)| *begin <= address);
        match after.checked_sub(1) {
            Some(index) => self.0[index].1.clone(),
            None => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn address_is_of_the_function_that_begins_before_it() {
        let text = "ffffffff81000000 T _text\nffffffff81001000 t nfs_readdir\nffffffff81001000 T nfs_alias\n\
                    ffffffff81001800 D nfs_data\nffffffffa0000000 t nfsd_readdir\t[nfsd]\n";
        let symbols = Symbols::parse(text);
        assert_eq!(symbols.function(0xffff_ffff_8100_1900), "nfs_readdir");
        assert_eq!(symbols.function(0xffff_ffff_a000_0001), "nfsd_readdir");
        assert_eq!(symbols.function(0x1000), "0x1000");
        assert!(Symbols::parse("0000000000000000 T _text\n").0.is_empty(), "addresses that are kept back");
    }

    #[test]
    fn addresses_that_are_kept_back_are_told_from_those_that_are_0_by_nature() {
        let zeros = "0000000000000000 A fixed_percpu_data\n0000000000000000 T startup_64\n\
                     0000000000000000 T __pfx_nfs_readdir\n0000000000000000 t __do_sys_bpf\n\
                     0000000000000000 T nfs_readdir\t[nfs]\n0000000000000000 t nfs_readdir_folio_array_append\t[nfs]\n";
        assert!(tells_none(zeros.as_bytes()), "a distribution's 6.x with kptr_restrict=2");
        assert!(tells_none("00000000 T stext\n00000000 t do_one_initcall\n".as_bytes()), "32 bits");
        assert!(tells_none("(null) T _text\n         (null) t run_init_process\n".as_bytes()), "up to 4.14");
        assert!(tells_none("".as_bytes()), "CONFIG_KALLSYMS is not set");
        // Per-CPU data begins at 0 on x86, and may be of many symbols.
        let mut told: String = (0..5000).map(|n| format!("{n:016x} A per_cpu_{n}\n")).collect();
        told += "ffffffff81000000 T _text\n";
        assert!(!tells_none(told.as_bytes()));
        assert!(!tells_none("0000000000000000 T absolute\nffffffffa0000000 t nfs_readdir\t[nfs]\n".as_bytes()));
    }

    #[test]
    fn kernel_that_tells_addresses_names_its_functions() {
        let made = MadeFiles::machine();
        assert!(!are_kept_back(&made.files));
        assert_eq!(Symbols::read(&made.files).unwrap().function(0xffff_ffff_8100_1234), "nfs_readdir");
        assert!(are_kept_back(&MadeFiles::new(&[]).files), "there is no /proc/kallsyms");
        made.write(FILE, "0000000000000000 T _text\n");
        assert!(are_kept_back(&made.files));
    }
}
