//! Consistent hashing as load balancers do it (Karger et al. 1997; ketama, HAProxy's `hash-type consistent`): each server has many points
//! on a ring, and a site belongs to the server of the first point at or after its own. A server more or less moves only the sites
//! that it takes or had.

use sha2::{Digest, Sha256};

/// Points of all servers, in their order on the ring.
pub struct Ring {
    points: Vec<(u64, usize)>,
    seed: u64,
}

impl Ring {
    /// Makes a ring of so many servers, each with `virtual_nodes` points. At least one of both.
    pub fn new(servers: usize, virtual_nodes: usize, seed: u64) -> Self {
        let point = |server, node| (place(seed, &format!("server {server} {node}")), server);
        let mut points: Vec<_> =
            (0..servers).flat_map(|server| (0..virtual_nodes).map(move |node| point(server, node))).collect();
        points.sort_unstable();
        Self { points, seed }
    }

    /// Returns the server that has a site.
    pub fn server_of(&self, site: &str) -> usize {
        let place = place(self.seed, &format!("site {site}"));
        let next = self.points.partition_point(|(point, _)| *point < place);
        // After the last point comes the first.
        self.points[next % self.points.len()].1
    }
}

/// Returns a place on the ring.
fn place(seed: u64, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a digest is longer than that"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITES: usize = 20_000;

    fn servers_of(ring: &Ring) -> Vec<usize> {
        (0..SITES).map(|i| ring.server_of(&format!("site-{i}"))).collect()
    }

    fn spread(servers: usize, virtual_nodes: usize, seed: u64) -> f64 {
        let mut counts = vec![0usize; servers];
        servers_of(&Ring::new(servers, virtual_nodes, seed)).iter().for_each(|server| counts[*server] += 1);
        *counts.iter().max().unwrap() as f64 / (SITES as f64 / servers as f64)
    }

    #[test]
    fn servers_with_many_points_are_balanced_and_those_with_one_are_not() {
        for seed in 0..5 {
            // The share of a server scatters by 1 / sqrt(160), so by 8 %; of 20 servers the largest is within 4 of that.
            let many = spread(20, 160, seed);
            assert!(many < 1.32, "seed {seed}: the fullest server has {many:.2} times its share");
            assert!(spread(20, 1, seed) > many, "seed {seed}");
        }
    }

    #[test]
    fn new_server_takes_its_share_and_moves_nothing_else() {
        let before = servers_of(&Ring::new(20, 160, 7));
        let after = servers_of(&Ring::new(21, 160, 7));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == 20), "a site moved between servers that were there before");
        let share = moved.len() as f64 / SITES as f64 * 21.0;
        assert!((0.7..1.3).contains(&share), "the new server has {share:.2} times its share");
    }

    #[test]
    fn places_are_the_same_everywhere() {
        let ring = Ring::new(5, 8, 42);
        let found: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|site| ring.server_of(site)).into();
        assert_eq!(found, EXPECTED);
    }

    /// By the same rule in another language.
    const EXPECTED: [usize; 6] = [0, 4, 0, 2, 3, 2];
}
