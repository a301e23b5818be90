//! What a leak does to many servers that share sites by consistent hashing: reckoned, and measured.

pub mod cluster;
pub(crate) mod cluster_compare;
pub(crate) mod cluster_guests;
pub mod forecast;
pub mod hash_ring;
pub mod leak_model;
pub mod sites;
