//! A source tree of the user's that is no git tree: all that lies in it becomes a git tree in a repository of our own, whatever its own
//! `.gitignore` files say, but for what a build left.

use super::built_in_place;
use super::tree_files::{Entry, EntryKind, restore_modes, walk};
use crate::error::{Context, Error, Result};
use crate::kernel::external::git::{self, FeedError, Repo};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name by which the repository knows the last tree that was read.
const REF: &str = "refs/dirleak/files";
/// Beside the repository: what was read before, so that only what has changed is read again.
const STAMPS: &str = "files-read";
/// A file that was changed so shortly before it was read may change again and look the same: times are not that exact.
const TOO_FRESH: Duration = Duration::from_secs(2);
/// For fewer files another git is not started.
const FEWEST_FILES: usize = 1000;
/// Ids by path and stamp.
type Known = HashMap<(Vec<u8>, String), String>;

/// Writes the files in `root` into `repo`, and returns the id of their git tree. Empty directories, sockets and devices are no sources.
pub fn write_tree(root: &Path, repo: &Repo) -> Result<String> {
    write_tree_begun(root, repo, SystemTime::now())
}

/// Writes the files, having begun to look at them at the time `begun`.
fn write_tree_begun(root: &Path, repo: &Repo, begun: SystemTime) -> Result<String> {
    let mut entries = walk(root)?;
    restore_modes(&mut entries);
    if built_in_place::is_built(&entries) {
        built_in_place::retain_sources(root, &mut entries, repo.dir())?;
    }
    repo.remove_half_written_packs();
    let known = known(repo);
    let mut ids = ids(root, repo, &entries, &known)?;
    let mut made = commit(repo, &entries, &ids)?;
    if !made.success && !known.is_empty() {
        // Somebody has taken objects away that were there.
        ids = self::ids(root, repo, &entries, &Known::new())?;
        made = commit(repo, &entries, &ids)?;
    }
    made.expect(&format!("reading {}", root.display()))?;
    remember(repo, &entries, &ids, begun)?;
    repo.tree_of(REF)
}

/// Returns the id of the content of each entry: those that are known, and those that are read and written now, by as many gits as
/// there are processors, as one would take longer for its sums than the files for being read.
fn ids(root: &Path, repo: &Repo, entries: &[Entry], known: &Known) -> Result<Vec<String>> {
    let known_id =
        |entry: &Entry| known.get(&(entry.path.as_os_str().as_bytes().to_vec(), entry.stamp.clone())).cloned();
    let mut ids: Vec<Option<String>> = entries.iter().map(known_id).collect();
    let unread: Vec<usize> = (0..entries.len()).filter(|number| ids[*number].is_none()).collect();
    let parts = available_parallelism().map_or(1, usize::from).min(unread.len() / FEWEST_FILES + 1);
    let part = |part: usize| -> Vec<usize> { unread.iter().copied().skip(part).step_by(parts).collect() };
    let written: Vec<Result<Vec<(usize, String)>>> = std::thread::scope(|scope| {
        let write = |n: usize| {
            let numbers = part(n);
            scope.spawn(move || write_blobs(root, repo, entries, &numbers, &format!("marks-{n}")))
        };
        let threads: Vec<_> = (0..parts).map(write).collect();
        threads.into_iter().map(|thread| thread.join().expect("writing does not panic")).collect()
    });
    for written in written {
        written?.into_iter().for_each(|(number, id)| ids[number] = Some(id));
    }
    let all: Option<Vec<String>> = ids.into_iter().collect();
    all.ok_or_else(|| Error::machine(format!("git did not say what it wrote of {}", root.display())))
}

/// Has git write the content of the entries of these numbers; gives the id of each. Their list is a file `marks` of the repository.
fn write_blobs(
    root: &Path,
    repo: &Repo,
    entries: &[Entry],
    numbers: &[usize],
    marks: &str,
) -> Result<Vec<(usize, String)>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let marks = repo.dir().join(marks);
    let mut command = fast_import(repo);
    command.arg(format!("--export-marks={}", marks.display()));
    git::run_fed(&mut command, |out| {
        let mut content = Vec::new();
        for number in numbers {
            read(root, &entries[*number], &mut content).map_err(FeedError::Input)?;
            // A mark is never 0.
            write!(out, "blob\nmark :{}\ndata {}\n", number + 1, content.len())?;
            out.write_all(&content)?;
            out.write_all(b"\n")?;
        }
        Ok(out.write_all(b"done\n")?)
    })?
    .expect(&format!("reading {}", root.display()))?;
    let text = fs::read_to_string(&marks).machine(|| format!("cannot read {}", marks.display()))?;
    let mark = |line: &str| {
        let (number, id) = line.strip_prefix(':')?.split_once(' ')?;
        Some((number.parse::<usize>().ok()?.checked_sub(1)?, id.to_owned()))
    };
    Ok(text.lines().filter_map(mark).collect())
}

