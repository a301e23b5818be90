//! The kernel's own NFS server, set up by the distribution's own nfs-utils: the system that users run.

mod client_tracking;
mod packages;
mod start;

pub use packages::{NfsUtils, cached, packages};
pub use start::{Knfsd, MOUNT_PORT, NFS_PORT, Starting, start, start_again, stop};

use crate::kernel::Version;

/// Whether the server of the kernel with this `uname -r` starts while page_owner watches.
///
/// With it the bulk allocator of pages gives one page at a time, and svc_init_buffer() of these versions takes all that it wants
/// or gives up (ENOMEM, of which rpc.nfsd says nothing). "SUNRPC: Cleanup/fix initial rq_pages allocation" ended it.
pub fn starts_with_page_owner(release: &str) -> bool {
    const FIRST: Version = Version { major: 6, minor: 5 };
    const LAST: Version = Version { major: 6, minor: 16 };
    release.parse::<Version>().is_ok_and(|version| !(FIRST..=LAST).contains(&version))
}

#[cfg(test)]
mod tests {
    use super::starts_with_page_owner;

    #[test]
    fn page_owner_is_left_out_where_the_server_would_not_start() {
        let without = ["6.5.0", "6.12.118+deb13-cloud-amd64", "6.16-rc1", "next"];
        assert_eq!(without.map(starts_with_page_owner), [false; 4]);
        assert_eq!(["5.10.262", "6.1.192", "6.4", "6.17.1", "7.2.12"].map(starts_with_page_owner), [true; 5]);
    }
}
