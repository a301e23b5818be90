//! Whether rebuilt modules fit the kernel and its other modules: their magic, and the versions of the symbols that they offer.

use super::touched::ModuleAt;
use crate::error::{Context, Error, Result};
use crate::kernel::image::modinfo::Modinfo;
use crate::kernel::image::modules::Modules;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What modpost writes of the symbols that modules offer: a line `crc, symbol, module, kind of export, namespace` for each.
pub const SYMBOLS: &str = "Module.symvers";

/// Fails if the file `built` of `module` is not for the kernel of `stock`.
pub fn check_magic(module: &ModuleAt, built: &Path, stock: &Modules) -> Result<()> {
    let bytes = fs::read(built).machine(|| format!("cannot read {}", built.display()))?;
    let (own, wanted) = (Modinfo::vermagic(&bytes), stock.vermagic(&module.plain())?.unwrap_or_default());
    if own.trim() == wanted.trim() {
        return Ok(());
    }
    Err(Error::kernel(format!(
        "{}.ko was rebuilt for '{}', but the kernel's own is for '{}', so it would not be loaded",
        module.name,
        own.trim(),
        wanted.trim()
    )))
}

/// Reads what is offered by what was made in the directory `dir`.
pub fn read_symbols(dir: &Path) -> Result<String> {
    let path = dir.join(SYMBOLS);
    fs::read_to_string(&path).machine(|| format!("cannot read {}", path.display()))
}

/// Writes into `tree` what the kernel offers by `symbols` without what `modules` do, which are made anew.
pub fn write_symbols(tree: &Path, symbols: &str, modules: &[ModuleAt]) -> Result<()> {
    let is_of = |line: &str, module: &ModuleAt| offer(line).is_some_and(|(name, _, _)| name == module.name);
    let kept = symbols.lines().filter(|line| !modules.iter().any(|module| is_of(line, module)));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    let path = tree.join(SYMBOLS);
    fs::write(&path, text).machine(|| format!("cannot write {}", path.display()))
}

/// Returns the symbols of `modules` that the kernel's other modules would miss: of those that were offered `before` they are gone, or
/// their versions have changed.
pub fn changed_symbols(before: &str, tree: &Path, modules: &[ModuleAt]) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for module in modules {
        let now = read_symbols(&tree.join(&module.dir))?;
        let (was, is) = (offered(before, &module.name), offered(&now, &module.name));
        let differs = |(symbol, crc): &(&&str, &&str)| is.get(*symbol) != Some(*crc);
        changed.extend(was.iter().filter(differs).map(|(symbol, _)| (*symbol).to_owned()));
    }
    Ok(changed)
}

/// Returns the versions of the symbols that `module` offers.
fn offered<'a>(text: &'a str, module: &str) -> BTreeMap<&'a str, &'a str> {
    let of_module = text.lines().filter_map(offer).filter(|(name, _, _)| *name == module);
    of_module.map(|(_, symbol, crc)| (symbol, crc)).collect()
}

/// Reads a line: the module, a symbol that it offers, and the symbol's version.
fn offer(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split('\t');
    let (crc, symbol, path) = (fields.next()?, fields.next()?, fields.next()?);
    Some((path.rsplit('/').next()?, symbol, crc))
}

