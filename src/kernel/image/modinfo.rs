//! Knows what a kernel module says of itself: the section `.modinfo` of its file.

use elf::ElfBytes;
use elf::endian::AnyEndian;
use std::collections::BTreeSet;

/// What decides how a module is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modinfo {
    /// Modules that must be loaded before, by name.
    pub depends: Vec<String>,
    /// Modules that should be loaded before if they are there.
    pub welcome: Vec<String>,
    /// `uname -r` of the kernel that it was built for.
    pub release: String,
}

impl Modinfo {
    /// Reads the file of a module; the error says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        Ok(Self::from_section(section(bytes, ".modinfo")?))
    }

    /// Returns what must be the same in all modules of a kernel, its release among it; empty if the module does not say it.
    pub fn vermagic(bytes: &[u8]) -> String {
        let data = section(bytes, ".modinfo").unwrap_or_default();
        let mut fields = data.split(|&byte| byte == 0).map(String::from_utf8_lossy);
        fields.find_map(|field| field.strip_prefix("vermagic=").map(str::to_owned)).unwrap_or_default()
    }

    /// Returns the symbols of others that a module uses, as far as it tells their versions: entries of 64 bytes, each a number
    /// and a name (`struct modversion_info`).
    pub fn used_symbols(bytes: &[u8]) -> BTreeSet<String> {
        let data = section(bytes, "__versions").unwrap_or_default();
        let name = |entry: &[u8]| {
            let name = entry[8..].split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        data.chunks_exact(64).map(name).collect()
    }

    /// Reads `name=value` strings with zeros between them.
    pub(crate) fn from_section(data: &[u8]) -> Self {
        let mut info = Self::default();
        for field in data.split(|&byte| byte == 0) {
            let field = String::from_utf8_lossy(field);
            match field.split_once('=') {
                Some(("depends", names)) => {
                    info.depends.extend(names.split(',').filter(|n| !n.is_empty()).map(plain));
                }
                Some(("softdep", text)) => info.welcome.extend(before(text)),
                Some(("vermagic", text)) => {
                    info.release = text.split(' ').next().unwrap_or_default().to_owned();
                }
                _ => {}
            }
        }
        info
    }
}

/// Returns what is in a section of a module's file.
fn section<'a>(bytes: &'a [u8], name: &str) -> Result<&'a [u8], String> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|e| e.to_string())?;
    let section = file.section_header_by_name(name).map_err(|e| e.to_string())?;
    let section = section.ok_or_else(|| format!("it has no section {name}"))?;
    file.section_data(&section).map(|(data, _)| data).map_err(|e| e.to_string())
}

/// Returns a module's name as the kernel has it: in the name of its file a dash may stand for an underscore.
pub fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the names after `pre:` and before `post:`.
fn before(text: &str) -> Vec<String> {
    let mut is_before = false;
    let mut names = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "pre:" => is_before = true,
            "post:" => is_before = false,
            name if is_before => names.push(plain(name)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::image::modules::file_with_section;

    #[test]
    fn modules_to_load_before_are_read_and_the_rest_is_not() {
        let data = b"license=GPL\0depends=sunrpc,nfs-acl\0\0softdep=post: a pre: crc32c b-c post: d\0softdep=pre: e\0\
            vermagic=6.1.0-18-amd64 SMP preempt mod_unload modversions \0";
        let wanted = Modinfo {
            depends: ["sunrpc", "nfs_acl"].map(String::from).to_vec(),
            welcome: ["crc32c", "b_c", "e"].map(String::from).to_vec(),
            release: "6.1.0-18-amd64".into(),
        };
        assert_eq!(Modinfo::from_section(data), wanted);
        assert_eq!(Modinfo::from_section(b"depends=\0"), Modinfo::default());
    }

    #[test]
    fn symbols_and_magic_are_read_from_the_file() {
        let mut entries = Vec::new();
        for name in ["nfs_alloc_client", "kmalloc"] {
            entries.extend(7_u64.to_le_bytes());
            entries.extend(name.bytes().chain(std::iter::repeat(0)).take(56));
        }
        let file = file_with_section("__versions", &entries);
        let used = Modinfo::used_symbols(&file).into_iter().collect::<Vec<_>>();
        assert_eq!(used, ["kmalloc", "nfs_alloc_client"]);
        let file = file_with_section(".modinfo", b"license=GPL\0vermagic=6.1.0-18-amd64 SMP modversions \0");
        assert_eq!(Modinfo::vermagic(&file), "6.1.0-18-amd64 SMP modversions ");
        assert!(Modinfo::vermagic(b"text").is_empty() && Modinfo::used_symbols(b"text").is_empty());
    }

    #[test]
    fn file_that_is_no_module_is_an_error() {
        assert!(Modinfo::parse(b"text").is_err());
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Modinfo::parse(&program).unwrap_err(), "it has no section .modinfo");
    }
}
