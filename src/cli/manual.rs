//! `dirleak man` and `dirleak completions`: made from the definitions of the arguments, so that they never say anything else.

use super::output::{print, print_exactly};
use crate::error::{Context, Exit, Result};
use clap::Command;
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// Write the manual pages into a directory, one for each command.
#[derive(clap::Args, Debug)]
pub struct Man {
    /// The directory, for instance ~/.local/share/man/man1; it is made if it is not there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Print what makes a shell complete dirleak's commands and options.
#[derive(clap::Args, Debug)]
pub struct Completions {
    /// The shell. For bash put it into ~/.local/share/bash-completion/completions/dirleak.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the pages of `command` and of all below it.
pub fn man(arguments: &Man, command: Command) -> Result<Exit> {
    let dir = &arguments.dir;
    pages(dir, command)?;
    let first = dir.join("dirleak.1");
    print(&format!("wrote the pages into {}; read them with: man -l {}\n", dir.display(), first.display()))?;
    Ok(Exit::Clean)
}

fn pages(dir: &Path, command: Command) -> Result<()> {
    std::fs::create_dir_all(dir).machine(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(command, dir).machine(|| format!("cannot write to {}", dir.display()))
}

/// Prints the script that completes `command`.
pub fn completions(arguments: &Completions, command: Command) -> Result<Exit> {
    print_exactly(&script(arguments.shell, command))?;
    Ok(Exit::Clean)
}

fn script(shell: Shell, mut command: Command) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "dirleak", &mut text);
    String::from_utf8(text).expect("names of options are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::Arguments;
    use clap::{CommandFactory, ValueEnum};

    /// Finds `command` and all below it, each under its whole name: `dirleak-kernel-build`.
    fn all(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
        found.push((name.to_owned(), command.clone()));
        for below in command.get_subcommands().filter(|command| command.get_name() != "help") {
            all(below, &format!("{name}-{}", below.get_name()), found);
        }
    }

    fn commands() -> Vec<(String, Command)> {
        let mut command = Arguments::command();
        command.build();
        let mut found = Vec::new();
        all(&command, "dirleak", &mut found);
        found
    }

    fn options(command: &Command) -> Vec<String> {
        command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
    }

    #[test]
    fn every_command_has_a_page_with_all_its_options() {
        let dir = tempfile::tempdir().unwrap();
        pages(&dir.path().join("man1"), Arguments::command()).unwrap();
        let commands = commands();
        assert!(commands.len() > 10);
        for (name, command) in commands {
            let page = std::fs::read_to_string(dir.path().join(format!("man1/{name}.1"))).unwrap();
            // roff writes a hyphen that is one as \-.
            let page = page.replace("\\-", "-");
            for option in options(&command) {
                assert!(page.contains(&option), "{name}.1 has no {option}");
            }
        }
    }

    #[test]
    fn bash_completes_every_option_of_every_command() {
        let script = script(Shell::Bash, Arguments::command());
        let offered: Vec<Vec<&str>> = script
            .lines()
            .filter_map(|line| Some(line.trim().strip_prefix("opts=\"")?.trim_end_matches('"').split(' ').collect()))
            .collect();
        for (name, command) in commands() {
            let wanted = options(&command);
            let is_offered = |words: &Vec<&str>| wanted.iter().all(|option| words.contains(&option.as_str()));
            assert!(offered.iter().any(is_offered), "not all of {name} is offered: {wanted:?}");
        }
        let checked = std::process::Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }

    #[test]
    fn each_shell_gets_a_script() {
        for shell in Shell::value_variants() {
            assert!(script(*shell, Arguments::command()).contains("dirleak"), "{shell}");
        }
    }
}
