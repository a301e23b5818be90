//! What a measured leak does to a fleet: sites on servers by consistent hashing, and what each server loses a day.

use super::hash_ring::Ring;
use crate::result::forecast::{Forecast, Leak, PlacedSite, Server, Site};
use crate::stats::estimate::Estimate;
use crate::text::number;
use crate::text::truncate::head_of;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ForecastInput {
    pub servers: usize,
    /// Points that each server has on the ring.
    pub virtual_nodes: usize,
    pub seed: u64,
    /// What a server can lose before it has none left.
    pub memory_bytes: f64,
}

const NOTHING: Estimate = Estimate { estimate: 0.0, low: 0.0, high: 0.0 };

/// Returns what the server with this number, counted from 0, is called.
pub fn server_name(index: usize) -> String {
    format!("server-{}", index + 1)
}

/// Places the sites and adds up what their listings lose.
pub fn forecast(question: &ForecastInput, leak: Leak, sites: Vec<Site>) -> Forecast {
    let ring = Ring::new(question.servers, question.virtual_nodes, question.seed);
    let mut servers: Vec<Server> = (0..question.servers).map(Server::new).collect();
    let placed: Vec<PlacedSite> = sites
        .into_iter()
        .map(|site| {
            let server = &mut servers[ring.server_of(&site.site)];
            let bytes_per_day = scaled(leak.bytes_per_listing(site.entries), site.listings_per_day);
            server.add(&site, bytes_per_day);
            PlacedSite { server: server.server.clone(), site, bytes_per_day }
        })
        .collect();
    servers.iter_mut().for_each(|server| server.days = days(question.memory_bytes, server.bytes_per_day));
    servers.sort_by(|a, b| b.bytes_per_day.estimate.total_cmp(&a.bytes_per_day.estimate));
    let why = self::why(&servers, &placed);
    let ForecastInput { seed, virtual_nodes, memory_bytes, .. } = *question;
    Forecast { seed, virtual_nodes, memory_bytes, leak, servers, sites: placed, why }
}

impl Server {
    fn new(index: usize) -> Self {
        let server = server_name(index);
        Self { server, sites: 0, entries: 0, listings_per_day: 0.0, bytes_per_day: NOTHING, days: None }
    }

    fn add(&mut self, site: &Site, bytes: Estimate) {
        self.sites += 1;
        self.entries = self.entries.saturating_add(site.entries);
        self.listings_per_day += site.listings_per_day;
        let sum = &mut self.bytes_per_day;
        *sum =
            Estimate { estimate: sum.estimate + bytes.estimate, low: sum.low + bytes.low, high: sum.high + bytes.high };
    }
}

fn scaled(rate: Estimate, by: f64) -> Estimate {
    Estimate { estimate: rate.estimate * by, low: rate.low * by, high: rate.high * by }
}

/// Returns how many days the memory lasts: the more is lost, the sooner it is over. Bounds that allow no loss allow any
/// time, of which JSON has no number.
fn days(memory_bytes: f64, lost: Estimate) -> Option<Estimate> {
    let days = |bytes: f64| memory_bytes / bytes;
    (lost.low > 0.0).then(|| Estimate { estimate: days(lost.estimate), low: days(lost.high), high: days(lost.low) })
}

/// Returns `11.2 (10.9 to 11.5)`.
pub fn range(days: &Estimate) -> String {
    format!("{} ({})", number::rate(days.estimate), days.bounds())
}

/// Says in a sentence which server is the first to run out of memory, and why. Servers come in the order of what they
/// lose, most first.
pub fn why(servers: &[Server], sites: &[PlacedSite]) -> String {
    let Some((first, Some(days))) = servers.first().map(|server| (server, server.days)) else {
        return "No server loses anything that could be told from nothing.".into();
    };
    let lost = first.bytes_per_day.estimate;
    let own = sites.iter().filter(|site| site.server == first.server);
    let largest = own.max_by(|a, b| a.bytes_per_day.estimate.total_cmp(&b.bytes_per_day.estimate));
    let share = largest.map_or(0.0, |site| site.bytes_per_day.estimate / lost);
    let because = match largest {
        Some(PlacedSite { site, .. }) if share >= 0.5 => format!(
            "the ring gave it {}, whose {} entries make {} of what it loses",
            head_of(&site.site, 60),
            site.entries,
            number::share(share)
        ),
        _ => format!(
            "the ring gave it {} of {} sites, none of which makes more than {} of what it loses",
            first.sites,
            sites.len(),
            number::share(share)
        ),
    };
    let mean = servers.iter().map(|server| server.bytes_per_day.estimate).sum::<f64>() / servers.len() as f64;
    let others = match servers.get(servers.len() / 2).and_then(|server| server.days) {
        Some(median) if servers.len() > 1 => format!(
            "; it loses {} times as much as the mean, and the median server lasts {} days",
            number::rate(lost / mean),
            number::rate(median.estimate)
        ),
        _ => String::new(),
    };
    format!("{} dies first, after {} days: {because}{others}.", first.server, range(&days))
}

