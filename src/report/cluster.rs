//! A cluster: what each of its servers lost, and what was forecast for it.

use crate::result::cluster::{ClusterRecord, ServerRecord};
use crate::stats::estimate::Estimate;
use crate::text::{layout, number};

/// The heads of [`ClusterRecord::cells`].
pub const HEAD: [&str; 8] = ["server", "sites", "entries", "largest", "forecast/h", "measured/h", "share", "ratio"];

impl ClusterRecord {
    /// Returns a row for each server.
    pub fn cells(&self) -> Vec<[String; 8]> {
        let all = self.lost();
        let bytes = |rate: Option<Estimate>| rate.map_or("-".into(), |rate| number::bytes(rate.estimate));
        let cell = |server: &ServerRecord| {
            let share = if all > 0.0 && server.measured_bytes_per_hour.is_some() {
                number::share(server.lost() / all)
            } else {
                "-".into()
            };
            let ratio = match (server.forecast_bytes_per_hour, server.measured_bytes_per_hour) {
                (Some(forecast), Some(measured)) if forecast.estimate > 0.0 => {
                    format!("{:.2}", measured.estimate / forecast.estimate)
                }
                _ => "-".into(),
            };
            [
                server.server.clone(),
                server.sites.to_string(),
                server.entries.to_string(),
                server.largest_site_entries.to_string(),
                bytes(server.forecast_bytes_per_hour),
                bytes(server.measured_bytes_per_hour),
                share,
                ratio,
            ]
        };
        self.servers.iter().map(cell).collect()
    }

    /// Says where the leak went, and whether that was foreseen, in one sentence.
    pub fn sentence(&self) -> String {
        let subject = format!("{} of {} sites on {}", self.scenario, self.sites, self.kernel);
        let listed: Vec<&ServerRecord> = self.servers.iter().filter(|server| server.lists()).collect();
        let open = listed.iter().filter(|server| server.measured_bytes_per_hour.is_none()).count();
        if open > 0 || listed.is_empty() {
            return format!("{subject}: {open} of {} servers could not be judged.", listed.len());
        }
        let Some(forecast) = self.forecast() else {
            return format!(
                "{subject}: what was to be forecast from could not be judged; the servers lose {}.",
                self.amount()
            );
        };
        let first = listed[0];
        match (self.lost() > 0.0, forecast > 0.0) {
            (false, false) => format!("{subject}: no server loses anything, as was forecast."),
            (false, true) => {
                format!(
                    "{subject}: no server loses anything, though {} an hour were forecast.",
                    number::bytes(forecast)
                )
            }
            (true, _) => format!("{subject}: {}; {}.", self.concentration(first), self.agreement(first, forecast)),
        }
    }

    fn amount(&self) -> String {
        format!("{} an hour", number::bytes(self.lost()))
    }

    fn concentration(&self, first: &ServerRecord) -> String {
        let largest = self.servers.iter().map(|server| server.largest_site_entries).max().unwrap_or(0);
        let why = match first.largest_site_entries == largest {
            true => format!("has the largest site, of {largest} entries, and"),
            false => "has not the largest site, but".to_owned(),
        };
        let (share, servers) = (number::share(first.lost() / self.lost()), self.servers.len());
        format!("{} {why} loses {share} of all that the {servers} servers lose", first.server)
    }

    fn agreement(&self, first: &ServerRecord, forecast: f64) -> String {
        if forecast <= 0.0 {
            return format!("nothing was forecast, and {} were measured", self.amount());
        }
        let forecast_of = |server: &ServerRecord| server.forecast_bytes_per_hour.map_or(0.0, |rate| rate.estimate);
        let foreseen = match self.servers.iter().max_by(|a, b| forecast_of(a).total_cmp(&forecast_of(b))) {
            Some(server) if server.server == first.server => {
                format!("that was forecast, with {}", number::share(forecast_of(first) / forecast))
            }
            Some(server) => format!("{} was forecast to lose most", server.server),
            None => String::new(),
        };
        format!("{foreseen}; all of them lose {:.2} times what was forecast", self.lost() / forecast)
    }

    /// Returns the table and the sentence.
    pub fn text(&self) -> String {
        let mut rows = vec![HEAD.map(String::from)];
        rows.extend(self.cells());
        format!("{}\n{}\n", layout::aligned(&rows), self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    /// Makes the cluster of the example with this lost by each server, of which the first has the largest site.
    fn lost(measured: [Option<f64>; 2]) -> ClusterRecord {
        let mut cluster = example::cluster();
        for (server, bytes) in cluster.servers.iter_mut().zip(measured) {
            server.measured_bytes_per_hour = bytes.map(|estimate| Estimate { estimate, low: estimate, high: estimate });
        }
        cluster
    }

    fn forecast(mut cluster: ClusterRecord, forecast: Option<Estimate>) -> ClusterRecord {
        cluster.servers.iter_mut().for_each(|server| server.forecast_bytes_per_hour = forecast);
        cluster
    }

    #[test]
    fn sentence_says_where_the_leak_went_and_whether_that_was_foreseen() {
        assert_eq!(
            lost([Some(95.0), Some(5.0)]).sentence(),
            "cluster of 20 sites on 6.1+spare-pages: server-2 has the largest site, of 1800 entries, and loses 95 % of all that \
             the 2 servers lose; that was forecast, with 90 %; all of them lose 1.00 times what was forecast."
        );
        let mut wrong = lost([Some(20.0), Some(80.0)]);
        wrong.servers.reverse();
        let sentence = wrong.sentence();
        assert!(sentence.contains("server-1 has not the largest site, but loses 80 %"), "{sentence}");
        assert!(sentence.contains("server-2 was forecast to lose most"), "{sentence}");
        let nothing = lost([Some(0.0), Some(0.0)]);
        assert!(nothing.sentence().ends_with("no server loses anything, though 100 B an hour were forecast."));
        let clean = forecast(nothing, Some(Estimate { estimate: 0.0, low: 0.0, high: 0.0 })).sentence();
        assert!(clean.ends_with("no server loses anything, as was forecast."), "{clean}");
        let crashed = lost([Some(1.0), None]).sentence();
        assert!(crashed.ends_with("1 of 2 servers could not be judged."), "{crashed}");
        let sentence = forecast(lost([Some(95.0), Some(5.0)]), None).sentence();
        assert!(sentence.contains("could not be judged; the servers lose 100 B an hour"), "{sentence}");
    }

    #[test]
    fn table_fits_a_terminal() {
        let gib = 1000.0 * 1024.0 * 1024.0;
        let mut cluster = forecast(lost([Some(gib), Some(0.0)]), Some(Estimate { estimate: gib, low: gib, high: gib }));
        (cluster.servers[0].server, cluster.servers[0].entries) = ("server-10".into(), 100_000_000);
        let text = cluster.text();
        let table = text.split("\n\n").next().unwrap();
        assert!(table.lines().count() == 3 && table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(table.contains("100 %") && table.contains("1.00"), "{table}");
    }
}