/// Returns the modules beside `built` that use `changed` symbols, so that they have to be rebuilt, too; the error names one of which
/// there are no sources in `tree`.
pub fn misfits(
    changed: &BTreeSet<String>,
    stock: &Modules,
    built: &[ModuleAt],
    tree: &Path,
    release: &str,
    way_out: &str,
) -> Result<BTreeSet<ModuleAt>> {
    let mut misfits = BTreeSet::new();
    if changed.is_empty() {
        return Ok(misfits);
    }
    for (name, path) in stock.users_of(changed)? {
        if built.iter().any(|module| module.plain() == name) {
            continue;
        }
        let dir = path.strip_prefix("kernel").unwrap_or(&path).parent().unwrap_or(Path::new("")).to_owned();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !tree.join(&dir).join("Makefile").is_file() {
            let symbols = changed.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::kernel(format!(
                "the patch changes what {release} offers ({symbols}), and {} uses it, which is not rebuilt; {way_out}",
                path.display()
            )));
        }
        misfits.insert(ModuleAt { dir, name: file.split(".ko").next().unwrap_or(&file).to_owned() });
    }
    Ok(misfits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::image::modules::file_with_section;

    const BEFORE: &str = "0x1\tnfs_alloc\tfs/nfs/nfs\tEXPORT_SYMBOL_GPL\t\n0x2\tnfs_free\tfs/nfs/nfs\tEXPORT_SYMBOL_GPL\t\n\
                          0x3\tkmalloc\tvmlinux\tEXPORT_SYMBOL\t\n";

    fn nfs() -> ModuleAt {
        ModuleAt { dir: "fs/nfs".into(), name: "nfs".into() }
    }

    fn tree(now: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("fs/nfs")).unwrap();
        fs::write(dir.path().join("fs/nfs/Makefile"), "").unwrap();
        fs::write(dir.path().join(SYMBOLS), BEFORE).unwrap();
        fs::write(dir.path().join("fs/nfs").join(SYMBOLS), now).unwrap();
        dir
    }

    fn changed(now: &str) -> Vec<String> {
        changed_symbols(BEFORE, tree(now).path(), &[nfs()]).unwrap().into_iter().collect()
    }

    #[test]
    fn symbols_of_what_is_rebuilt_are_taken_out() {
        let tree = tree("");
        write_symbols(tree.path(), BEFORE, &[nfs()]).unwrap();
        assert_eq!(read_symbols(tree.path()).unwrap(), "0x3\tkmalloc\tvmlinux\tEXPORT_SYMBOL\t\n");
    }

    #[test]
    fn symbol_with_another_version_or_none_has_changed() {
        let same = "0x1\tnfs_alloc\t/cache/fs/nfs/nfs\tEXPORT_SYMBOL_GPL\t\n";
        let other = "0x2\tnfs_free\t/cache/fs/nfs/nfs\tEXPORT_SYMBOL_GPL\t\n";
        assert_eq!(changed(&format!("{same}{other}")), [""; 0]);
        assert_eq!(changed(same), ["nfs_free"]);
        assert_eq!(changed(&format!("{same}{}", other.replace("0x2", "0x7"))), ["nfs_free"]);
    }

    /// Makes a directory of modules: nfsv3 and a driver, which use these symbols.
    fn stock(of_nfsv3: &str, of_driver: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, symbol) in [("kernel/fs/nfs/nfsv3.ko", of_nfsv3), ("kernel/drivers/block/x.ko", of_driver)] {
            let mut entry = vec![0; 64];
            entry[8..8 + symbol.len()].copy_from_slice(symbol.as_bytes());
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), file_with_section("__versions", &entry)).unwrap();
        }
        dir
    }

    #[test]
    fn modules_that_use_what_has_changed_are_rebuilt_or_named() {
        let tree = tree("");
        let misfits = |stock: &tempfile::TempDir| {
            let (changed, stock) = (BTreeSet::from(["nfs_free".to_owned()]), Modules::open(stock.path()).unwrap());
            super::misfits(&changed, &stock, &[nfs()], tree.path(), "6.1.0-57-amd64", "build 6.1+x")
        };
        let rebuilt = misfits(&stock("nfs_free", "kmalloc")).unwrap();
        assert_eq!(rebuilt, BTreeSet::from([ModuleAt { dir: "fs/nfs".into(), name: "nfsv3".into() }]));
        assert!(misfits(&stock("nfs_alloc", "kmalloc")).unwrap().is_empty());
        let error = misfits(&stock("nfs_alloc", "nfs_free")).unwrap_err().to_string();
        let wanted = "the patch changes what 6.1.0-57-amd64 offers (nfs_free), and kernel/drivers/block/x.ko uses it, which is not \
                      rebuilt; build 6.1+x";
        assert_eq!(error, wanted);
    }

    #[test]
    fn module_for_another_kernel_is_refused() {
        let (dir, built) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = |magic: &str| file_with_section(".modinfo", format!("vermagic={magic}\0").as_bytes());
        fs::write(dir.path().join("nfs.ko"), file("6.1 SMP modversions ")).unwrap();
        let stock = Modules::open(dir.path()).unwrap();
        let path = built.path().join("nfs.ko");
        fs::write(&path, file("6.1 SMP modversions ")).unwrap();
        check_magic(&nfs(), &path, &stock).unwrap();
        fs::write(&path, file("6.1 SMP ")).unwrap();
        let error = check_magic(&nfs(), &path, &stock).unwrap_err().to_string();
        assert_eq!(
            error,
            "nfs.ko was rebuilt for '6.1 SMP', but the kernel's own is for '6.1 SMP modversions', so it would not be loaded"
        );
    }
}
