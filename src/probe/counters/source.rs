//! What a source of counts does, whatever it reads.

use crate::error::Result;
use crate::sample::Site;

/// A source of one count that is no slab cache.
pub trait CounterSource {
    /// Returns how much is in use; `None` if the kernel's text is not as it is known to be.
    fn count(&self) -> Result<Option<i64>>;

    /// Returns the same where it may be as little wrong as what the kernel takes for its own debugging, in no more than a few milliseconds.
    fn count_roughly(&self) -> Result<Option<i64>> {
        self.count()
    }

    /// Returns how many objects of which slab cache stand for what was not in use any more when this was counted last; `None` if it does not know
    /// of any.
    fn put_off(&self) -> Option<(&'static str, i64)> {
        None
    }

    /// Returns who allocated it; `None` if the kernel does not say.
    fn sites(&self) -> Result<Option<Vec<Site>>> {
        Ok(None)
    }

    /// Returns what it did not read although the kernel keeps it, a sentence each.
    fn notes(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns whether it counts so exactly that a few are seen.
    fn is_exact(&self) -> bool {
        true
    }
}
