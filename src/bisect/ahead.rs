//! While a guest runs, the kernels that may be wanted next are built, and given up as soon as it is known which one is.

use crate::error::{Error, Result};
use std::sync::Mutex;

/// What the one who builds and the one who waits for the verdict know of each other.
#[derive(Default)]
pub struct Ahead {
    /// Once the verdict is there: the commit that is wanted next, if any of those that were guessed is.
    decided: Mutex<Option<Option<String>>>,
}

impl Ahead {
    /// Notes that the verdict is there, and that `next` is wanted.
    pub fn decide(&self, next: Option<&String>) {
        *self.decided.lock().expect("no panic while held") = Some(next.cloned());
    }

    /// Builds one guess after the other by `build`, which asks its second argument now and then whether to go on.
    pub fn build(&self, guesses: &[String], build: impl Fn(&String, &(dyn Fn() -> Result<()> + Sync))) {
        for guess in guesses {
            let go_on = || if self.wants(guess) { Ok(()) } else { Err(Error::machine("another commit is wanted")) };
            if go_on().is_ok() {
                build(guess, &go_on);
            }
        }
    }

    fn wants(&self, guess: &String) -> bool {
        let decided = self.decided.lock().expect("no panic while held");
        decided.as_ref().is_none_or(|next| next.as_ref() == Some(guess))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_built_until_it_is_known_which_is_right() {
        let guesses = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let built = Mutex::new(Vec::new());
        let ahead = Ahead::default();
        ahead.build(&guesses, |guess, go_on| {
            assert!(go_on().is_ok());
            built.lock().unwrap().push(guess.clone());
            if guess == "a" {
                ahead.decide(Some(&"c".to_owned()));
                assert!(go_on().is_err());
            }
        });
        assert_eq!(built.into_inner().unwrap(), ["a", "c"]);
    }

    #[test]
    fn guess_is_not_built_when_none_is_wanted() {
        let ahead = Ahead::default();
        ahead.decide(None);
        ahead.build(&["a".to_owned()], |_, _| panic!("nobody wants it"));
    }
}
