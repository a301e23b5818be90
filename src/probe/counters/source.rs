//! What a source of counts does, whatever it reads.

use crate::error::Result;
use crate::sample::Site;

/// A source of one count that is no slab cache.
pub trait CounterSource {
    /// Returns how much is in use; `None` if the kernel's text is not as it is known to be.
    fn count(&self) -> Result<Option<i64>>;

    /// Returns who allocated it; `None` if the kernel does not say.
    fn sites(&self) -> Result<Option<Vec<Site>>> {
        Ok(None)
    }

    /// Returns, in a sentence, what it did not read although the kernel keeps it; `None` if nothing.
    fn note(&self) -> Option<String> {
        None
    }

    /// Returns whether it counts so exactly that a few are seen.
    fn is_exact(&self) -> bool {
        true
    }
}
