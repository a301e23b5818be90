//! Knows the smallest SELinux policy that a kernel loads, in its binary form: one user, one role, two types, nothing
//! forbidden; and one more type, a domain that may neither mount nor make anything in a directory that is not of a tmpfs.
//!
//! The format is what `policydb_read` in security/selinux/ss/policydb.c reads. Of its versions this is the first that
//! Linux 6.1 takes, which has neither booleans nor levels nor maps of attributes.

/// The label of what a tmpfs holds.
pub const TMPFS_LABEL: &str = "system_u:object_r:tmpfs_t";
/// The domain of a process that may not do everything.
pub const CONFINED_LABEL: &str = "system_u:object_r:confined_t";

const MAGIC: u32 = 0xf97c_ff8c;
const NAME_OF_FORMAT: &str = "SE Linux";
/// `POLICYDB_VERSION_BASE`.
const VERSION: u32 = 15;
/// What the policy does not define is allowed: `ALLOW_UNKNOWN`.
const ALLOW_UNKNOWN: u32 = 4;
/// Symbol tables of this version: common permissions, classes, roles, types, users.
const SYMBOL_TABLES: u32 = 5;
/// Tables of contexts: initial SIDs, file systems, ports, interfaces, nodes, file systems' ways of labelling.
const CONTEXT_TABLES: u32 = 6;
/// `SECINITSID_NUM`; kernels pass over those that they do not use.
const INITIAL_SIDS: u32 = 27;
/// Files get the label of the file system that they are made in: `SECURITY_FS_USE_TRANS`.
const FS_USE_TRANS: u32 = 2;
/// `AVTAB_ALLOWED`.
const ALLOWED: u32 = 1;

/// Values of the symbols, which count from 1 in each table.
const PROCESS: u32 = 1;
const FILESYSTEM: u32 = 2;
const DIR: u32 = 3;
/// Without permissions of its own, so that all is allowed. A class must be known for its files to be given another label
/// (security_compute_validatetrans in security/selinux/ss/services.c, seen on 6.1).
const FILE: u32 = 4;
const SYSTEM_U: u32 = 1;
/// The kernel makes this role itself and allows it to every user and type, so that nothing has to be said of it.
const OBJECT_R: u32 = 1;
/// Of everything but a tmpfs. What has this label on a mount got none over the wire.
const UNLABELED_T: u32 = 1;
const TMPFS_T: u32 = 2;
/// Of processes that ask for it.
const CONFINED_T: u32 = 3;
/// Who may do what of that which is defined: source, target, class, permissions. What is not defined all may.
const RULES: [[u32; 4]; 7] = [
    [UNLABELED_T, UNLABELED_T, PROCESS, 0b11],
    [UNLABELED_T, CONFINED_T, PROCESS, 0b11],
    [UNLABELED_T, UNLABELED_T, FILESYSTEM, 1],
    [UNLABELED_T, TMPFS_T, FILESYSTEM, 1],
    [UNLABELED_T, UNLABELED_T, DIR, 1],
    [UNLABELED_T, TMPFS_T, DIR, 1],
    [CONFINED_T, TMPFS_T, DIR, 1],
];

/// Returns the policy, to be written to /sys/fs/selinux/load in one piece.
pub fn binary() -> Vec<u8> {
    let mut policy = Policy::default();
    policy.numbers(&[MAGIC]).string(NAME_OF_FORMAT);
    policy.numbers(&[VERSION, ALLOW_UNKNOWN, SYMBOL_TABLES, CONTEXT_TABLES]);
    policy.symbols();
    policy.rules();
    policy.contexts();
    // No file system is labelled path by path (genfscon).
    policy.numbers(&[0]);
    policy.bytes
}

#[derive(Default)]
struct Policy {
    bytes: Vec<u8>,
}

impl Policy {
    fn numbers(&mut self, numbers: &[u32]) -> &mut Self {
        self.bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        self
    }

    /// Appends a length and a text.
    fn string(&mut self, text: &str) -> &mut Self {
        self.numbers(&[text.len() as u32]).text(text)
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.extend(text.bytes());
        self
    }

    /// Begins a table: the largest value in it, and how many entries follow.
    fn table(&mut self, entries: u32) -> &mut Self {
        self.numbers(&[entries, entries])
    }

    /// Appends an entry of a table: length of the name, its numbers, the name.
    fn symbol(&mut self, name: &str, numbers: &[u32]) -> &mut Self {
        self.numbers(&[name.len() as u32]).numbers(numbers).text(name)
    }

    /// Appends a set of symbols with nothing in it: bits of a word, the highest bit, words that follow.
    fn nothing(&mut self) -> &mut Self {
        self.numbers(&[64, 0, 0])
    }

    fn symbols(&mut self) {
        self.table(0);
        // A kernel insists on the class process and these two permissions. The numbers: length of the name of the common
        // permissions that the class has, its value, largest value and number of its own permissions, constraints.
        self.table(4).symbol("process", &[0, PROCESS, 2, 2, 0]);
        self.symbol("transition", &[1]).symbol("dyntransition", &[2]);
        self.symbol("filesystem", &[0, FILESYSTEM, 1, 1, 0]).symbol("mount", &[1]);
        self.symbol("dir", &[0, DIR, 1, 1, 0]).symbol("add_name", &[1]);
        self.symbol("file", &[0, FILE, 0, 0, 0]);
        // Which roles it dominates, and which types it may have.
        self.table(1).symbol("object_r", &[OBJECT_R]).nothing().nothing();
        // 1: it is the type's first name and no alias.
        self.table(3).symbol("unlabeled_t", &[UNLABELED_T, 1]).symbol("tmpfs_t", &[TMPFS_T, 1]);
        self.symbol("confined_t", &[CONFINED_T, 1]);
        // Which roles it may have.
        self.table(1).symbol("system_u", &[SYSTEM_U]).nothing();
    }

