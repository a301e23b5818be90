//! Which words of a fault make sense together.

use super::fault::{Fault, FaultAction, FaultScope, FaultTrigger, Garbage, Nfs3Error};

/// A sentence about what cannot be, if something cannot.
type Check = Result<(), String>;

/// Longer than any client waits.
const LONGEST_DELAY_MS: u64 = 3_600_000;

impl Fault {
    /// Says in one sentence why the fault cannot happen, if it cannot.
    pub fn check(&self) -> Check {
        self.check_numbers()?;
        if matches!(self.when, FaultTrigger::Entry(_)) && !self.on.lists() {
            return self.refuse(
                "`when` names an entry",
                "only READDIR and READDIRPLUS show entries",
                "on = \"readdir\"",
            );
        }
        self.check_what()
    }

    fn check_numbers(&self) -> Check {
        if let FaultTrigger::Reply(0) | FaultTrigger::Every(0) | FaultTrigger::Entry(0) = self.when {
            return Err("`when` of a fault counts from 1; 0 never comes".into());
        }
        if self.times == Some(0) {
            return Err("`times` of a fault is 0, so it never happens; leave the fault away instead".into());
        }
        match self.what {
            FaultAction::Short(0) => Err("`short = 0` is a reply without entries; use `what = \"empty\"`".into()),
            FaultAction::DelayMs(ms) if ms > LONGEST_DELAY_MS => {
                Err(format!("`delay-ms` is {ms}; no more than {LONGEST_DELAY_MS} (an hour) is possible"))
            }
            _ => Ok(()),
        }
    }

    fn check_what(&self) -> Check {
        match self.what {
            FaultAction::Error(error) => self.check_error(error),
            FaultAction::Short(_)
            | FaultAction::Empty
            | FaultAction::EarlyEof
            | FaultAction::LateEof
            | FaultAction::DuplicateCookie
            | FaultAction::BackwardCookies
            | FaultAction::IgnoreCookie
            | FaultAction::HardLinkCookies
            | FaultAction::NewVerifier(_)
            | FaultAction::Garbage(Garbage::LongName)
                if !self.on.lists() =>
            {
                self.refuse("`what` changes a listing", "only READDIR and READDIRPLUS list", "on = \"readdir\"")
            }
            FaultAction::NoHandles if !matches!(self.on, FaultScope::Readdir | FaultScope::Readdirplus) => self.refuse(
                "`what` hides file handles",
                "only READDIRPLUS shows them beside names",
                "on = \"readdirplus\"",
            ),
            FaultAction::Garbage(_) | FaultAction::NewerChangeTime if self.on == FaultScope::Null => {
                self.refuse("`what` changes the inside of a reply", "NULL's is empty", "on = \"getattr\"")
            }
            FaultAction::NewerChangeTime if self.on == FaultScope::Mnt => {
                self.refuse("`what` changes a time", "MNT shows none", "on = \"getattr\"")
            }
            _ => Ok(()),
        }
    }

    fn check_error(&self, error: Nfs3Error) -> Check {
        let known_to_mnt = matches!(
            error,
            Nfs3Error::Noent | Nfs3Error::Io | Nfs3Error::Acces | Nfs3Error::Notsupp | Nfs3Error::Serverfault
        );
        match self.on {
            FaultScope::Null => self.refuse("`what` is an error", "NULL has none", "on = \"getattr\""),
            FaultScope::Mnt if !known_to_mnt => self.refuse(
                "`what` is an error of NFS",
                "MNT knows NOENT, IO, ACCES, NOTSUPP and SERVERFAULT only",
                "one of these",
            ),
            _ => Ok(()),
        }
    }

