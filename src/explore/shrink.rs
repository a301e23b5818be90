//! Makes a scenario as small as it still shows what it showed, one change after the other.

use super::draw::mend::mend;
use super::draw::mount::{has, without};
use crate::scenario::check::check;
use crate::scenario::files::FileSteps;
use crate::scenario::mount_options::split;
use crate::scenario::step::Pass;
use crate::scenario::types::Scenario;
use crate::scenario::write::to_toml;
use crate::scenario::{DirSelector, NfsVersion, Position, Step};
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::{Kinds, Made, Shape};

/// Sizes of directories that are tried, the smallest first.
const ENTRIES: [u64; 6] = [0, 1, 10, 40, 150, 300];

/// Lines that say nothing.
const USUAL: [&str; 2] = ["rsize_bytes = 1048576", "getdents_buffer_bytes = 32768"];

/// Makes a scenario smaller in one way.
type Change<'a> = &'a dyn Fn(&mut Scenario);

/// A scenario that was made smaller, and how.
pub struct Shrunk {
    /// Each that still showed it, from the first to the smallest.
    pub steps: Vec<Scenario>,
    pub tries: u64,
}

impl Shrunk {
    /// Returns the smallest.
    pub fn smallest(&self) -> &Scenario {
        self.steps.last().expect("the first is among them")
    }
}

/// Makes `scenario` smaller as long as `shows` says that it still shows what it showed and `most` tries are not used up. `shows` may end it by
/// an error, and gives `None` when there is no more time.
pub fn shrink<E>(
    scenario: &Scenario,
    most: u64,
    mut shows: impl FnMut(&Scenario) -> Result<Option<bool>, E>,
) -> Result<Shrunk, E> {
    let mut shrunk = Shrunk { steps: vec![scenario.clone()], tries: 0 };
    let mut refused: Vec<String> = Vec::new();
    loop {
        let before = shrunk.steps.len();
        // What was refused once of a larger one is tried again of a smaller one: steps may have needed each other.
        for number in 0.. {
            let current = shrunk.smallest();
            let Some(smaller) = reductions(current).into_iter().nth(number) else { break };
            let text = to_toml(&smaller);
            if size(&smaller) >= size(current) || check(&smaller).is_err() || refused.contains(&text) {
                continue;
            }
            if shrunk.tries == most {
                return Ok(shrunk);
            }
            shrunk.tries += 1;
            match shows(&smaller)? {
                Some(true) => shrunk.steps.push(smaller),
                Some(false) => refused.push(text),
                None => return Ok(shrunk),
            }
        }
        if shrunk.steps.len() == before {
            return Ok(shrunk);
        }
    }
}

/// Returns how large a scenario is: the length of its file without what nearly every scenario has, and of those that are as long the sum of the
/// numbers in it.
fn size(scenario: &Scenario) -> (usize, u64) {
    let text = to_toml(scenario);
    let telling: Vec<&str> = text.lines().filter(|line| !USUAL.contains(line)).collect();
    let digits = |text: &str| text.parse::<u64>().unwrap_or(0);
    let numbers = telling.iter().flat_map(|line| line.split(|c: char| !c.is_ascii_digit())).map(digits);
    (telling.iter().map(|line| line.len()).sum(), numbers.fold(0, u64::saturating_add))
}

/// Returns all scenarios that are one change smaller, those first that leave out most.
fn reductions(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut with = |change: Change| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        mend(&mut smaller);
        all.push(smaller);
    };
    let steps = scenario.unit.steps.len();
    if steps > 3 {
        with(&|s| s.unit.steps.truncate(steps / 2));
        with(&|s| drop(s.unit.steps.drain(..steps / 2)));
    }
    for at in 0..steps {
        with(&|s| drop(s.unit.steps.remove(at)));
    }
    for at in 0..steps {
        match &scenario.unit.steps[at] {
            Step::List(pass) => {
                for smaller in smaller_passes(pass) {
                    with(&|s| s.unit.steps[at] = Step::List(smaller.clone()));
                }
            }
            Step::Files(files) => {
                for smaller in smaller_files(files) {
                    with(&|s| s.unit.steps[at] = Step::Files(smaller.clone()));
                }
            }
            Step::Fault(fault) if fault.times.is_some() => {
                let once = nfs_fault_server::Fault { times: None, ..*fault };
                with(&|s| s.unit.steps[at] = Step::Fault(once));
            }
            _ => {}
        }
    }
    mounts(scenario, &mut with);
    directories(scenario, &mut with);
    with(&|s| s.listing.getdents_buffer_bytes = 32768);
    with(&|s| s.guest.cpus = 1);
    with(&|s| s.cgroup = None);
    with(&|s| s.guest.security_labels = false);
    if scenario.mount.version.is_4() {
        with(&|s| s.mount.version = NfsVersion::V3);
    }
    all
}

