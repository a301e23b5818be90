//! Which words of a fault make sense together.

use super::fault::{Fault, Garbage, Nfs3Error, On, What, When};

/// A sentence about what cannot be, if something cannot.
type Check = Result<(), String>;

/// Longer than any client waits.
const LONGEST_DELAY_MS: u64 = 3_600_000;

impl Fault {
    /// Says in one sentence why the fault cannot happen, if it cannot.
    pub fn check(&self) -> Check {
        self.check_numbers()?;
        if matches!(self.when, When::Entry(_)) && !self.on.lists() {
            return self.refuse(
                "`when` names an entry",
                "only READDIR and READDIRPLUS show entries",
                "on = \"readdir\"",
            );
        }
        self.check_what()
    }

    fn check_numbers(&self) -> Check {
        if let When::Reply(0) | When::Every(0) | When::Entry(0) = self.when {
            return Err("`when` of a fault counts from 1; 0 never comes".into());
        }
        if self.times == Some(0) {
            return Err("`times` of a fault is 0, so it never happens; leave the fault away instead".into());
        }
        match self.what {
            What::Short(0) => Err("`short = 0` is a reply without entries; use `what = \"empty\"`".into()),
            What::DelayMs(ms) if ms > LONGEST_DELAY_MS => {
                Err(format!("`delay-ms` is {ms}; no more than {LONGEST_DELAY_MS} (an hour) is possible"))
            }
            _ => Ok(()),
        }
    }

    fn check_what(&self) -> Check {
        match self.what {
            What::Error(error) => self.check_error(error),
            What::Short(_)
            | What::Empty
            | What::EarlyEof
            | What::LateEof
            | What::DuplicateCookie
            | What::BackwardCookies
            | What::NewVerifier(_)
            | What::Garbage(Garbage::LongName)
                if !self.on.lists() =>
            {
                self.refuse("`what` changes a listing", "only READDIR and READDIRPLUS list", "on = \"readdir\"")
            }
            What::NoHandles if !matches!(self.on, On::Readdir | On::Readdirplus) => self.refuse(
                "`what` hides file handles",
                "only READDIRPLUS shows them beside names",
                "on = \"readdirplus\"",
            ),
            What::Garbage(_) | What::NewerChangeTime if self.on == On::Null => {
                self.refuse("`what` changes the inside of a reply", "NULL's is empty", "on = \"getattr\"")
            }
            What::NewerChangeTime if self.on == On::Mnt => {
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
            On::Null => self.refuse("`what` is an error", "NULL has none", "on = \"getattr\""),
            On::Mnt if !known_to_mnt => self.refuse(
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
            (r#"{ error = "BAD_COOKIE" }"#, What::Error(Nfs3Error::BadCookie)),
            ("{ delay-ms = 20 }", What::DelayMs(20)),
            ("{ short = 3 }", What::Short(3)),
            (r#""empty""#, What::Empty),
            (r#""early-eof""#, What::EarlyEof),
            (r#""late-eof""#, What::LateEof),
            (r#""duplicate-cookie""#, What::DuplicateCookie),
            (r#""backward-cookies""#, What::BackwardCookies),
            (r#"{ new-verifier = "refuse" }"#, What::NewVerifier(OldVerifiers::Refuse)),
            (r#""newer-change-time""#, What::NewerChangeTime),
            (r#""no-handles""#, What::NoHandles),
            (r#"{ garbage = "long-name" }"#, What::Garbage(Garbage::LongName)),
            (r#""no-reply""#, What::NoReply),
            (r#"{ disconnect = "in-reply" }"#, What::Disconnect(Moment::InReply)),
            (r#""half-open""#, What::HalfOpen),
        ];
        for (text, what) in whats {
            let read = fault(&format!("{{ what = {text} }}")).unwrap();
            assert_eq!(read, Fault::next(what));
            assert_eq!(serde_json::from_str::<Fault>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
            assert_eq!(read.check(), Ok(()));
        }
        let whole = r#"{ on = "plain-readdir", when = { after-ms = 5 }, what = "empty", times = 2 }"#;
        let on_and_when = Fault { on: On::PlainReaddir, when: When::AfterMs(5), what: What::Empty, times: Some(2) };
        assert_eq!(fault(whole).unwrap(), on_and_when);
    }

    #[test]
    fn the_schema_has_the_keys_and_no_others() {
        let schema = serde_json::to_value(schemars::schema_for!(Fault)).unwrap();
        let mut keys: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, ["on", "times", "what", "when"]);
        assert_eq!((&schema["required"], &schema["additionalProperties"]), (&["what"].into(), &false.into()));
    }

    #[test]
    fn what_is_no_fault_is_named() {
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
    fn what_cannot_happen_is_told() {
        for (text, expected) in [
            ("{ when = { reply = 0 }, what = \"empty\" }", "counts from 1"),
            ("{ times = 0, what = \"empty\" }", "never happens"),
            ("{ what = { short = 0 } }", "use `what = \"empty\"`"),
            ("{ what = { delay-ms = 3600001 } }", "an hour"),
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
    fn a_fault_happens_once_unless_it_comes_again_and_again() {
        assert_eq!(Fault::next(What::Empty).times(), 1);
        assert_eq!(Fault { when: When::Every(3), ..Fault::next(What::Empty) }.times(), u64::MAX);
    }
}