    fn refuse(&self, what: &str, because: &str, instead: &str) -> Check {
        let on = serde_json::to_string(&self.on).unwrap_or_default();
        Err(format!("{what}, but `on` of the fault is {on} and {because}; use {instead}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Moment, OldVerifiers};
    use super::*;

    fn fault(text: &str) -> Result<Fault, String> {
        #[derive(serde::Deserialize)]
        struct Table {
            fault: Fault,
        }
        toml::from_str::<Table>(&format!("fault = {text}")).map(|t| t.fault).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn every_word_is_read_and_written_again() {
        let whats = [
            (r#"{ error = "BAD_COOKIE" }"#, FaultAction::Error(Nfs3Error::BadCookie)),
            ("{ delay-ms = 20 }", FaultAction::DelayMs(20)),
            ("{ short = 3 }", FaultAction::Short(3)),
            (r#""empty""#, FaultAction::Empty),
            (r#""early-eof""#, FaultAction::EarlyEof),
            (r#""late-eof""#, FaultAction::LateEof),
            (r#""duplicate-cookie""#, FaultAction::DuplicateCookie),
            (r#""backward-cookies""#, FaultAction::BackwardCookies),
            (r#""ignore-cookie""#, FaultAction::IgnoreCookie),
            (r#""hard-link-cookies""#, FaultAction::HardLinkCookies),
            (r#"{ new-verifier = "refuse" }"#, FaultAction::NewVerifier(OldVerifiers::Refuse)),
            (r#""newer-change-time""#, FaultAction::NewerChangeTime),
            (r#""no-handles""#, FaultAction::NoHandles),
            (r#"{ garbage = "long-name" }"#, FaultAction::Garbage(Garbage::LongName)),
            (r#""no-reply""#, FaultAction::NoReply),
            (r#"{ disconnect = "in-reply" }"#, FaultAction::Disconnect(Moment::InReply)),
            (r#""half-open""#, FaultAction::HalfOpen),
        ];
        for (text, what) in whats {
            let read = fault(&format!("{{ what = {text} }}")).unwrap();
            assert_eq!(read, Fault::next(what));
            assert_eq!(serde_json::from_str::<Fault>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
            assert_eq!(read.check(), Ok(()));
        }
        let whole = r#"{ on = "plain-readdir", when = { after-ms = 5 }, what = "empty", times = 2 }"#;
        let on_and_when = Fault {
            on: FaultScope::PlainReaddir,
            when: FaultTrigger::AfterMs(5),
            what: FaultAction::Empty,
            times: Some(2),
        };
        assert_eq!(fault(whole).unwrap(), on_and_when);
    }

    #[cfg(feature = "schema")]
    #[test]
    fn schema_has_the_keys_and_no_others() {
        let schema = serde_json::to_value(schemars::schema_for!(Fault)).unwrap();
        let mut keys: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, ["on", "times", "what", "when"]);
        assert_eq!((&schema["required"], &schema["additionalProperties"]), (&["what"].into(), &false.into()));
    }

    #[test]
    fn text_that_is_no_fault_is_told() {
        for (text, expected) in [
            ("{ what = \"emty\" }", "unknown variant `emty`, expected one of `error`"),
            ("{ waht = \"empty\" }", "unknown field `waht`"),
            ("{ when = { reply = 1 } }", "missing field `what`"),
            ("{ on = \"READDIR\", what = \"empty\" }", "unknown variant `READDIR`, expected one of `readdir`"),
        ] {
            let error = fault(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn fault_that_cannot_happen_is_told() {
        for (text, expected) in [
            ("{ when = { reply = 0 }, what = \"empty\" }", "counts from 1"),
            ("{ times = 0, what = \"empty\" }", "never happens"),
            ("{ what = { short = 0 } }", "use `what = \"empty\"`"),
            ("{ what = { delay-ms = 3600001 } }", "an hour"),
            ("{ on = \"lookup\", what = \"ignore-cookie\" }", "only READDIR and READDIRPLUS list"),
            ("{ on = \"getattr\", what = \"early-eof\" }", "but `on` of the fault is \"getattr\" and only READDIR"),
            ("{ on = \"getattr\", when = { entry = 1 }, what = \"no-reply\" }", "use on = \"readdir\""),
            ("{ on = \"plain-readdir\", what = \"no-handles\" }", "use on = \"readdirplus\""),
            ("{ on = \"null\", what = { error = \"IO\" } }", "NULL has none"),
            ("{ on = \"null\", what = { garbage = \"cut\" } }", "NULL's is empty"),
            ("{ on = \"mnt\", what = { error = \"JUKEBOX\" } }", "MNT knows NOENT"),
            ("{ on = \"mnt\", what = \"newer-change-time\" }", "MNT shows none"),
        ] {
            let error = fault(text).unwrap().check().unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
        }
        assert_eq!(fault("{ on = \"null\", what = { disconnect = \"in-reply\" } }").unwrap().check(), Ok(()));
    }

    #[test]
    fn fault_happens_once_unless_it_comes_again_and_again() {
        assert_eq!(Fault::next(FaultAction::Empty).times(), 1);
        assert_eq!(Fault { when: FaultTrigger::Every(3), ..Fault::next(FaultAction::Empty) }.times(), u64::MAX);
    }
}