fn mounts(scenario: &Scenario, with: &mut dyn FnMut(Change)) {
    with(&|s| {
        (s.mount.count, s.mount.own_clients) = (1, false);
        s.unit.steps.iter_mut().for_each(by_the_first_mount);
    });
    with(&|s| s.mount.count = s.mount.count.min(2));
    with(&|s| s.mount.own_clients = false);
    for option in split(&scenario.mount.options) {
        with(&|s| without(&mut s.mount, option));
    }
    if !has(&scenario.mount, "actimeo=0") {
        with(&|s| s.mount.options = "actimeo=0".into());
    }
    with(&|s| s.mount.rsize_bytes = 1 << 20);
}

fn directories(scenario: &Scenario, with: &mut dyn FnMut(Change)) {
    with(&|s| {
        s.directory.shape = Shape::Flat;
        s.unit.steps.iter_mut().for_each(of_all);
    });
    with(&|s| s.directory.kinds = Kinds::default());
    with(&|s| s.directory.made = Made::Export);
    with(&|s| s.directory.names = Names::random(200, 200));
    with(&|s| s.directory.names = Names::random(24, 24));
    for entries in ENTRIES.into_iter().filter(|entries| *entries < scenario.directory.entries) {
        with(&|s| s.directory.entries = entries);
    }
}

/// Has a step be done through the first mount.
fn by_the_first_mount(step: &mut Step) {
    match step {
        Step::List(pass) => {
            pass.mount = 1;
            pass.middle
                .iter_mut()
                .chain(pass.every.iter_mut().flat_map(|every| &mut every.steps))
                .for_each(by_the_first_mount);
        }
        Step::AddBy(mount) | Step::RenameBy(mount) | Step::RemoveBy(mount) => *mount = 1,
        Step::Files(files) => {
            files.mount = 1;
            files.operations.iter_mut().for_each(|op| op.mount = None);
        }
        _ => {}
    }
}

fn of_all(step: &mut Step) {
    if let Step::List(pass) = step {
        pass.of = DirSelector::All;
    }
}

/// Returns passes that do one thing less.
fn smaller_passes(pass: &Pass) -> Vec<Pass> {
    let plain = Pass::default();
    let mut all = vec![
        plain.clone(),
        Pass { middle: Vec::new(), ..pass.clone() },
        Pass { every: None, ..pass.clone() },
        Pass { seeks: 0, ..pass.clone() },
        Pass { seeks: pass.seeks.min(1), ..pass.clone() },
        Pass { rewinds: 0, ..pass.clone() },
        Pass { rewinds: pass.rewinds.min(1), ..pass.clone() },
        Pass { stat: false, ..pass.clone() },
        Pass { to: Position::Outside, ..pass.clone() },
        Pass { from: Position::Outside, ..pass.clone() },
        Pass { threads: 1, ..pass.clone() },
        Pass { processes: 1, ..pass.clone() },
        Pass { killed: false, ..pass.clone() },
        Pass { signals_every_us: 0, ..pass.clone() },
        Pass { by: plain.by, ..pass.clone() },
        Pass { of: plain.of, ..pass.clone() },
        Pass { mount: 1, ..pass.clone() },
        Pass { getdents_buffer_bytes: None, ..pass.clone() },
        Pass { server_lies: false, ..pass.clone() },
    ];
    for at in 0..pass.middle.len() {
        let mut smaller = pass.clone();
        smaller.middle.remove(at);
        all.push(smaller);
    }
    let within = pass.every.iter().map(|every| every.steps.len()).sum::<usize>();
    for at in 0..within {
        let mut smaller = pass.clone();
        smaller.every.iter_mut().for_each(|every| drop(every.steps.remove(at)));
        all.push(smaller);
    }
    all
}

