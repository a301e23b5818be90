//! Fetching packages from an archive of our own on this machine, through the machine's real apt, in good luck and bad.

use dirleak::internals::apt::Apt;
use dirleak::internals::error::Exit;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// An archive behind HTTP.
struct Mirror {
    port: u16,
    /// While set, packages end halfway.
    cut_off: Arc<AtomicBool>,
    /// While set, every connection is closed at once.
    gone: Arc<AtomicBool>,
    /// Where each request for a package began.
    starts: Arc<Mutex<Vec<usize>>>,
}

impl Mirror {
    fn start(files: HashMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mirror = Self { port, cut_off: Arc::default(), gone: Arc::default(), starts: Arc::default() };
        let (cut_off, gone, starts) = (mirror.cut_off.clone(), mirror.gone.clone(), mirror.starts.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !gone.load(Ordering::SeqCst) {
                    let _ = answer(stream, &files, &cut_off, &starts);
                }
            }
        });
        mirror
    }
}

/// Answers the first request of a connection and closes it.
fn answer(
    stream: TcpStream,
    files: &HashMap<String, Vec<u8>>,
    cut_off: &AtomicBool,
    starts: &Mutex<Vec<usize>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut start = 0;
    for line in lines.map_while(Result::ok).take_while(|l| !l.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().unwrap_or(0);
        }
    }
    let mut out = &stream;
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let Some(bytes) = files.get(path) else {
        return write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let end = bytes.len();
    match start {
        0 => write!(out, "HTTP/1.1 200 OK\r\n")?,
        _ => write!(out, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{end}\r\n", end - 1)?,
    }
    write!(
        out,
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        end - start
    )?;
    let mut rest = &bytes[start..];
    if path.ends_with(".deb") {
        starts.lock().unwrap().push(start);
        if cut_off.load(Ordering::SeqCst) {
            rest = &rest[..rest.len() / 2];
        }
    }
    out.write_all(rest)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn archive(package: &[u8]) -> HashMap<String, Vec<u8>> {
    let packages = format!(
        "Package: dirleak-test\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody\nDescription: test\n\
         Filename: pool/dirleak-test_1.2-3_all.deb\nSize: {}\nSHA256: {}\n\n",
        package.len(),
        sha256(package)
    );
    // Architectures differ from machine to machine; "all" is read by every apt that is told there is nothing else.
    let release = format!(
        "Origin: Debian\nLabel: Debian\nSuite: bookworm\nCodename: bookworm\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n\
         Architectures: all amd64 arm64\nComponents: main\nNo-Support-for-Architecture-all: Packages\nSHA256:\n {} {} main/binary-amd64/Packages\n \
         {} {} main/binary-arm64/Packages\n",
        sha256(packages.as_bytes()),
        packages.len(),
        sha256(packages.as_bytes()),
        packages.len()
    );
    assert!(SIGNED.contains(&release), "the signature in tests/data/apt is of another archive");
    HashMap::from([
        ("dists/bookworm/InRelease".to_owned(), SIGNED.as_bytes().to_vec()),
        ("dists/bookworm/Release".to_owned(), release.into_bytes()),
        ("dists/bookworm/main/binary-amd64/Packages".to_owned(), packages.clone().into_bytes()),
        ("dists/bookworm/main/binary-arm64/Packages".to_owned(), packages.into_bytes()),
        ("pool/dirleak-test_1.2-3_all.deb".to_owned(), package.to_vec()),
    ])
}

/// The Release file of `archive`, signed by a key that was made for it and thrown away: gpg --quick-gen-key and gpg --clearsign make both
/// anew. What apt needs to check them is there wherever apt is.
const SIGNED: &str = include_str!("data/apt/InRelease");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/apt/debian-archive-test.asc");

/// Makes apt believe that this machine knows one archive only.
fn pretend(dir: &Path, port: u16) {
    let sources = dir.join("sources.list.d");
    fs::create_dir(&sources).unwrap();
    fs::create_dir_all(dir.join("lists/partial")).unwrap();
    fs::write(sources.join("test.list"), format!("deb [signed-by={KEY}] http://127.0.0.1:{port}/ bookworm main\n"))
        .unwrap();
    let dir = dir.display();
    let text = format!(
        "Dir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::sourcelist \"/dev/null\";\n\
         Dir::Etc::sourceparts \"{dir}/sources.list.d\";\nDir::State::lists \"{dir}/lists\";\n\
         Acquire::http::Proxy \"DIRECT\";\nAcquire::Check-Date \"false\";\n"
    );
    let path = format!("{dir}/apt.conf");
    fs::write(&path, text).unwrap();
    // SAFETY: this file has one test, so no other thread reads the environment meanwhile.
    unsafe {
        std::env::set_var("APT_CONFIG", path);
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// One test, because the environment that apt reads belongs to the whole process.
#[test]
fn packages_are_fetched_whole_or_not_at_all() {
    let package: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let mirror = Mirror::start(archive(&package));
    let dir = tempfile::tempdir().unwrap();
    pretend(dir.path(), mirror.port);
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let (into, ui) = (dir.path().join("into"), Ui::plain());

    let apt = Apt::open(&cache, None).unwrap();
    assert_eq!(apt.suite(), "bookworm");
    apt.update(&ui).unwrap();
    assert_eq!(apt.newest("dirleak-test").unwrap().as_deref(), Some("1.2-3"));
    assert_eq!(apt.newest("dirleak-nothing").unwrap(), None);
    assert_eq!(apt.closure(&["dirleak-test"]).unwrap()[0].bytes, package.len() as u64);

    // Cut off: a sentence, and nothing that could be taken for the package.
    mirror.cut_off.store(true, Ordering::SeqCst);
    let error = apt.download(&["dirleak-test"], &into, &ui).unwrap_err();
    assert_eq!(error.exit(), Exit::Machine);
    assert!(error.to_string().starts_with("cannot fetch dirleak-test: Failed to fetch"), "{error}");
    assert!(error.to_string().ends_with("check the network connection, then run the same command again"), "{error}");
    assert!(!error.to_string().contains('\n'));
    assert!(names(&into).is_empty());

    // The next one goes on where that ended.
    mirror.cut_off.store(false, Ordering::SeqCst);
    mirror.starts.lock().unwrap().clear();
    let files = apt.download(&["dirleak-test"], &into, &ui).unwrap();
    assert_eq!(fs::read(&files[0]).unwrap(), package);
    assert!(mirror.starts.lock().unwrap()[0] > 0, "fetched from the beginning again");

    // Without the mirror a fresh index still serves; a new one cannot be had.
    mirror.gone.store(true, Ordering::SeqCst);
    let apt = Apt::open(&cache, Some("bookworm")).unwrap();
    apt.update(&ui).unwrap();
    assert_eq!(apt.newest("dirleak-test").unwrap().as_deref(), Some("1.2-3"));
    let error = Apt::open(&cache, Some("trixie")).unwrap().update(&ui).unwrap_err();
    assert_eq!(error.exit(), Exit::Machine);
    assert!(error.to_string().starts_with("cannot fetch the package index of Debian trixie: "), "{error}");

    // Another distribution's machine, then one without apt.
    fs::write(dir.path().join("sources.list.d/test.list"), "").unwrap();
    let error = Apt::open(&cache, None).err().expect("there is no archive");
    assert!(error.to_string().contains("name no Debian archive"), "{error}");
    // SAFETY: as above.
    unsafe {
        std::env::set_var("PATH", dir.path());
    }
    let error = Apt::open(&cache, None).err().expect("there is no apt");
    assert_eq!(error.exit(), Exit::Machine);
    assert!(error.to_string().starts_with("apt is not installed"), "{error}");
}
