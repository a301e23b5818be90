//! Which operations on files make sense, one after the other and on which mount.

use super::complaint::{Check, complain, in_range};
use crate::scenario::files::{Each, FileOp, FileSteps};
use crate::scenario::mount_options::split;
use crate::scenario::types::{Scenario, ServerKind};
use crate::workload::file_ops::action::{AclKind, Action, LockKind, errno_name};
use crate::workload::file_ops::expect::Expected;
use crate::workload::file_ops::model::Model;

const KEY: &str = "unit";
const MAX_COUNT: u32 = 100_000;
const MAX_NAME_BYTES: u32 = 200;
/// What stands behind a name, a dot included, still fits one of 255 bytes.
const MAX_AT_BYTES: usize = 50;
const MAX_BYTES: u64 = 64 << 20;
const MAX_DRAWN: u32 = 1_000_000;
const MAX_WEIGHT: u32 = 10_000;
/// Files that are open at once.
const MAX_OPEN: u64 = 20_000;

/// Refuses the first thing that cannot be.
pub(crate) fn check(steps: &FileSteps, scenario: &Scenario) -> Check {
    if scenario.server == ServerKind::Synthetic {
        let message = "`files` needs a server that a client can write to; use the server \"knfsd\"";
        return complain(KEY, message);
    }
    in_range(KEY, steps.count, 1, MAX_COUNT)?;
    in_range(KEY, steps.name_bytes, 1, MAX_NAME_BYTES)?;
    in_range(KEY, steps.mount, 1, scenario.mount.count)?;
    let digits = steps.count.to_string().len();
    if digits > steps.name_bytes as usize {
        let (count, bytes) = (steps.count, steps.name_bytes);
        return complain(
            KEY,
            format!("{count} names do not fit {bytes} bytes; `name_bytes` must be at least {digits}"),
        );
    }
    let drawn = steps.draw.iter().flat_map(|draw| &draw.of);
    if steps.operations.is_empty() && steps.draw.is_none() {
        return complain(KEY, "`files` does nothing; say in `do` what is done to each name, or `draw` it");
    }
    steps.operations.iter().chain(drawn).try_for_each(|op| operation(op, scenario))?;
    if let Some(draw) = &steps.draw {
        in_range(KEY, draw.operations, 1, MAX_DRAWN)?;
        if draw.of.is_empty() {
            return complain(KEY, "`draw.of` of `files` has no operation to draw");
        }
        if let Some(op) = draw.of.iter().find(|op| op.fails.is_some()) {
            return complain(KEY, format!("{op} is drawn, so that what is there says how it ends; leave out `fails`"));
        }
    }
    course(steps)
}

/// Refuses an operation that this mount cannot do.
fn operation(op: &FileOp, scenario: &Scenario) -> Check {
    in_range(KEY, op.mount.unwrap_or(1), 1, scenario.mount.count)?;
    in_range(KEY, op.weight, 1, MAX_WEIGHT)?;
    in_range(KEY, op.action.bytes().unwrap_or(0), 0, MAX_BYTES)?;
    for at in [Some(op.at.as_str()), op.action.target()].into_iter().flatten() {
        place(at)?;
    }
    match op.fails {
        // To be refused is what it is for.
        Some(_) => Ok(()),
        None => can_be_done(op, scenario),
    }
}

/// Refuses what cannot stand behind a name.
fn place(at: &str) -> Check {
    let parts: Vec<&str> = at.split('/').collect();
    let is_part = |part: &&str| {
        part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !part.starts_with('.')
            && !part.is_empty()
    };
    if at.is_empty() || (at.len() < MAX_AT_BYTES && parts.len() <= 2 && parts.iter().all(is_part)) {
        return Ok(());
    }
    let message = format!(
        "{at:?} cannot stand behind a name; it must be letters and digits, at most {MAX_AT_BYTES}, or two such words with a / between them \
         (\"d/x\": x in the directory d)"
    );
    complain(KEY, message)
}

