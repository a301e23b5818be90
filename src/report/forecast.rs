//! A forecast as text on a terminal, and why one server dies first.

use crate::fleet::forecast::range;
use crate::result::forecast::{Forecast, GrowthModel, Leak, Measured, PlacedSite, Server};
use crate::text::layout::aligned;
use crate::text::number;
use crate::text::plural::counted;

/// Servers that are shown; the file of --json has them all.
const SHOWN: usize = 20;

/// Tells what was measured, a row per server, and why.
pub fn render(forecast: &Forecast) -> String {
    let Forecast { leak, servers, .. } = forecast;
    let mut text = measured(leak) + &beyond(forecast);
    text += &format!("\n{} of memory a server, {} sites\n", number::bytes(forecast.memory_bytes), forecast.sites.len());
    text += &table(servers);
    if servers.len() > SHOWN {
        text += &format!("  and {} more that last longer\n", servers.len() - SHOWN);
    }
    text + &format!("\n{}\n", forecast.why)
}

fn measured(leak: &Leak) -> String {
    let Leak { kernel, unit, .. } = leak;
    let mut text = format!("{kernel} loses, per {unit},\n");
    for Measured { scenario, entries, bytes_per_listing: bytes, .. } in &leak.measured {
        text += &format!(
            "  {} ({} to {}) of {entries} entries, as measured in {scenario}\n",
            number::bytes(bytes.estimate),
            number::bytes(bytes.low),
            number::bytes(bytes.high)
        );
    }
    text += match leak.grows {
        GrowthModel::ThroughMeasured => "  and of other sizes what lies on the straight line through the nearest two\n",
        GrowthModel::PerEntry => "  and of other sizes in proportion to their entries (--per listing: as much)\n",
        GrowthModel::PerListing => "  and of other sizes as much (--per entry: in proportion to their entries)\n",
    };
    for counter in &leak.not_counted {
        text += &format!("  not counted: {counter}, of which the size is not known\n");
    }
    text
}

/// Tells what was not measured but drawn on from smaller directories, and how much hangs on it.
fn beyond(forecast: &Forecast) -> String {
    let largest = forecast.leak.measured.iter().map(|m| m.entries).max().unwrap_or(0);
    let lost = |sites: &[&PlacedSite]| sites.iter().map(|site| site.bytes_per_day.estimate).sum::<f64>();
    let larger: Vec<&PlacedSite> = forecast.sites.iter().filter(|placed| placed.site.entries > largest).collect();
    let all = lost(&forecast.sites.iter().collect::<Vec<_>>());
    if larger.is_empty() || all <= 0.0 || forecast.leak.grows == GrowthModel::PerListing {
        return String::new();
    }
    let share = number::share(lost(&larger) / all);
    format!(
        "  {} are larger than {largest} entries and make {share} of all that is lost;\n  measure a directory as large as \
         theirs, too (run -n), to be sure of that\n",
        counted(larger.len(), "site", "sites")
    )
}

fn table(servers: &[Server]) -> String {
    let head = ["server", "sites", "entries", "listings/day", "lost/day", "days until it is gone"].map(String::from);
    let mut rows = vec![head];
    rows.extend(servers.iter().take(SHOWN).map(|server| {
        let days = server.days.as_ref().map_or("-".into(), range);
        [
            server.server.clone(),
            server.sites.to_string(),
            server.entries.to_string(),
            format!("{:.0}", server.listings_per_day),
            number::bytes(server.bytes_per_day.estimate),
            days,
        ]
    }));
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::forecast::{ForecastInput, forecast};
    use crate::fleet::sites::zipf;
    use crate::result::example;
    use crate::result::forecast::Site;

    fn made(servers: usize, sites: Vec<Site>) -> Forecast {
        let question = ForecastInput { servers, virtual_nodes: 160, seed: 42, memory_bytes: 1e10 };
        forecast(&question, Leak::from_records(&[example::leak()], None, &[], None).unwrap(), sites)
    }

    #[test]
    fn table_fits_and_names_what_it_leaves_out() {
        let text = render(&made(50, zipf(5000, 1.0, 100_000_000, 1_000.0)));
        assert!(
            text.starts_with("6.1+spare-pages loses, per listing,\n  6.2 KiB (6.2 KiB to 6.3 KiB) of 150 entries,"),
            "{text}"
        );
        assert!(text.contains("and 30 more that last longer"), "{text}");
        for line in text.lines().filter(|line| line.starts_with("  server")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn size_that_was_not_measured_is_told() {
        let text = render(&made(5, zipf(10, 1.0, 1500, 10.0)));
        // All are larger than 150 entries but the last, which is as large.
        let sentence = "  9 sites are larger than 150 entries and make 97 % of all that is lost;";
        assert!(text.contains(sentence), "{text}");
        assert!(!render(&made(5, zipf(10, 1.0, 150, 10.0))).contains("larger than"));
    }

    #[test]
    fn loss_by_many_sites_of_one_size_has_another_reason() {
        let sites = (0..400).map(|i| Site { site: format!("{i}"), entries: 500, listings_per_day: 10.0 }).collect();
        let why = made(10, sites).why;
        assert!(why.contains("of 400 sites, none of which makes more than"), "{why}");
        assert!(why.contains("times as much as the mean"), "{why}");
        let idle = vec![Site { site: "a".into(), entries: 500, listings_per_day: 0.0 }];
        assert_eq!(made(10, idle).why, "No server loses anything that could be told from nothing.");
    }
}
