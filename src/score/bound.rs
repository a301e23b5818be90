//! What a count of events says about their probability.

use statrs::distribution::{Beta, ContinuousCDF};

/// The one-sided upper bound on a probability that was seen `events` times in `trials` (Clopper and Pearson 1934).
pub fn upper_bound(events: u64, trials: u64, confidence: f64) -> f64 {
    if events >= trials {
        return 1.0;
    }
    Beta::new(events as f64 + 1.0, (trials - events) as f64).map_or(1.0, |beta| beta.inverse_cdf(confidence))
}
