//! An archive whose signature does not hold is not believed, whatever this machine's apt is told to take.

use dirleak::internals::apt::Apt;
use dirleak::internals::error::Exit;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Signed by a key that was made for tests; see tests/apt.rs.
const SIGNED: &str = include_str!("data/apt/InRelease");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/apt/debian-archive-test.asc");
/// What the signed index has, and what somebody puts there instead: a package that is newer.
const PACKAGES: &str = "Package: dirleak-test\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody\nDescription: test\n\
    Filename: pool/dirleak-test_1.2-3_all.deb\nSize: 800000\nSHA256: ";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// An archive in a directory, as the signature says it is.
fn archive(dir: &Path) -> PathBuf {
    let package: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let packages = format!("{PACKAGES}{}\n\n", sha256(&package));
    assert!(SIGNED.contains(&sha256(packages.as_bytes())), "the signature in tests/data/apt is of another archive");
    let suite = dir.join("archive/dists/bookworm");
    write_index(&suite, &packages);
    fs::write(suite.join("InRelease"), SIGNED).unwrap();
    suite
}

fn write_index(suite: &Path, packages: &str) {
    for architecture in ["amd64", "arm64"] {
        let index = suite.join(format!("main/binary-{architecture}"));
        fs::create_dir_all(&index).unwrap();
        fs::write(index.join("Packages"), packages).unwrap();
    }
}

/// Makes apt believe that this machine knows this archive only, and asks for no signature.
fn pretend(dir: &Path) {
    let sources = dir.join("sources.list.d");
    fs::create_dir(&sources).unwrap();
    fs::create_dir_all(dir.join("lists/partial")).unwrap();
    let shown = dir.display();
    let entry = format!("deb [signed-by={KEY} trusted=yes allow-insecure=yes] file:{shown}/archive bookworm main\n");
    fs::write(sources.join("test.list"), entry).unwrap();
    let text = format!(
        "Dir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::sourcelist \"/dev/null\";\n\
         Dir::Etc::sourceparts \"{shown}/sources.list.d\";\nDir::State::lists \"{shown}/lists\";\nAcquire::Check-Date \"false\";\n\
         Acquire::AllowInsecureRepositories \"true\";\nAcquire::AllowWeakRepositories \"true\";\n\
         Acquire::AllowDowngradeToInsecureRepositories \"true\";\nAPT::Get::AllowUnauthenticated \"true\";\n"
    );
    let path = dir.join("apt.conf");
    fs::write(&path, text).unwrap();
    // SAFETY: this file has one test, so no other thread reads the environment meanwhile.
    unsafe { std::env::set_var("APT_CONFIG", path) };
}

/// One test, because the environment that apt reads belongs to the whole process.
#[test]
fn archive_whose_signature_does_not_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let suite = archive(dir.path());
    pretend(dir.path());
    let newest = |cache: &str| {
        let apt = Apt::open(&Cache::at(dir.path().join(cache)).unwrap(), Some("bookworm")).unwrap();
        apt.update(&Ui::silent()).map(|()| apt.newest("dirleak-test").unwrap())
    };
    assert_eq!(newest("good").unwrap().as_deref(), Some("1.2-3"), "a signature that holds is believed");

    // Another index, and the same signature.
    let planted = PACKAGES.replace("1.2-3", "9.9-9") + &sha256(b"planted") + "\n\n";
    let signed = fs::read_to_string(suite.join("main/binary-amd64/Packages")).unwrap();
    let tampered = SIGNED.replace(&sha256(signed.as_bytes()), &sha256(planted.as_bytes()));
    let tampered = tampered.replace(&format!(" {} main/", signed.len()), &format!(" {} main/", planted.len()));
    assert_ne!(tampered, SIGNED);
    write_index(&suite, &planted);
    fs::write(suite.join("InRelease"), &tampered).unwrap();
    let error = newest("tampered").unwrap_err();
    assert_eq!(error.exit(), Exit::Machine);
    let said = error.to_string();
    assert!(said.starts_with("cannot fetch the package index of Debian bookworm: ") && !said.contains('\n'), "{said}");
    assert!(said.contains("invalid") || said.contains("BADSIG") || said.contains("not signed"), "{said}");

    // No signature at all.
    let begin = tampered.find("Origin:").unwrap();
    let end = tampered.find("-----BEGIN PGP SIGNATURE-----").unwrap();
    fs::remove_file(suite.join("InRelease")).unwrap();
    fs::write(suite.join("Release"), &tampered[begin..end]).unwrap();
    let said = newest("unsigned").unwrap_err().to_string();
    assert!(said.contains("is not signed"), "{said}");
}
