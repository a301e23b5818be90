//! The words of a command line that measures as another one did, for people who repeat it.

use super::measure_args::Measure;
use crate::verdict::judge::MIN_RATE;

impl Measure {
    /// Returns the words that have `dirleak run` judge `scenarios` as this command does: all but the files that are written, what is told
    /// on the way, and how long a guest may take.
    pub fn words(&self, scenarios: &[String]) -> Vec<String> {
        let (overrides, exec) = (&self.overrides, &self.exec);
        let mut words = scenarios.to_vec();
        let mut value = |option: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [option.to_owned(), value]));
        };
        value("--exec", exec.exec.clone());
        for (option, all) in
            [("--file", &exec.exec_files), ("--program", &exec.exec_programs), ("--package", &exec.exec_packages)]
        {
            all.iter().for_each(|one| value(option, Some(one.clone())));
        }
        value("--set", self.set.clone());
        value("-n", overrides.entries.map(|entries| entries.to_string()));
        value("-o", overrides.mount_options.clone());
        value("--fail-nth", overrides.fail_nth.map(|fail| fail.to_string()));
        value("--processors", self.processors.map(|number| number.to_string()));
        value("--min-rate", Some(self.min_rate).filter(|rate| *rate != MIN_RATE).map(|rate| rate.to_string()));
        value("--settle", Some(self.settle).filter(|seconds| *seconds != 0.0).map(|seconds| seconds.to_string()));
        value("--listings", self.listings.map(|number| number.to_string()));
        value("--largest-cache", self.largest_cache.map(|objects| objects.to_string()));
        value("--seed", self.seed.map(|seed| seed.to_string()));
        let flags = [
            ("--strict", self.strict),
            ("--allow-until-unmount", self.allow_until_unmount),
            ("--stock", self.stock),
            ("--track", self.track),
            ("--real-time", self.real_time),
        ];
        words.extend(flags.into_iter().filter(|(_, given)| *given).map(|(option, _)| option.to_owned()));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Run {
        scenarios: Vec<String>,
        #[command(flatten)]
        measure: Measure,
    }

    fn again(line: &str) -> String {
        let run = Run::parse_from(format!("run {line}").split(' '));
        run.measure.words(&run.scenarios).join(" ")
    }

    #[test]
    fn words_are_those_that_change_what_is_measured() {
        for line in [
            "quick",
            "./mine.toml -n 300 -o nordirplus --fail-nth slab:7 --processors 2 --stock --real-time",
            "--set smoke --min-rate 0.25 --settle 1.5 --listings 500 --largest-cache 300 --seed 7 --strict --track",
            "quick-v4 --exec ./a.sh --file a --file b --program perl --package acl --allow-until-unmount",
        ] {
            assert_eq!(again(line), line);
        }
        assert_eq!(again("quick --track --json a.json --trace b --timeout 60 --silence 9 --timings"), "quick --track");
    }
}
