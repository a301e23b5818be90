//! The options of `dirleak report` that write files: one for each row of the table of formats.

use crate::error::{Error, Result};
use crate::os::output_file::OutputFile;
use crate::report::formats::FORMATS;
use crate::report::formats::format::Format;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use std::path::{Path, PathBuf};

/// The files that were asked for, in the order of the table.
#[derive(Clone, Debug, Default)]
pub struct FormatArgs {
    named: Vec<(&'static dyn Format, PathBuf)>,
}

/// A file that can be written, and its format.
pub struct Output {
    pub format: &'static dyn Format,
    pub file: OutputFile,
}

impl FormatArgs {
    /// Returns the files, if all can be written, and none in the place of another or of one of `results`.
    pub fn check(&self, results: &[PathBuf]) -> Result<Vec<Output>> {
        for (i, (format, path)) in self.named.iter().enumerate() {
            let (option, shown) = (format.option(), path.display());
            if results.iter().any(|result| is_same(result, path)) {
                return Err(Error::usage(format!(
                    "--{option} {shown} would replace a result file; name another place"
                )));
            }
            if let Some((other, _)) = self.named[..i].iter().find(|(_, other)| is_same(other, path)) {
                let other = other.option();
                return Err(Error::usage(format!("--{other} and --{option} both name {shown}; name another place")));
            }
        }
        let check = |(format, path): &(&'static dyn Format, PathBuf)| {
            Ok(Output { format: *format, file: OutputFile::check(path)? })
        };
        self.named.iter().map(check).collect()
    }
}

/// Returns whether both name one file, which need not be there yet. Devices may be written to twice.
fn is_same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b && a.is_file(),
        _ => a == b && !a.exists(),
    }
}

impl Args for FormatArgs {
    fn augment_args(command: Command) -> Command {
        let option = |format: &&dyn Format| {
            let arg = Arg::new(format.option()).long(format.option()).help(format.help());
            arg.value_name("FILE").value_parser(value_parser!(PathBuf))
        };
        command.args(FORMATS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FormatArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        let path = |format: &&'static dyn Format| Some((*format, matches.get_one(format.option()).cloned()?));
        self.named = FORMATS.iter().filter_map(path).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::Arguments;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn table_of_formats_has_each_option_once_and_report_has_it() {
        let command = Arguments::command();
        let report = command.find_subcommand("report").unwrap();
        let named: BTreeSet<&str> = report.get_arguments().filter_map(Arg::get_long).collect();
        let options: BTreeSet<&str> = FORMATS.iter().map(|format| format.option()).collect();
        assert_eq!(options.len(), FORMATS.len(), "{options:?}");
        assert!(options.is_subset(&named), "{named:?}");
    }
}
