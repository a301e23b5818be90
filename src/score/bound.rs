//! What so many runs without an error, or with a few, say of how often there is one.

use statrs::distribution::{Beta, ContinuousCDF};

/// Returns the rate that so many `events` in so many `trials` do not exclude: the exact (Clopper-Pearson) upper bound, which
/// holds with probability `confidence`. After no event it is about 3 in `trials` for 95 %.
///
/// Without a trial nothing is excluded, and the bound is 1.
pub fn upper_bound(events: u64, trials: u64, confidence: f64) -> f64 {
    assert!(events <= trials, "{events} events in {trials} trials");
    assert!(0.0 < confidence && confidence < 1.0, "{confidence} is no confidence");
    if events == trials {
        return 1.0;
    }
    if events == 0 {
        // (1 - bound)^trials = 1 - confidence, which the inverse of the beta distribution only comes close to.
        return -((1.0 - confidence).ln() / trials as f64).exp_m1();
    }
    let beta = Beta::new((events + 1) as f64, (trials - events) as f64).expect("both are positive");
    beta.inverse_cdf(confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(bound: f64, expected: f64) {
        assert!((bound - expected).abs() < 1e-4 * expected, "{bound} instead of {expected}");
    }

    #[test]
    fn bound_without_an_event_is_the_rule_of_three() {
        near(upper_bound(0, 10, 0.95), 0.258866);
        near(upper_bound(0, 200, 0.95), 0.014867);
        near(upper_bound(0, 1_000_000, 0.95), 2.99573e-6);
        near(upper_bound(0, 200, 0.99), 0.022763);
    }

    #[test]
    fn probability_of_so_few_events_at_the_bound_is_what_is_left() {
        for (events, trials) in [(0, 30), (1, 200), (3, 150), (29, 30)] {
            let rate: f64 = upper_bound(events, trials, 0.95);
            let mut term = (1.0 - rate).powi(trials as i32);
            let mut sum = term;
            for k in 1..=events {
                term *= (trials - k + 1) as f64 / k as f64 * rate / (1.0 - rate);
                sum += term;
            }
            near(sum, 0.05);
        }
    }

    #[test]
    fn bound_without_a_trial_or_by_events_alone_excludes_nothing() {
        assert_eq!(upper_bound(0, 0, 0.95), 1.0);
        assert_eq!(upper_bound(7, 7, 0.95), 1.0);
    }
}
