//! What is said of a command line that cannot be: one sentence that names the thing and the way out.

use super::arguments::Arguments;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

/// Words of a line that say nothing of their own.
const BEGINNINGS: [&str; 2] = ["error: ", "tip: "];

/// Returns clap's refusal of what was typed, which takes several lines, as a sentence.
pub fn sentence(refusal: &clap::Error, typed: &[String]) -> String {
    let called = called(typed);
    let what = match refusal.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => wants(&called),
        _ => reason(refusal),
    };
    format!("{what}; see {} --help", called.join(" "))
}

/// Returns the command that was called, for instance `dirleak kernel build`, by the words that were typed.
fn called(typed: &[String]) -> Vec<String> {
    let mut called = vec!["dirleak".to_owned()];
    for word in typed.iter().skip(1).filter(|word| !word.starts_with('-')) {
        match command(&called).find_subcommand(word) {
            Some(_) => called.push(word.clone()),
            None => break,
        }
    }
    called
}

fn command(called: &[String]) -> Command {
    let all = Arguments::command();
    called.iter().skip(1).fold(all, |command, name| match command.find_subcommand(name) {
        Some(found) => found.clone(),
        None => command,
    })
}

fn wants(called: &[String]) -> String {
    let command = command(called);
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    format!("say what is to be done: {}", names.join(", "))
}

/// Returns the lines before the usage, as one.
fn reason(refusal: &clap::Error) -> String {
    let text = refusal.render().to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut sentence = String::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        let is_tip = line.starts_with("tip: ");
        let words = BEGINNINGS.iter().fold(line, |line, beginning| line.strip_prefix(beginning).unwrap_or(line));
        let gap = match sentence.as_str() {
            "" => "",
            _ if is_tip => "; ",
            begun if begun.ends_with(':') || words.starts_with('[') => " ",
            _ => ", ",
        };
        sentence += gap;
        sentence += words;
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn refused(words: &[&str]) -> String {
        let typed: Vec<String> = std::iter::once("dirleak").chain(words.iter().copied()).map(str::to_owned).collect();
        sentence(&Arguments::try_parse_from(&typed).unwrap_err(), &typed)
    }

    #[test]
    fn refusal_is_one_sentence() {
        let run = |more: &[&str], expected: &str| {
            let words = [&["run", "--kernel", "6.1"], more].concat();
            assert_eq!(refused(&words), format!("{expected}; see dirleak run --help"));
        };
        run(&["--sed", "1"], "unexpected argument '--sed' found; a similar argument exists: '--seed'");
        run(&["--seed", "many"], "invalid value 'many' for '--seed <N>': invalid digit found in string");
        run(&["--stock", "--track"], "the argument '--stock' cannot be used with '--track'");
        let missing = "the following required arguments were not provided:";
        assert_eq!(refused(&["run", "quick"]), format!("{missing} --kernel <SPEC>; see dirleak run --help"));
        assert_eq!(refused(&["kernel", "build"]), format!("{missing} <SPEC>; see dirleak kernel build --help"));
        assert_eq!(refused(&["kernel", "frob"]), "unrecognized subcommand 'frob'; see dirleak kernel --help");
    }

    #[test]
    fn line_without_a_command_is_told_the_commands() {
        let text = refused(&[]);
        assert!(text.starts_with("say what is to be done: verify, run, bisect, "), "{text}");
        assert!(text.ends_with("; see dirleak --help"), "{text}");
        let text = refused(&["kernel"]);
        assert_eq!(text, "say what is to be done: list, build, path, clean; see dirleak kernel --help");
    }

    #[test]
    fn help_is_that_of_the_command_whatever_is_wrong() {
        assert!(refused(&["score", "--repeat", "0"]).ends_with("; see dirleak score --help"));
        assert!(refused(&["-q", "kernel", "path", "--frob"]).ends_with("; see dirleak kernel path --help"));
        let near = refused(&["verfy"]);
        assert!(near.contains("a similar subcommand exists: 'verify'"), "{near}");
    }
}
