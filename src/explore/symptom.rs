//! What is suspicious about a candidate, and when two are suspected of the same.

use crate::result::record::{RunRecord, Verdict};

/// Of a sentence that is compared with others.
const COMPARED_CHARS: usize = 100;

/// Something that a candidate shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Symptom {
    /// A counter grows with the units.
    Grows { counter: String, function: String, rate: f64 },
    /// A unit did not end as it must.
    Broken { sentence: String },
    /// The kernel complained when it was unmounted.
    Complains { kind: String },
    /// The guest was lost.
    Crashes { kind: String, lines: Vec<String> },
}

impl Symptom {
    /// Returns what is the same for all candidates that show the same.
    pub fn signature(&self) -> String {
        match self {
            Self::Grows { counter, function, .. } if function.is_empty() => format!("leak {counter}"),
            Self::Grows { counter, function, .. } => format!("leak {counter} {function}"),
            Self::Broken { sentence } => format!("broken {}", compared(sentence)),
            Self::Complains { kind } => format!("leak {kind}"),
            Self::Crashes { kind, lines } => match fault_function(lines) {
                Some(function) => format!("crash {kind} {function}"),
                None => format!("crash {kind}"),
            },
        }
    }

    /// Returns whether a record accuses the kernel of something of this kind.
    pub fn is_shown_by(&self, record: &RunRecord) -> bool {
        let verdict = match self {
            Self::Grows { .. } | Self::Complains { .. } => Verdict::Leak,
            Self::Broken { .. } => Verdict::Broken,
            Self::Crashes { .. } => Verdict::Crash,
        };
        record.verdict == verdict
    }
}

/// Returns whether the full judgement accuses the kernel, of whatever.
pub fn accuses(record: &RunRecord) -> bool {
    matches!(record.verdict, Verdict::Leak | Verdict::Broken | Verdict::Crash)
}

/// Returns the signatures of what a record accuses the kernel of.
pub fn signatures(record: &RunRecord) -> Vec<String> {
    match record.verdict {
        Verdict::Leak => record.findings.iter().flat_map(of_finding).collect(),
        Verdict::Broken => vec![Symptom::Broken { sentence: record.reason.clone() }.signature()],
        Verdict::Crash => {
            let kind =
                record.reason.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(kind, _)| kind);
            vec![Symptom::Crashes { kind: kind.to_owned(), lines: record.console_lines.clone() }.signature()]
        }
        _ => Vec::new(),
    }
}

fn of_finding(finding: &crate::result::finding::Finding) -> Vec<String> {
    let of = |function: &str| {
        Symptom::Grows { counter: finding.name.clone(), function: function.to_owned(), rate: 0.0 }.signature()
    };
    match finding.call_sites.as_slice() {
        [] => vec![of("")],
        sites => sites.iter().map(|site| of(&site.function)).collect(),
    }
}

/// Returns a sentence without numbers and names of files, which differ from unit to unit.
fn compared(sentence: &str) -> String {
    let mut words = String::new();
    let mut is_quoted = false;
    for c in sentence.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '0'..='9' if words.ends_with('#') => {}
            '0'..='9' => words.push('#'),
            other => words.push(other),
        }
    }
    words.chars().take(COMPARED_CHARS).collect()
}

/// Returns the function in which the processor was (`RIP: 0010:nfs_readdir+0x12/0x34`, show_ip in arch/x86/kernel/dumpstack.c).
fn fault_function(lines: &[String]) -> Option<String> {
    let (_, behind) = lines.iter().find_map(|line| line.split_once("RIP: "))?;
    let function = behind.split_once(':')?.1.split('+').next()?;
    Some(function.trim().to_owned()).filter(|function| !function.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    #[test]
    fn symptoms_are_the_same_where_numbers_and_names_alone_differ() {
        let broken = |sentence: &str| Symptom::Broken { sentence: sentence.into() }.signature();
        assert_eq!(broken("\"a1\" was shown 2 times (unit 3)"), broken("\"b77\" was shown 13 times (unit 41)"));
        assert_ne!(broken("\"a1\" was shown 2 times"), broken("\"a1\" is missing"));
        let grows = |function: &str| {
            Symptom::Grows { counter: "kmalloc-96".into(), function: function.into(), rate: 1.0 }.signature()
        };
        assert_eq!(grows("nfs_opendir"), "leak kmalloc-96 nfs_opendir");
        assert_eq!(grows(""), "leak kmalloc-96");
        let lines = vec!["RIP: 0010:nfs_readdir+0x12/0x34 [nfs]".to_owned()];
        assert_eq!(Symptom::Crashes { kind: "oops".into(), lines }.signature(), "crash oops nfs_readdir");
        assert_eq!(Symptom::Crashes { kind: "hang".into(), lines: Vec::new() }.signature(), "crash hang");
    }

    #[test]
    fn record_accuses_of_what_its_findings_say() {
        let leak = example::leak();
        let finding = &leak.findings[0];
        let expected = format!("leak {} {}", finding.name, finding.call_sites[0].function);
        assert!(accuses(&leak) && signatures(&leak).contains(&expected), "{:?}", signatures(&leak));
        let symptom = Symptom::Grows { counter: "x".into(), function: String::new(), rate: 1.0 };
        assert!(symptom.is_shown_by(&leak));
        assert!(!Symptom::Broken { sentence: String::new() }.is_shown_by(&leak));
        let clean = RunRecord { verdict: Verdict::Clean, ..leak };
        assert!(!accuses(&clean) && signatures(&clean).is_empty() && !symptom.is_shown_by(&clean));
    }
}
