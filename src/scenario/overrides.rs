//! What the command line changes in a scenario without writing TOML: `-n ENTRIES`, `-o MOUNTOPTS` and `--fail-nth KIND:N`.

use super::check;
use super::fail_nth::FailNth;
use super::mount_options;
use super::step::Step;
use super::types::Scenario;
use crate::error::{Error, Result};

/// The changes; the default changes nothing.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Make this many directory entries instead of the scenario's number.
    #[arg(short = 'n', value_name = "ENTRIES")]
    pub entries: Option<u64>,
    /// Mount with these options too; where they contradict the scenario's, they win (vers and rsize included).
    #[arg(short = 'o', value_name = "MOUNTOPTS")]
    pub mount_options: Option<String>,
    /// Have the Nth allocation of each unit fail: slab:7 is the seventh object of a slab cache that it asks the kernel for, page:2 the second
    /// page. Series and trees are then built with fault injection.
    #[arg(long, value_name = "slab:N|page:N")]
    pub fail_nth: Option<FailNth>,
}

impl Overrides {
    /// Changes `scenario`, and checks that it is still valid.
    pub fn apply(&self, scenario: &mut Scenario) -> Result<()> {
        if let Some(entries) = self.entries {
            scenario.directory.entries = entries;
        }
        let options: Vec<&str> = self.mount_options.iter().flat_map(|options| mount_options::split(options)).collect();
        let version = mount_options::version_of(&options, scenario.mount.version);
        if let Some(version) = version.map_err(|message| self.refused(scenario, &message))? {
            scenario.mount.version = version;
        }
        for option in options {
            self.mount_option(option, scenario)?;
        }
        if let Some(fail) = self.fail_nth {
            scenario.unit.steps.insert(0, Step::FailNth(fail));
        }
        check::check(scenario).map_err(|complaint| self.refused(scenario, &complaint.message))?;
        if let Some(fail) = self.fail_nth {
            // Nobody takes it for the scenario itself, in a table or among tests.
            scenario.name += &format!(" --fail-nth {fail}");
        }
        Ok(())
    }

    /// Appends an option: the kernel takes the last of contradicting options; those with a key of their own change it.
    fn mount_option(&self, option: &str, scenario: &mut Scenario) -> Result<()> {
        if mount_options::version_word(option).is_some() || option.starts_with("minorversion=") {
            return Ok(());
        }
        if let Some(bytes) = option.strip_prefix("rsize=") {
            scenario.mount.rsize_bytes = bytes
                .parse()
                .map_err(|_| Error::usage(format!("-o rsize={bytes}: {bytes:?} is no number of bytes")))?;
            return Ok(());
        }
        let options = &mut scenario.mount.options;
        if !options.is_empty() {
            options.push(',');
        }
        *options += option;
        Ok(())
    }

    /// Returns what is wrong with a scenario that became what these options say.
    fn refused(&self, scenario: &Scenario, message: &str) -> Error {
        let options: Vec<&str> = [
            ("-n", self.entries.is_some()),
            ("-o", self.mount_options.is_some()),
            ("--fail-nth", self.fail_nth.is_some()),
        ]
        .into_iter()
        .filter_map(|(option, given)| given.then_some(option))
        .collect();
        Error::usage(format!("{} with {}: {message}", scenario.name, options.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::*;

    fn quick_with(entries: Option<u64>, options: Option<&str>) -> Result<Scenario> {
        let mut scenario = parse("quick.toml", include_str!("../../scenarios/quick.toml")).unwrap();
        scenario.mount.options = "actimeo=0".into();
        let overrides = Overrides { entries, mount_options: options.map(String::from), fail_nth: None };
        overrides.apply(&mut scenario).map(|()| scenario)
    }

    #[test]
    fn scenario_without_overrides_stays_as_it_is() {
        let mut scenario = parse("quick.toml", include_str!("../../scenarios/quick.toml")).unwrap();
        let before = scenario.clone();
        Overrides::default().apply(&mut scenario).unwrap();
        assert_eq!(scenario, before);
    }

    #[test]
    fn override_that_is_given_wins() {
        let scenario = quick_with(Some(2000), Some("nordirplus,actimeo=60,rsize=8192,vers=3")).unwrap();
        assert_eq!(scenario.directory.entries, 2000);
        assert_eq!(scenario.mount.options, "actimeo=0,nordirplus,actimeo=60");
        assert_eq!(scenario.mount.rsize_bytes, 8192);
        assert_eq!(scenario.mount.version.as_str(), "3");
    }

    #[test]
    fn allocation_that_is_to_fail_is_a_step_before_all_others() {
        let fail = |text: &str| Overrides { fail_nth: Some(text.parse().unwrap()), ..Overrides::default() };
        let mut scenario = parse("quick.toml", include_str!("../../scenarios/quick.toml")).unwrap();
        let before = scenario.unit.steps.clone();
        fail("slab:7").apply(&mut scenario).unwrap();
        assert_eq!(scenario.name, "quick --fail-nth slab:7");
        assert_eq!(scenario.unit.steps[1..], before);
        assert_eq!(scenario.unit.fail_nth().unwrap().to_string(), "slab:7");
        let twice = fail("page:1").apply(&mut scenario).unwrap_err().to_string();
        assert!(twice.contains("with --fail-nth: one allocation of a unit can fail"), "{twice}");
    }

    #[test]
    fn override_that_cannot_be_names_its_option() {
        let table = [
            (Some(200_000_000), None, "quick with -n: `directory.entries` is 200000000"),
            (None, Some("vers=4.2"), "quick with -o: `mount.version` is \"4.2\", but the synthetic server"),
            (None, Some("vers=4"), "quick with -o: `mount.version` is \"4\"; it must be one of 3, 4.0, 4.1, 4.2"),
            (None, Some("rsize=many"), "-o rsize=many: \"many\" is no number of bytes"),
            (None, Some("addr=10.0.0.1"), "contains \"addr=10.0.0.1\", which is set by the guest"),
            (None, Some("ro, sync"), "contains ' '"),
            (None, Some("v4.1"), "quick with -o: `mount.version` is \"4.1\", but the synthetic server"),
            (
                None,
                Some("noatime,proto=udp"),
                "quick with -o: `mount.options` contains \"proto=udp\", which is set by the guest",
            ),
        ];
        for (entries, options, expected) in table {
            let error = quick_with(entries, options).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