/// Has git make a commit of all entries with content of these ids.
fn commit(repo: &Repo, entries: &[Entry], ids: &[String]) -> Result<git::GitOutput> {
    git::run_fed(&mut fast_import(repo), |out| {
        write!(out, "commit {REF}\ncommitter dirleak <dirleak@localhost> 0 +0000\ndata 0\n")?;
        for (entry, id) in entries.iter().zip(ids) {
            write!(out, "M {} {id} ", entry.kind.mode())?;
            out.write_all(&quoted(&entry.path))?;
        }
        Ok(out.write_all(b"done\n")?)
    })
}

/// Returns a git that writes what it is fed as one pack, neither compressed nor compared with each other: it is read once.
fn fast_import(repo: &Repo) -> Command {
    let mut command = repo.writer();
    command.args(["-c", "pack.compression=0", "fast-import", "--quiet", "--force", "--done", "--depth=0"]);
    command
}

/// Reads a file, or where a link leads to, into `content`.
fn read(root: &Path, entry: &Entry, content: &mut Vec<u8>) -> Result<()> {
    let path = root.join(&entry.path);
    let failed = || format!("cannot read {}", path.display());
    content.clear();
    if entry.kind == EntryKind::Link {
        content.extend_from_slice(fs::read_link(&path).machine(failed)?.as_os_str().as_bytes());
        return Ok(());
    }
    File::open(&path).and_then(|mut file| file.read_to_end(content)).machine(failed).map(drop)
}

/// Returns a line with a path, as git-fast-import(1) reads it.
fn quoted(path: &Path) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            b'\n' => quoted.extend(b"\\n"),
            byte => quoted.push(*byte),
        }
    }
    quoted.extend(b"\"\n");
    quoted
}

/// Returns the ids of what was read before, by path and stamp.
fn known(repo: &Repo) -> Known {
    let text = fs::read(repo.dir().join(STAMPS)).unwrap_or_default();
    let record = |record: &[u8]| {
        let mut parts = record.splitn(3, |byte| *byte == b'\t');
        let (id, stamp, path) = (parts.next()?, parts.next()?, parts.next()?);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(((path.to_vec(), text(stamp)?), text(id)?))
    };
    text.split(|byte| *byte == 0).filter_map(record).collect()
}

/// Notes the ids of what was read, but for what may have changed since without looking so.
fn remember(repo: &Repo, entries: &[Entry], ids: &[String], begun: SystemTime) -> Result<()> {
    let fresh = begun.checked_sub(TOO_FRESH).and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut text = Vec::new();
    for (entry, id) in entries.iter().zip(ids).filter(|(entry, _)| is_older(&entry.stamp, fresh)) {
        text.extend(format!("{id}\t{}\t", entry.stamp).into_bytes());
        text.extend(entry.path.as_os_str().as_bytes());
        text.push(0);
    }
    let file = repo.dir().join(STAMPS);
    fs::write(&file, text).machine(|| format!("cannot write {}", file.display()))
}

