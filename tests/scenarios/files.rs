//! Trials of operations on files, and of what a server keeps of them.

use crate::case::Case;
use crate::program::{Program, Trialled, varied};
use dirleak::result::record::Verdict;

const KERNEL: &str = "6.1";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("an operation that ends otherwise than it must is broken", &[KERNEL], |_| ends_otherwise()),
        Case::new("files made by another mount over version 3 are no growth", &[KERNEL], |_| another_mount()),
    ]
}

fn ends_otherwise() -> Trialled {
    let toml = include_str!("../../scenarios/quick-v4.toml");
    let step = "[unit]\nsteps = [{ files = { do = [\"create\", { op = \"create-exclusive\", fails = \"EIO\" }] } }]\n";
    let seen = Program::new(&["run", "--kernel", KERNEL, "./otherwise.toml"])
        .with_file("otherwise.toml", &format!("{toml}\n{step}"))
        .run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Broken, || "it is not broken".into())?;
    let says = |words: &str| record.reason.contains(words);
    let is_told = says("`create-exclusive` on 1-") && says(" ended with EEXIST and must end with EIO");
    seen.must(is_told, || format!("it says: {}", record.reason))?;
    seen.must_end_with(1)
}

/// knfsd keeps the reply to each call of version 3 that changes something, until it is stopped.
fn another_mount() -> Trialled {
    // Each restart of the server moves a tree of numbers by up to two nodes, which smaller doses cannot tell from growth.
    let of_3 = [("\"4.2\"", "\"3\""), ("doses = [4, 12]", "doses = [8, 32]")];
    let toml = varied(include_str!("../../scenarios/changing-by-mount.toml"), &of_3);
    let seen = Program::new(&["run", "--kernel", KERNEL, "./changing.toml"]).with_file("changing.toml", &toml).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
    let removed = record.rpcs.get("REMOVE").copied().unwrap_or_default();
    seen.must(removed > record.listings, || format!("{removed} files were removed"))?;
    seen.must_end_with(0)
}