#[cfg(test)]
mod tests {
    use super::super::sites;
    use super::*;
    use crate::result::example;

    fn question(servers: usize) -> ForecastInput {
        ForecastInput { servers, virtual_nodes: 160, seed: 42, memory_bytes: 64.0 * 1024.0 * 1024.0 * 1024.0 }
    }

    fn leak() -> Leak {
        Leak::from_records(&[example::leak()], None, &[], None).unwrap()
    }

    fn forecast_for(servers: usize, sites: Vec<Site>) -> Forecast {
        forecast(&question(servers), leak(), sites)
    }

    #[test]
    fn loss_of_a_server_is_that_of_its_sites() {
        // 150 entries lose 6400 bytes, 25.0 objects (24.8 to 25.2).
        let site = Site { site: "a".into(), entries: 1500, listings_per_day: 10.0 };
        let forecast = forecast_for(1, vec![site]);
        let server = &forecast.servers[0];
        assert!((server.bytes_per_day.estimate - 640_000.0).abs() < 1e-6, "{server:?}");
        let days = server.days.unwrap();
        assert!((days.estimate - 64.0 * 1024f64.powi(3) / 640_000.0).abs() < 1e-6);
        assert!(days.low < days.estimate && days.estimate < days.high);
        assert!((days.low / days.estimate - 25.0 / 25.2).abs() < 1e-9);
    }

    #[test]
    fn losses_of_sites_add_up_to_those_of_their_servers() {
        let sites = sites::zipf(500, 1.2, 100_000, 24.0);
        let all = |sites: &[PlacedSite]| sites.iter().map(|site| site.bytes_per_day.estimate).sum::<f64>();
        let forecast = forecast_for(20, sites);
        let servers: f64 = forecast.servers.iter().map(|server| server.bytes_per_day.estimate).sum();
        assert!((servers / all(&forecast.sites) - 1.0).abs() < 1e-9);
        assert_eq!(forecast.servers.iter().map(|server| server.sites).sum::<usize>(), 500);
        assert!(forecast.servers.is_sorted_by(|a, b| a.bytes_per_day.estimate >= b.bytes_per_day.estimate));
    }

    #[test]
    fn server_with_the_huge_site_dies_first_and_the_sentence_says_so() {
        let forecast = forecast_for(20, sites::zipf(500, 1.2, 1_000_000, 24.0));
        let first = &forecast.servers[0];
        let huge = &forecast.sites[0];
        assert_eq!(huge.server, first.server);
        assert!(forecast.why.starts_with(&format!("{} dies first, after ", first.server)), "{}", forecast.why);
        assert!(forecast.why.contains("site-1, whose 1000000 entries"), "{}", forecast.why);
    }

    #[test]
    fn seed_gives_the_same_answer_again_and_another_one_another() {
        let json_for_seed = |seed| {
            let sites = sites::zipf(300, 1.0, 10_000, 24.0);
            serde_json::to_string(&forecast(&ForecastInput { seed, ..question(10) }, leak(), sites)).unwrap()
        };
        assert_eq!(json_for_seed(1), json_for_seed(1));
        assert_ne!(json_for_seed(1), json_for_seed(2));
    }

    #[test]
    fn server_without_sites_lives_for_ever() {
        let forecast = forecast_for(3, vec![Site { site: "a".into(), entries: 10, listings_per_day: 1.0 }]);
        assert_eq!(forecast.servers[2].days, None);
        assert!(serde_json::to_string(&forecast).is_ok());
    }
}
