//! Which function an address of the kernel's belongs to: from `/proc/kallsyms`.

use crate::error::{Context, Error, Result};

const FILE: &str = "/proc/kallsyms";

/// The kernel's functions by address.
pub struct Symbols(Vec<(u64, String)>);

impl Symbols {
    /// Reads them, modules included.
    pub fn read() -> Result<Self> {
        let text = std::fs::read_to_string(FILE).machine(|| format!("cannot read {FILE}"))?;
        let symbols = Self::parse(&text);
        if symbols.0.is_empty() {
            return Err(Error::machine(format!("{FILE} tells no addresses")));
        }
        Ok(symbols)
    }

    /// Reads lines "`address` `type` `name`", and of a module its name after that.
    pub(crate) fn parse(text: &str) -> Self {
        let symbol = |line: &str| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let code = matches!(words.next()?, "t" | "T" | "w" | "W");
            (code && address != 0).then_some((address, words.next()?.to_owned()))
        };
        let mut symbols: Vec<_> = text.lines().filter_map(symbol).collect();
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
}
