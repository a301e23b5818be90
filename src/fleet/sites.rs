//! What is served: sites with so many directory entries, listed so often, from a file or by Zipf's law.

use crate::error::{Error, Result};
use crate::result::forecast::Site;
use std::collections::HashSet;
use std::path::Path;

/// More than any file system holds.
const MOST_ENTRIES: u64 = 1_000_000_000_000;
const MOST_LISTINGS: f64 = 1e12;

/// Returns the sites by Zipf's law: that of rank k has `largest / k^exponent` entries, at least one; all are listed as
/// often.
pub fn zipf(count: usize, exponent: f64, largest: u64, listings_per_day: f64) -> Vec<Site> {
    let entries = |rank: usize| (largest as f64 / (rank as f64).powf(exponent)).round().max(1.0) as u64;
    (1..=count).map(|rank| Site { site: format!("site-{rank}"), entries: entries(rank), listings_per_day }).collect()
}

/// Reads a CSV file with the columns `site`, `entries` and `listings_per_day`, which its first line names.
pub fn read(path: &Path) -> Result<Vec<Site>> {
    let shown = path.display();
    let wrong = |e: csv::Error| match e.position() {
        Some(at) => Error::usage(format!("{shown}, line {}: {}", at.line(), reason(&e))),
        None => Error::usage(format!("cannot read {shown}: {}", reason(&e))),
    };
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_path(path).map_err(wrong)?;
    let mut names = HashSet::new();
    let mut sites = Vec::new();
    for site in reader.deserialize::<Site>() {
        let site = site.map_err(wrong)?;
        let refused = |what: &str| Err(Error::usage(format!("{shown}: the site {} {what}", site.site)));
        if site.entries > MOST_ENTRIES {
            return refused(&format!("has {} entries; at most {MOST_ENTRIES} can be", site.entries));
        }
        if !(0.0..=MOST_LISTINGS).contains(&site.listings_per_day) {
            return refused(&format!(
                "is listed {} times a day; it must be 0 to {MOST_LISTINGS}",
                site.listings_per_day
            ));
        }
        if !names.insert(site.site.clone()) {
            return refused("is there twice");
        }
        sites.push(site);
    }
    match sites.is_empty() {
        true => Err(Error::usage(format!("{shown} has no site; it needs lines of site,entries,listings_per_day"))),
        false => Ok(sites),
    }
}

/// Returns what is wrong without the place, which is told before it.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(e) => e.to_string(),
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} fields, not {expected_len}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_law() {
        let sites = zipf(1000, 1.2, 100_000, 96.0);
        let entries: Vec<u64> = sites.iter().map(|site| site.entries).collect();
        assert_eq!(entries[..3], [100_000, 43_528, 26_758]);
        assert_eq!(entries[999], 25);
        assert_eq!(zipf(2, 99.0, 5, 1.0)[1].entries, 1);
    }

    fn from(text: &str) -> Result<Vec<Site>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sites.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn file_gives_its_sites() {
        let sites = from("# ours\nsite,listings_per_day,entries\nexample, 2.5, 300\n\"a, b\",0,1\n").unwrap();
        let site = |site: &str, entries, listings_per_day| Site { site: site.into(), entries, listings_per_day };
        assert_eq!(sites, [site("example", 300, 2.5), site("a, b", 1, 0.0)]);
    }

    #[test]
    fn mistake_in_the_file_is_told_with_its_place() {
        let head = "site,entries,listings_per_day\n";
        for (text, expected) in [
            (String::new(), "has no site"),
            (head.to_owned(), "has no site"),
            (format!("{head}a,1\n"), "line 2: 2 fields, not 3"),
            (format!("{head}a,1,2\nb,many,2\n"), "line 3: field 1: invalid digit"),
            ("site,entries\na,1\n".into(), "line 2: missing field `listings_per_day`"),
            (format!("{head}a,1,2\na,1,2\n"), "the site a is there twice"),
            (format!("{head}a,1,-2\n"), "the site a is listed -2 times a day"),
            (format!("{head}a,1,NaN\n"), "the site a is listed NaN times a day"),
            (format!("{head}a,9999999999999,1\n"), "the site a has 9999999999999 entries"),
        ] {
            let error = from(&text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("sites.csv") && !error.contains('\n'), "{error}");
        }
        assert!(read(Path::new("/missing.csv")).unwrap_err().to_string().contains("cannot read /missing.csv"));
    }
}