/// Refuses what the version or the options of the mount do not do; an operation that must fail may be asked for anyway.
fn can_be_done(op: &FileOp, scenario: &Scenario) -> Check {
    let mount = &scenario.mount;
    let version = mount.version;
    let has = |option: &str| split(&mount.options).any(|other| other == option);
    let refused = |why: &str| complain(KEY, format!("{op} {why}, or say which error it must end with by `fails`"));
    match &op.action {
        Action::Fallocate(_) | Action::Punch(_) if !version.carries_labels() => {
            refused(&format!("needs version 4.2, and the mount has {version}; use 4.2"))
        }
        Action::Setxattr(name) | Action::Getxattr(name) | Action::Removexattr(name) => {
            let is_label = name.starts_with("security.");
            match () {
                () if !name.contains('.') => complain(KEY, format!("{op} names no attribute such as \"user.a\"")),
                () if !version.carries_labels() => {
                    refused(&format!("needs version 4.2, and the mount has {version}; use 4.2"))
                }
                () if is_label && !scenario.guest.security_labels => {
                    refused("is about a label; add `security_labels = true` to `[guest]`")
                }
                () => Ok(()),
            }
        }
        Action::SetAcl(AclKind::V4) | Action::GetAcl(AclKind::V4) if !version.is_4() => {
            refused("is of version 4, and the mount has 3; use \"posix\" with version 3")
        }
        Action::SetAcl(AclKind::Posix | AclKind::Default) | Action::GetAcl(AclKind::Posix | AclKind::Default)
            if version.is_4() =>
        {
            refused(&format!("is of version 3, and the mount has {version}; use \"v4\""))
        }
        Action::SetAcl(_) | Action::GetAcl(_) if has("noacl") => {
            refused("needs access control lists; leave out the option `noacl`")
        }
        action if action.lock().is_some() && !version.is_4() && !mount.has_lockd() => refused(
            "is no business of the server's with `nolock`, which guests mount with; add `lock` to `mount.options`",
        ),
        _ => Ok(()),
    }
}