/// Returns operations of which there is one less.
fn smaller_files(files: &FileSteps) -> Vec<FileSteps> {
    let plain = FileSteps::default();
    let mut all = vec![
        FileSteps { draw: None, ..files.clone() },
        FileSteps { count: 1, ..files.clone() },
        FileSteps { each: plain.each, ..files.clone() },
        FileSteps { name_bytes: plain.name_bytes, ..files.clone() },
        FileSteps { mount: 1, ..files.clone() },
    ];
    let count = files.operations.len();
    for at in 0..count {
        let mut smaller = files.clone();
        smaller.operations.remove(at);
        all.push(smaller);
        for end in at + 2..=count {
            // What is made and taken away again goes together.
            let mut smaller = files.clone();
            smaller.operations.remove(end - 1);
            smaller.operations.remove(at);
            all.push(smaller);
        }
    }
    for at in 0..files.draw.iter().flat_map(|draw| &draw.of).count() {
        let mut smaller = files.clone();
        smaller.draw.iter_mut().for_each(|draw| drop(draw.of.remove(at)));
        all.push(smaller);
    }
    let mut fewer = files.clone();
    fewer.draw.iter_mut().for_each(|draw| draw.operations = draw.operations.div_ceil(2));
    all.push(fewer);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::draw::fresh::fresh;
    use crate::explore::group::Group;
    use crate::explore::lot::Lot;
    use std::convert::Infallible;

    /// Draws a scenario whose unit has what `shows` wants.
    fn drawn(shows: impl Fn(&Scenario) -> bool) -> Scenario {
        let mut all = (0..).map(|batch| {
            let mut lot = Lot::new(5, batch, 0);
            let group = Group::draw(&mut lot);
            fresh(&mut lot, &group, true)
        });
        all.find(|scenario| scenario.unit.steps.len() > 3 && shows(scenario)).unwrap()
    }

    fn smallest(scenario: &Scenario, shows: impl Fn(&Scenario) -> bool) -> Shrunk {
        let shrunk = shrink(scenario, 1000, |smaller| {
            assert!(check(smaller).is_ok(), "{smaller:?}");
            Ok::<_, Infallible>(Some(shows(smaller)))
        });
        shrunk.unwrap_or_else(|never| match never {})
    }

    #[test]
    fn scenario_shrinks_to_what_the_judge_asks_for_and_no_more() {
        let seeks = |s: &Scenario| s.unit.passes().any(|pass| pass.seeks > 0) && s.unit.steps.contains(&Step::DropAll);
        let first = drawn(seeks);
        let shrunk = smallest(&first, seeks);
        let expected = [Step::DropAll, Step::List(Pass { seeks: 1, ..Pass::default() })];
        let mut steps = shrunk.smallest().unit.steps.clone();
        steps.sort_by_key(|step| matches!(step, Step::List(_)));
        assert_eq!(steps, expected, "{}", to_toml(shrunk.smallest()));
        assert_eq!((shrunk.smallest().mount.count, shrunk.smallest().directory.entries), (1, 0));
        assert_eq!(shrunk.steps[0], first, "what it came from is kept");
    }

    #[test]
    fn operations_shrink_to_the_one_that_shows_it() {
        use crate::workload::file_ops::action::Action;
        let renames = |s: &Scenario| {
            let mut operations = s.unit.file_steps().flat_map(|files| &files.operations);
            operations.any(|op| matches!(op.action, Action::Rename(_)) && op.fails.is_none())
        };
        let shrunk = smallest(&drawn(renames), renames);
        let files: Vec<&FileSteps> = shrunk.smallest().unit.file_steps().collect();
        assert_eq!((shrunk.smallest().unit.steps.len(), files.len()), (1, 1));
        assert!(files[0].operations.len() <= 2 && files[0].count == 1, "{:?}", files[0]);
    }

    #[test]
    fn nothing_is_left_out_that_the_judge_misses_and_tries_are_bounded() {
        let first = drawn(|_| true);
        let shrunk = smallest(&first, |smaller| *smaller == first);
        assert_eq!(*shrunk.smallest(), first);
        let bounded = shrink(&first, 3, |_| Ok::<_, Infallible>(Some(false))).unwrap_or_else(|never| match never {});
        assert_eq!(bounded.tries, 3);
        let ended = shrink(&first, 100, |_| Ok::<_, Infallible>(None)).unwrap_or_else(|never| match never {});
        assert_eq!((ended.tries, ended.steps.len()), (1, 1));
    }
}
