//! Trials of `dirleak coverage`. They need kernels whose NFS code counts what is executed, which no other trial has built.

use crate::case::Case;
use crate::kernels::only_nightly;
use crate::program::{Program, Trialled};
use dirleak::result::coverage::{CoverageFile, FunctionCoverage};

const WHY: &str = "its kernel is built so that it counts what is executed";

pub fn cases() -> Vec<Case> {
    let name = "coverage of quick and files-nodes on 6.1 tells what a listing executes, and what files alone do";
    vec![
        Case::new(name, &[], |_| told()).ignored_because(only_nightly(WHY)),
        Case::new("coverage of a distribution's kernel is refused with the way out", &[], |_| refused()),
    ]
}

fn told() -> Trialled {
    let files = ["--json", "coverage.json", "--lcov", "lcov.info"];
    let arguments = ["coverage", "--kernel", "6.1", "--failures", "3", "quick", "files-nodes"].into_iter().chain(files);
    let mut running = Program::new(&arguments.collect::<Vec<_>>()).start();
    let seen = running.wait()?;
    seen.must_end_with(0)?;
    let file: CoverageFile = serde_json::from_str(&running.text("coverage.json"))?;
    let dir_c = file.files.iter().find(|file| file.file == "fs/nfs/dir.c").ok_or("there is no fs/nfs/dir.c")?;
    let function = |name: &str| -> Result<&FunctionCoverage, String> {
        let found = dir_c.by_function.iter().find(|function| function.function == name);
        found.ok_or_else(|| format!("there is no {name}"))
    };
    let (readdir, mkdir) = (function("nfs_readdir")?, function("nfs_mkdir")?);
    seen.must(readdir.scenarios == 1 && readdir.calls > 2, || format!("{readdir:?}"))?;
    seen.must(mkdir.scenarios == 1 && mkdir.lines.reached > 0, || format!("{mkdir:?}"))?;
    seen.must(dir_c.lines.reached > 100 && dir_c.lines.reached < dir_c.lines.of, || format!("{:?}", dir_c.lines))?;
    let [quick, files] = &file.scenarios[..] else { return Err("not two scenarios".into()) };
    seen.must(quick.failures == 6 && quick.units > 6, || format!("{quick:?}"))?;
    let alone = files.alone.iter().flat_map(|alone| &alone.functions).any(|function| function == "nfs_mkdir");
    seen.must(alone, || "nfs_mkdir is not told to be of files-nodes alone".into())?;
    let lcov = running.text("lcov.info");
    seen.must(lcov.contains("SF:fs/nfs/dir.c\n"), || "the tracefile has no fs/nfs/dir.c".into())
}

fn refused() -> Trialled {
    let seen = Program::new(&["coverage", "--kernel", "6.1:cloud", "quick"]).run()?;
    let told = seen.stderr.contains("without vm/coverage.config") && seen.stderr.contains("such as 6.1");
    seen.must(told, || "it does not say why".into())?;
    seen.must_end_with(129)
}
