//! An estimate with its bounds, and the median.

use crate::text::number;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// Probability that the bounds of all counters at all looks hold together.
pub const CONFIDENCE: f64 = 0.99;

/// An estimate and what it lies between, for all counters and all looks together.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(rename = "Rate")]
pub struct Estimate {
    #[serde(serialize_with = "finite")]
    pub estimate: f64,
    #[serde(serialize_with = "finite")]
    pub low: f64,
    #[serde(serialize_with = "finite")]
    pub high: f64,
}

impl Estimate {
    /// Returns what it lies between, rounded outwards: `24.8 to 25.2`.
    pub fn bounds(&self) -> String {
        number::bounds(self.estimate, self.low, self.high)
    }

    /// Returns the same rate per another unit, of which one old unit holds `per_unit`; `None` if it holds none.
    pub fn per(self, per_unit: f64) -> Option<Self> {
        (per_unit > 0.0).then(|| Self {
            estimate: self.estimate / per_unit,
            low: self.low / per_unit,
            high: self.high / per_unit,
        })
    }
}

/// Writes a number that JSON can hold: it has no NaN and no infinity, and `null` in their place would break every reader, so they are
/// refused.
pub fn finite<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    if number.is_finite() {
        to.serialize_f64(*number)
    } else {
        Err(serde::ser::Error::custom("a number is not finite"))
    }
}

/// Returns the value in the middle, or the mean of the two that are; `None` of no values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        for (figures, expected) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0], Some(5.0)), (&[9.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(median(figures.iter().copied()), expected);
        }
    }
}