/// Returns whether the last of the times in a stamp, that of the last change of whatever kind, lies before `time`.
fn is_older(stamp: &str, time: Duration) -> bool {
    let changed = stamp.rsplit(' ').next().and_then(|time| time.split('.').next()?.parse::<u64>().ok());
    changed.is_some_and(|seconds| seconds < time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// Makes a directory with these files, and a repository of ours.
    fn setting(files: &[(&[u8], &str)]) -> (TempDir, PathBuf, Repo) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("linux");
        for (name, text) in files {
            let path = root.join(OsStr::from_bytes(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let repo = Repo::open(dir.path().join("git"), None).unwrap();
        (dir, root, repo)
    }

    /// Returns everything below a directory that is no directory: its path, mode, and content or target.
    fn everything(root: &Path) -> Vec<(PathBuf, &'static str, Vec<u8>)> {
        let content = |entry: &Entry| {
            let mut content = Vec::new();
            read(root, entry, &mut content).map(|()| content).unwrap()
        };
        walk(root).unwrap().iter().map(|entry| (entry.path.clone(), entry.kind.mode(), content(entry))).collect()
    }

    /// Checks a tree out as a kernel's is to be built, and returns what is there then.
    fn checked_out(dir: &Path, repo: &Repo, tree: &str) -> Vec<(PathBuf, &'static str, Vec<u8>)> {
        let (index, into) = (dir.join("index"), dir.join("out"));
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        for arguments in [&["read-tree", tree][..], &["checkout-index", "--all", "--force"]] {
            let mut command = repo.git();
            command.env("GIT_INDEX_FILE", &index).arg("--work-tree").arg(&into).current_dir(&into);
            git::run(command.args(arguments)).unwrap().expect("checkout").unwrap();
        }
        everything(&into)
    }

    /// Returns the id that git gives to the files of a directory.
    fn id_by_git(root: &Path) -> String {
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(root).args(["-c", "core.protectNTFS=false"]).args(arguments);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q"]);
        git(&["add", "--all", "--force", "."]);
        let id = git(&["write-tree"]);
        fs::remove_dir_all(root.join(".git")).unwrap();
        id
    }

    const ODD: [&[u8]; 12] = [
        b"with space.c",
        b" leading",
        b"-dash",
        b"line\nfeed",
        b"quo\"te",
        b"back\\slash",
        b"tab\there",
        "um\u{4c}aut-\u{e4}\u{fffd}".as_bytes(),
        b"no-\xff\xfe-utf8",
        b"aux.c/con",
        b"dot.",
        b"a/b/c/d/e/f/g",
    ];

    #[test]
    fn files_links_and_odd_names_are_taken_as_they_are() {
        let (dir, root, repo) = setting(&ODD.map(|name| (name, "text\r\n$Id$\n")));
        fs::write(root.join("empty"), "").unwrap();
        fs::write(root.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        for (target, link) in [("nowhere", "broken"), ("/", "away"), ("a/b", "dir"), ("loop", "loop"), ("x\ny", "odd")]
        {
            symlink(target, root.join(link)).unwrap();
        }
        let tree = write_tree(&root, &repo).unwrap();
        assert_eq!(tree, id_by_git(&root), "the same files have the same name as in git");
        assert_eq!(checked_out(dir.path(), &repo, &tree), everything(&root));
    }

    #[test]
    fn scripts_of_a_tree_that_lost_its_modes_can_be_run_again() {
        let names: [&[u8]; 6] = [
            b"Makefile",
            b"scripts/cc-version.sh",
            b"scripts/setlocalversion",
            b"tools/x.pl",
            b"fs/dir.c",
            b"fs/Kconfig",
        ];
        let (dir, root, repo) = setting(&names.map(|name| (name, "text\n")));
        let executable = |tree: &str| {
            let all = checked_out(dir.path(), &repo, tree).into_iter();
            let names = all.filter(|(_, mode, _)| *mode == "100755").map(|(path, ..)| path.display().to_string());
            names.collect::<Vec<_>>()
        };
        let tree = write_tree(&root, &repo).unwrap();
        assert_eq!(executable(&tree), ["scripts/cc-version.sh", "scripts/setlocalversion", "tools/x.pl"]);
        fs::set_permissions(root.join("tools/x.pl"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            executable(&write_tree(&root, &repo).unwrap()),
            ["tools/x.pl"],
            "a tree with modes is taken as it is"
        );
    }

    #[test]
    fn what_a_git_tree_would_ignore_or_change_is_taken_as_it_is() {
        let ignored: [(&[u8], &str); 6] = [
            (b".gitignore", "*.lib\n*.map\n*.hex\n*.d\n/*\n"),
            (b"scripts/Makefile.lib", "all:\n"),
            (b"drivers/.gitignore", "*\n"),
            (b"drivers/firmware.hex", "00\n"),
            (b"tools/lib/libx.map", "{ global: *; };\r\n"),
            (b".gitattributes", "* text eol=crlf ident working-tree-encoding=UTF-16\n*.map filter=none\n"),
        ];
        let (dir, root, repo) = setting(&ignored);
        let tree = write_tree(&root, &repo).unwrap();
        assert_eq!(checked_out(dir.path(), &repo, &tree), everything(&root));
        assert_eq!(everything(&root).len(), ignored.len());
    }

    #[test]
    fn what_no_git_tree_holds_is_passed_over() {
        let (_dir, root, repo) =
            setting(&[(b"Makefile", "all:\n"), (b"module/.git/HEAD", "ref: x\n"), (b"module/m.c", "m\n")]);
        fs::create_dir(root.join("nothing")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let tree = write_tree(&root, &repo).unwrap();
        let listed = repo.text(&["ls-tree", "-r", "--name-only", &tree]).unwrap();
        assert_eq!(listed.lines().collect::<Vec<_>>(), ["Makefile", "module/m.c"]);
    }

    #[test]
    fn only_what_may_have_changed_is_read_again() {
        let (_dir, root, repo) = setting(&[(b"a.c", "one\n"), (b"b.c", "two\n")]);
        let later = SystemTime::now() + 2 * TOO_FRESH;
        let first = write_tree_begun(&root, &repo, later).unwrap();
        let noted = fs::read_to_string(repo.dir().join(STAMPS)).unwrap();
        assert_eq!(noted.matches('\0').count(), 2);
        // Notes that lie show that they are believed.
        let id = |name: &str| repo.text(&["rev-parse", &format!("{first}:{name}")]).unwrap().trim().to_owned();
        let lies = noted.replace(&id("a.c"), "?").replace(&id("b.c"), &id("a.c"));
        fs::write(repo.dir().join(STAMPS), lies.replace('?', &id("a.c"))).unwrap();
        let believed = write_tree_begun(&root, &repo, later).unwrap();
        assert_eq!(repo.file(&believed, "b.c").unwrap().unwrap(), "one\n");
        // As long, and a moment later.
        fs::write(root.join("b.c"), "six\n").unwrap();
        let changed = write_tree_begun(&root, &repo, later).unwrap();
        assert_eq!(repo.file(&changed, "b.c").unwrap().unwrap(), "six\n");
        assert_eq!(repo.file(&changed, "a.c").unwrap().unwrap(), "one\n");
    }

    #[test]
    fn what_was_just_changed_is_read_again() {
        let (_dir, root, repo) = setting(&[(b"a.c", "one\n")]);
        write_tree(&root, &repo).unwrap();
        assert_eq!(fs::read(repo.dir().join(STAMPS)).unwrap(), b"");
        assert!(is_older("100644 1 2 3.000000000 8.999999999", Duration::from_secs(9)));
        assert!(!is_older("100644 1 2 3.000000000 9.000000000", Duration::from_secs(9)));
    }

    #[test]
    fn objects_that_were_taken_away_are_written_again() {
        let (dir, root, repo) = setting(&[(b"a.c", "one\n"), (b"b.c", "two\n")]);
        let later = SystemTime::now() + 2 * TOO_FRESH;
        let tree = write_tree_begun(&root, &repo, later).unwrap();
        fs::remove_dir_all(repo.dir().join("written")).unwrap();
        fs::create_dir(repo.dir().join("written")).unwrap();
        assert_eq!(write_tree_begun(&root, &repo, later).unwrap(), tree);
        assert_eq!(checked_out(dir.path(), &repo, &tree), everything(&root));
    }

    #[test]
    fn files_that_several_gits_write_are_one_tree() {
        let names: Vec<Vec<u8>> = (0..2 * FEWEST_FILES).map(|n| format!("dir-{}/{n}.c", n % 7).into_bytes()).collect();
        let files: Vec<(&[u8], &str)> = names.iter().map(|name| (name.as_slice(), "same\n")).collect();
        let (_dir, root, repo) = setting(&files);
        fs::write(root.join("dir-3/3.c"), "other\n").unwrap();
        assert_eq!(write_tree(&root, &repo).unwrap(), id_by_git(&root));
    }

    #[test]
    fn file_that_is_gone_is_named() {
        let (_dir, root, repo) = setting(&[(b"a.c", "one\n")]);
        let entries = walk(&root).unwrap();
        fs::remove_file(root.join("a.c")).unwrap();
        let error = ids(&root, &repo, &entries, &Known::new()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read {}/a.c", root.display())), "{error}");
    }
}