    /// Appends the rules that allow the permissions that are defined, then no transitions between roles and no role that may
    /// become another.
    fn rules(&mut self) {
        self.numbers(&[RULES.len() as u32]);
        for [source, target, class, permissions] in RULES {
            let rule = [source, target, class, ALLOWED, permissions];
            self.numbers(&[rule.len() as u32]).numbers(&rule);
        }
        self.numbers(&[0, 0]);
    }

    fn contexts(&mut self) {
        self.numbers(&[INITIAL_SIDS]);
        for sid in 1..=INITIAL_SIDS {
            self.numbers(&[sid]).context(UNLABELED_T);
        }
        // File systems, ports, interfaces, nodes.
        self.numbers(&[0; 4]);
        self.numbers(&[1]).numbers(&[FS_USE_TRANS]).string("tmpfs").context(TMPFS_T);
    }

    fn context(&mut self, type_: u32) -> &mut Self {
        self.numbers(&[SYSTEM_U, OBJECT_R, type_])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::file_ops::perform::LABEL;

    /// Reads a policy as a kernel does.
    struct Reader(Vec<u8>);

    impl Reader {
        fn number(&mut self) -> u32 {
            u32::from_le_bytes(self.0.drain(..4).collect::<Vec<_>>().try_into().unwrap())
        }

        fn numbers<const N: usize>(&mut self) -> [u32; N] {
            std::array::from_fn(|_| self.number())
        }

        fn text(&mut self, length: u32) -> String {
            String::from_utf8(self.0.drain(..length as usize).collect()).unwrap()
        }

        /// Reads names by value of a table whose entries have so many numbers, the value at `value` and so many sets of
        /// nothing.
        fn table(&mut self, numbers: usize, value: usize, sets: usize) -> Vec<String> {
            let [largest, entries] = self.numbers();
            let mut names = vec![String::new(); largest as usize];
            for _ in 0..entries {
                let length = self.number();
                let read: Vec<u32> = (0..numbers).map(|_| self.number()).collect();
                let name = self.text(length);
                for _ in 0..sets {
                    assert_eq!(self.numbers(), [64, 0, 0]);
                }
                names[read[value] as usize - 1] = name;
            }
            names
        }
    }

    #[test]
    fn every_number_and_length_is_where_the_kernel_looks_for_it() {
        let mut policy = Reader(binary());
        assert_eq!(policy.number(), 0xf97c_ff8c);
        let length = policy.number();
        assert_eq!(policy.text(length), "SE Linux");
        assert_eq!(policy.numbers(), [15, 4, 5, 6]);
        assert!(policy.table(0, 0, 0).is_empty());
        assert_eq!(policy.numbers(), [4, 4]);
        for (class, name, permissions) in [
            (1, "process", &["transition", "dyntransition"][..]),
            (2, "filesystem", &["mount"]),
            (3, "dir", &["add_name"]),
            (4, "file", &[]),
        ] {
            let [length, common, value, largest, entries, constraints] = policy.numbers();
            assert_eq!((policy.text(length).as_str(), common, value, constraints), (name, 0, class, 0));
            assert_eq!([largest, entries], [permissions.len() as u32; 2]);
            for (permission, number) in permissions.iter().zip(1..) {
                let [length, value] = policy.numbers();
                assert_eq!((policy.text(length).as_str(), value), (*permission, number));
            }
        }
        let roles = policy.table(1, 0, 2);
        let types = policy.table(2, 0, 0);
        let users = policy.table(1, 0, 1);
        // Rules of five numbers each, and nothing about roles.
        assert_eq!(policy.number(), 7);
        let rules: Vec<[u32; 6]> = (0..7).map(|_| policy.numbers()).collect();
        assert_eq!((rules[0], rules[6]), ([5, 1, 1, 1, 1, 3], [5, 3, 2, 3, 1, 1]));
        assert!(!rules.iter().any(|rule| rule[1..4] == [3, 1, 2]), "the domain may not mount");
        assert_eq!(policy.numbers(), [0, 0]);
        assert_eq!(CONFINED_LABEL.rsplit(':').next(), types.get(2).map(String::as_str));
        let context = |policy: &mut Reader| {
            let [user, role, type_] = policy.numbers().map(|value: u32| value as usize - 1);
            format!("{}:{}:{}", users[user], roles[role], types[type_])
        };
        let sids = policy.number();
        for sid in 1..=sids {
            assert_eq!(policy.number(), sid);
            assert_eq!(context(&mut policy), "system_u:object_r:unlabeled_t");
        }
        assert_eq!(policy.numbers(), [0, 0, 0, 0, 1, FS_USE_TRANS]);
        let length = policy.number();
        assert_eq!(policy.text(length), "tmpfs");
        assert_eq!(context(&mut policy), TMPFS_LABEL);
        assert_eq!(LABEL, format!("{}:{}:{}", users[0], roles[0], types[0]), "what operations on files set is known");
        assert_eq!(policy.number(), 0);
        assert!(policy.0.is_empty());
    }
}
