//! What is wrong with a value of a scenario, and the key it belongs to.

/// A value that cannot be, and the key it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub key: &'static str,
    pub message: String,
}

pub(crate) type Check = Result<(), Complaint>;

pub(crate) fn complain(key: &'static str, message: impl Into<String>) -> Check {
    Err(Complaint { key, message: message.into() })
}

pub(crate) fn in_range<T: PartialOrd + std::fmt::Display>(key: &'static str, value: T, low: T, high: T) -> Check {
    if value < low || value > high {
        return complain(key, format!("`{key}` is {value}; it must be between {low} and {high}"));
    }
    Ok(())
}