/// Follows a name through what is done to it, and refuses what cannot succeed.
fn course(steps: &FileSteps) -> Check {
    let mut model = Model::new(0);
    let mut most_open = 0;
    for op in &steps.operations {
        match model.expect(&op.action, &op.at) {
            Expected::Senseless(why) if op.fails.is_none() || op.action.needs_open() && model.open.is_empty() => {
                return complain(KEY, format!("{op} cannot be done: {why}"));
            }
            Expected::Failure(errno) if op.fails.is_none() => {
                let name = errno_name(errno);
                let message = format!(
                    "{op} cannot succeed after what is done before it; say `fails = \"{name}\"` if that is meant"
                );
                return complain(KEY, message);
            }
            _ => {}
        }
        if op.fails.is_none() {
            model.apply(&op.action, &op.at);
        }
        most_open = most_open.max(model.open.len() as u64);
    }
    let at_once = if steps.each == Each::Operation { u64::from(steps.count) } else { 1 };
    if most_open * at_once > MAX_OPEN {
        let files = most_open * at_once;
        return complain(
            KEY,
            format!("{files} files would be open at once; at most {MAX_OPEN} can be, so lower `count`"),
        );
    }
    let asks_posix =
        |op: &FileOp| op.action.lock() == Some(LockKind::Posix) && op.fails == Some(nix::errno::Errno::EAGAIN);
    match steps.operations.iter().find(|op| asks_posix(op)) {
        Some(op) => complain(KEY, format!("{op} cannot be refused: one process has its locks together; use \"ofd\"")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::load::parse;

    /// Makes a scenario whose unit is this step, on a mount with these keys.
    fn with(files: &str, version: &str, options: &str) -> Result<(), String> {
        let text = include_str!("../../../scenarios/quick-v4.toml")
            .replace("version = \"4.2\"", &format!("version = \"{version}\""))
            .replace("\"actimeo=0\"", &format!("\"{options}\""));
        let text = format!("{text}\n[unit]\nsteps = [{{ files = {{ {files} }} }}]\n");
        parse("x.toml", &text).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn operations_that_cannot_be_are_told() {
        let table = [
            ("", "4.2", "", "`files` does nothing"),
            ("do = [\"close\"]", "4.2", "", "`close` cannot be done: nothing is open"),
            ("do = [{ op = \"close\", fails = \"EBADF\" }]", "4.2", "", "nothing is open"),
            (
                "do = [\"unlink\"]",
                "4.2",
                "",
                "`unlink` cannot succeed after what is done before it; say `fails = \"ENOENT\"`",
            ),
            ("do = [\"create\", { op = \"unlink\", at = \"b\" }]", "4.2", "", "`unlink` at `b` cannot succeed"),
            ("count = 0, do = [\"create\"]", "4.2", "", "must be between 1 and 100000"),
            ("count = 100, name_bytes = 2, do = [\"create\"]", "4.2", "", "`name_bytes` must be at least 3"),
            ("mount = 2, do = [\"create\"]", "4.2", "", "must be between 1 and 1"),
            ("do = [{ op = \"create\", mount = 2 }]", "4.2", "", "must be between 1 and 1"),
            ("do = [{ op = \"create\", at = \"../x\" }]", "4.2", "", "cannot stand behind a name"),
            ("do = [\"create\", \"fallocate\"]", "3", "", "needs version 4.2, and the mount has 3"),
            ("do = [\"create\", { setxattr = \"user.a\" }]", "4.1", "", "needs version 4.2"),
            ("do = [\"create\", { setxattr = \"security.selinux\" }]", "4.2", "", "add `security_labels = true`"),
            ("do = [\"create\", { setxattr = \"a\" }]", "4.2", "", "names no attribute"),
            ("do = [\"create\", { set-acl = \"v4\" }]", "3", "", "use \"posix\" with version 3"),
            ("do = [\"create\", { set-acl = \"posix\" }]", "4.2", "", "use \"v4\""),
            ("do = [\"create\", { set-acl = \"posix\" }]", "3", "noacl", "leave out the option `noacl`"),
            ("do = [\"create\", { lock = \"posix\" }]", "3", "", "add `lock` to `mount.options`"),
            ("do = [\"create\", { lock = \"posix\", fails = \"EAGAIN\" }]", "4.2", "", "use \"ofd\""),
            ("do = [\"create\", { mmap-write = 9 }]", "4.2", "", "what is mapped behind its end"),
            ("count = 50000, each = \"operation\", do = [\"create\"]", "4.2", "", "at most 20000 can be"),
            ("draw = { operations = 5, of = [] }", "4.2", "", "has no operation to draw"),
            ("draw = { operations = 5, of = [{ op = \"unlink\", fails = \"EIO\" }] }", "4.2", "", "leave out `fails`"),
        ];
        for (files, version, options, expected) in table {
            let error = with(files, version, options).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{files}: {error}");
        }
        let quick = include_str!("../../../scenarios/quick.toml");
        let text = format!("{quick}\n[unit]\nsteps = [{{ files = {{ do = [\"create\"] }} }}]\n");
        let error = parse("x.toml", &text).unwrap_err().to_string();
        assert!(error.contains("use the server \"knfsd\""), "{error}");
    }

    #[test]
    fn operations_that_can_be_are_taken() {
        for (files, version, options) in [
            ("do = [\"create\", \"write\", \"close\", \"unlink\"]", "3", ""),
            ("do = [{ op = \"unlink\", fails = \"ENOENT\" }]", "4.2", ""),
            ("do = [\"create\", { op = \"create-exclusive\", fails = \"EEXIST\" }]", "4.0", ""),
            ("do = [\"create\", { op = \"fallocate\", fails = \"EOPNOTSUPP\" }]", "3", ""),
            ("do = [\"create\", { lock = \"posix\" }]", "3", "lock"),
            ("do = [{ op = \"mkdir\", at = \"d\" }, { op = \"create\", at = \"d/x\" }]", "4.2", ""),
            ("draw = { operations = 5, of = [\"create\", { op = \"close\", weight = 3 }] }", "4.2", ""),
        ] {
            with(files, version, options).unwrap_or_else(|error| panic!("{files}: {error}"));
        }
    }
}
