//! What a bisection found, as a mail to whoever maintains the code.

use super::bisection::{percent, text};
use crate::result::bisection::BisectionRecord;

/// Returns the mail: what was found, how sure it is, and how to see it again.
pub fn render(record: &BisectionRecord) -> String {
    let Some(commit) = &record.commit else { return text(record) };
    let what = if record.find_fix { "until" } else { "since" };
    let function = record.call_site.as_ref().or(record.function.as_ref());
    let of_function = function.map(|function| format!(" of {function}()")).unwrap_or_default();
    let mut mail = format!("Subject: nfs: memory leak{of_function} in directory listing {what} {}\n\n", commit);
    let deed = if record.find_fix {
        "leaked kernel memory until this commit"
    } else {
        "leaks kernel memory since this commit"
    };
    mail += &format!("Hello,\n\nlisting a directory over NFS {deed}:\n\n    {}\n\n", commit);
    mail += &format!("The commit before it:\n{}\n\nWith it:\n{}\n\n", wrapped(&record.before), wrapped(&record.after));
    mail += &format!("{}\n\n", wrapped(&format!("The result is {}.", record.confirmation)));
    mail += &wrapped(&format!(
        "Found by bisection over {} kernels, each built, booted and measured; at most {} that one of the verdicts on the way \
         is wrong, and {} that both verdicts on this commit or both on its parent are.",
        record.steps.len(),
        percent(record.error_of_path),
        percent(record.error_of_result)
    ));
    mail += "\n\nTo see it again, in a git tree of the kernel:\n\n";
    mail += &record.reproduce.iter().map(|command| format!("    {command}\n")).collect::<String>();
    if !record.find_fix {
        // The mark by which the kernel's regression tracker finds it.
        mail += &format!("\n#regzbot introduced: {}\n", commit.id);
    }
    mail + "\n" + &record.log
}

/// Wraps a text into lines of at most 72 characters, as mails have them.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            *line = word.to_owned();
        } else if line.len() + 1 + word.len() <= 72 {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::bisection::tests::example;
    use super::*;
    use crate::bisect::history::Terms;

    #[test]
    fn mail_has_short_lines_and_a_reproducer() {
        let mail = render(&example(Terms::Break));
        for part in [
            "Subject: nfs: memory leak of nfs_readdir_page_array_append() in directory listing since 000000000003 (\"NFS",
            "    dirleak run --kernel .@000000000003^ quick -n 300 -o 'a b'\n",
            "#regzbot introduced: 000000000003",
        ] {
            assert!(mail.contains(part), "{part}\n{mail}");
        }
        let long =
            mail.lines().filter(|line| !line.starts_with(' ') && !line.starts_with("Subject")).find(|l| l.len() > 75);
        assert_eq!(long, None);
    }
}
