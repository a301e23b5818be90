//! What some versions of the kernel cannot do at once.

use crate::probe::page_owner;
use crate::probe::version::Version;

/// Returns whether the server of the kernel with this `uname -r` starts while page_owner watches.
///
/// With it the bulk allocator of pages gives one page at a time, and svc_init_buffer() of these versions takes all that it wants
/// or gives up (ENOMEM, of which rpc.nfsd says nothing). "SUNRPC: Cleanup/fix initial rq_pages allocation" ended it.
pub fn starts_with_page_owner(release: &str) -> bool {
    const FIRST: Version = Version { major: 6, minor: 5 };
    const LAST: Version = Version { major: 6, minor: 16 };
    release.parse::<Version>().is_ok_and(|version| !(FIRST..=LAST).contains(&version))
}

/// Returns whether the kernel with this `uname -r` can keep page_owner and the call sites of slab objects at once.
///
/// See [`page_owner::takes_objects`].
pub fn goes_with_alloc_traces(release: &str) -> bool {
    !page_owner::takes_objects(release)
}

/// Tells whether the kernel with this `uname -r` can count allocations by line of source, if it is configured so. Others complain of a
/// parameter that they do not know.
pub fn counts_by_line(release: &str) -> bool {
    const FIRST: Version = Version { major: 6, minor: 10 };
    release.parse::<Version>().is_ok_and(|version| version >= FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_owner_is_left_out_where_the_server_would_not_start() {
        let without = ["6.5.0", "6.12.118+deb13-cloud-amd64", "6.16-rc1", "next"];
        assert_eq!(without.map(starts_with_page_owner), [false; 4]);
        assert_eq!(["5.10.262", "6.1.192", "6.4", "6.17.1", "7.2.12"].map(starts_with_page_owner), [true; 5]);
    }

    #[test]
    fn kernels_that_would_lock_up_do_not_keep_both() {
        assert_eq!(["5.10.262", "6.1.192", "6.7"].map(goes_with_alloc_traces), [true; 3]);
        assert_eq!(["6.8", "6.12.118+deb13-cloud-amd64", "7.2.12", "next"].map(goes_with_alloc_traces), [false; 4]);
    }

    #[test]
    fn kernel_before_6_10_is_not_asked_to_count_by_line() {
        assert_eq!(["5.10.262", "6.1.192", "6.9.12", "next"].map(counts_by_line), [false; 4]);
        assert_eq!(["6.10", "6.12.118+deb13-cloud-amd64", "7.2.12"].map(counts_by_line), [true; 3]);
    }
}
