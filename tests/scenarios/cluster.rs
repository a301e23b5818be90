//! Trials of a cluster: the leak goes where the largest site went, and as much of it as was forecast.

use crate::case::Case;
use crate::program::{Program, Trialled, varied};
use dirleak::result::cluster::ClusterRecord;

const LEAKY: &str = "6.1+spare-pages";
/// Five sites of three sizes on three servers; the largest is listed twice an hour, and a small one four times: with any seed it is
/// what is lost most by.
const CLUSTER: &str = "sizes = [200, 1500, 200, 600, 600]";

pub fn cases() -> Vec<Case> {
    vec![Case::new("a cluster loses where its largest site is, as forecast", &[LEAKY], |_| concentrates())]
}

fn concentrates() -> Trialled {
    let five = [
        ("entries = 6000", "entries = 3100"),
        ("web-site = { directories = 40, exponent = 1.2 }", CLUSTER),
        ("servers = 4", "servers = 3"),
        ("listings_per_hour = 2", "listings_per_hour = [2, 2, 2, 1, 4]"),
    ];
    let text = varied(include_str!("../../scenarios/cluster.toml"), &five);
    let seen = Program::new(&["run", "--kernel", LEAKY, "five.toml"]).with_file("five.toml", &text).run()?;
    seen.must_end_with(1)?;
    let clusters = seen.result.as_ref().map_or(&[][..], |file| &file.clusters);
    let [ClusterRecord { servers, .. }] = clusters else {
        return seen.must(false, || format!("there is not one cluster: {clusters:?}"));
    };
    let sites: u64 = servers.iter().map(|server| server.sites).sum();
    seen.must(sites == 5, || format!("not every site is on a server: {servers:?}"))?;
    seen.must(servers[0].largest_site_entries == 1500, || format!("another server loses most: {servers:?}"))?;
    for server in servers.iter().filter(|server| server.sites > 0) {
        let (Some(forecast), Some(measured)) = (server.forecast_bytes_per_hour, server.measured_bytes_per_hour) else {
            return seen.must(false, || format!("{} was not judged: {server:?}", server.server));
        };
        // Every size was measured alone, and the leak is the same each time.
        let ratio = measured.estimate / forecast.estimate;
        seen.must((0.9..1.1).contains(&ratio), || format!("{} lost {ratio:.2} times its forecast", server.server))?;
    }
    seen.must(seen.stdout.contains("has the largest site, of 1500 entries"), || "the sentence is missing".into())
}
