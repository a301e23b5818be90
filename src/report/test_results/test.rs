//! Tests in suites, whatever the format.

/// Tests of one kernel, one comparison or one bisection.
pub struct Suite {
    pub name: String,
    pub tests: Vec<Test>,
}

/// Something that was to hold, and whether it does.
pub struct Test {
    pub name: String,
    pub ended: TestStatus,
    /// Why, in one sentence.
    pub sentence: String,
    /// All there is to see of it, in lines.
    pub details: String,
    pub seconds: f64,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TestStatus {
    Passed,
    /// A verdict says that it does not hold.
    Failed,
    /// It could not be judged.
    Error,
    /// This kernel or guest cannot do it.
    Skipped,
}

impl Suite {
    /// Numbers tests of one name, which are taken for one test by most that reads them.
    pub(super) fn tell_apart(&mut self) {
        for i in 1..self.tests.len() {
            let (before, rest) = self.tests.split_at_mut(i);
            let name = rest[0].name.clone();
            let mut number = 1;
            while before.iter().any(|test| test.name == rest[0].name) {
                number += 1;
                rest[0].name = format!("{name} ({number})");
            }
        }
    }

    /// Returns how many ended so.
    pub fn count(&self, ended: TestStatus) -> usize {
        self.tests.iter().filter(|test| test.ended == ended).count()
    }
}
