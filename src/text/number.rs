//! How numbers are written for people: as many digits as mean something, with their units.

/// Returns how many digits after the point a number of this size deserves.
fn decimals(size: f64) -> usize {
    match size.abs() {
        s if s < 10.0 => 2,
        s if s < 1000.0 => 1,
        _ => 0,
    }
}

/// Returns a rate alone: `25.0`. What is less than it shows is 0, whatever its sign.
pub fn rate(number: f64) -> String {
    let shown = format!("{number:.*}", decimals(number));
    match shown.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        _ => shown,
    }
}

/// Returns what a rate of about `estimate` lies between: `24.8 to 25.2`. Rounded outwards, so that what is shown never claims
/// too much.
pub fn bounds(estimate: f64, low: f64, high: f64) -> String {
    let digits = decimals(estimate);
    let scale = 10f64.powi(digits as i32);
    // Nine digits are kept before rounding outwards, or 24.8 would become 24.7 for its last binary digit.
    let steady = |x: f64| (x * scale * 1e9).round() / 1e9;
    let low = steady(low).floor() / scale;
    let high = steady(high).ceil() / scale;
    // Adding 0.0 turns a negative zero into a plain one.
    format!("{:.digits$} to {:.digits$}", low + 0.0, high + 0.0)
}

/// Returns an upper bound, rounded up: `0.13`.
pub fn upper(bound: f64) -> String {
    let digits = decimals(bound);
    let scale = 10f64.powi(digits as i32);
    let high = ((bound * scale * 1e9).round() / 1e9).ceil() / scale;
    format!("{:.digits$}", high + 0.0)
}

/// Returns an amount of memory: `96 B`, `6.2 KiB`, `1.5 MiB`.
pub fn bytes(number: f64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if number.abs() < 1024.0 {
        return format!("{number:.0} B");
    }
    let mut scaled = number / 1024.0;
    let mut unit = 0;
    // 1023.96 would be shown as 1024.0 of the smaller unit.
    while scaled.abs() >= 1023.95 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", units[unit])
}

/// Returns a time: `4.2 s`.
pub fn seconds(number: f64) -> String {
    format!("{number:.1} s")
}

/// Returns a part of a whole: `100 %`, `99.6 %`. Never `100 %` for less than the whole.
pub fn share(number: f64) -> String {
    let percent = number * 100.0;
    if (99.5..100.0).contains(&percent) { format!("{:.1} %", percent.min(99.9)) } else { format!("{percent:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_outwards() {
        let table = [
            (25.0, 24.8, 25.2, "24.8 to 25.2"),
            (25.0, 24.84, 25.16, "24.8 to 25.2"),
            (3.0, 2.999, 3.001, "2.99 to 3.01"),
            (118_110.4, 118_090.2, 118_130.2, "118090 to 118131"),
            (0.0, -0.001, 0.001, "-0.01 to 0.01"),
            (0.0, -0.0, 0.0, "0.00 to 0.00"),
        ];
        for (estimate, low, high, expected) in table {
            assert_eq!(bounds(estimate, low, high), expected);
        }
    }

    #[test]
    fn upper_bound_is_rounded_up() {
        assert_eq!(upper(0.121), "0.13");
        assert_eq!(upper(0.12), "0.12");
        assert_eq!(upper(-0.001), "0.00");
    }

    #[test]
    fn memory_takes_the_unit_that_fits() {
        let table = [(0.0, "0 B"), (1023.0, "1023 B"), (6400.0, "6.2 KiB"), (1_048_575.0, "1.0 MiB")];
        for (number, expected) in table {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn share_of_less_than_the_whole_is_not_the_whole() {
        for (number, expected) in [(1.0, "100 %"), (0.9999, "99.9 %"), (0.996, "99.6 %"), (0.83, "83 %")] {
            assert_eq!(share(number), expected);
        }
    }

    #[test]
    fn rate_of_nothing_has_no_sign() {
        assert_eq!([0.0, -0.0, -0.001, -0.4].map(rate), ["0.00", "0.00", "0.00", "-0.40"]);
    }
}
