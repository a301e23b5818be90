//! What distributions call the package that has a kernel's modules.

/// What Ubuntu's kernels are built for, which is the last part of their releases.
const UBUNTU: [&str; 16] = [
    "generic",
    "lowlatency",
    "aws",
    "azure",
    "gcp",
    "gke",
    "gkeop",
    "kvm",
    "oracle",
    "oem",
    "ibm",
    "virtual",
    "realtime",
    "nvidia",
    "fde",
    "raspi",
];

/// The first release of Fedora, and of RHEL, whose modules of fs/ and net/ are no longer in kernel-core (RHEL 9: since 9.2).
const FEDORA_SPLIT: u32 = 38;
const RHEL_SPLIT: u32 = 9;

/// Returns the name of the package that has nfs.ko of the kernel `release` (`uname -r`), if the release tells whose it is.
pub fn with_nfs(release: &str) -> Option<String> {
    let (own, flavour) = release.split_once('+').unwrap_or((release, ""));
    let flavour = if flavour.is_empty() { String::new() } else { format!("-{flavour}") };
    let flavour = if own.contains("uek") { "-uek".to_owned() } else { flavour };
    let split =
        number_behind(own, ".fc").map(|n| n >= FEDORA_SPLIT).or(number_behind(own, ".el").map(|n| n >= RHEL_SPLIT));
    match split {
        Some(true) => return Some(format!("kernel{flavour}-modules-core-{own}")),
        Some(false) if number_behind(own, ".el").is_some_and(|n| n < 8) => {
            return Some(format!("kernel{flavour}-{own}"));
        }
        Some(false) => return Some(format!("kernel{flavour}-core-{own}")),
        None => {}
    }
    let last = release.rsplit('-').next().unwrap_or_default();
    let is_arch_linux =
        |part: &str| part.starts_with("arch") || matches!(part, "zen" | "hardened" | "cachyos" | "MANJARO");
    match last {
        _ if release.contains(".amzn") => Some(format!("kernel-{release}")),
        _ if UBUNTU.contains(&last) || release.contains("-generic") => Some(format!("linux-modules-{release}")),
        "amd64" => Some(format!("linux-image-{release} (or linux-modules-{release}, where there is one)")),
        "default" => Some("kernel-default".into()),
        "lts" | "virt" | "stable" if release.split('-').count() == 3 => Some(format!("linux-{last}")),
        _ => release.split('-').any(is_arch_linux).then(|| {
            let of = release.split('-').rfind(|part| is_arch_linux(part)).filter(|part| !part.starts_with("arch"));
            of.map_or("linux".into(), |of| format!("linux-{}", of.to_lowercase()))
        }),
    }
}

/// Returns the number that follows `mark` in `text`.
fn number_behind(text: &str, mark: &str) -> Option<u32> {
    let digits = text.split_once(mark)?.1;
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

/// Returns the end of a sentence about a kernel that lacks nfs: which package to name, too.
pub fn hint(release: &str) -> String {
    let Some(package) = with_nfs(release) else {
        return format!(
            "name the package or directory that has its kernel/fs/nfs with --modules (lib/modules/{release})"
        );
    };
    format!(
        "its distribution has it in the package {package}, which can be named with --modules, or behind a comma in --kernel"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_with_nfs_is_named_for_each_distribution() {
        let table = [
            ("6.8.5-301.fc40.x86_64", "kernel-modules-core-6.8.5-301.fc40.x86_64"),
            ("6.8.5-301.fc40.x86_64+debug", "kernel-debug-modules-core-6.8.5-301.fc40.x86_64"),
            ("6.0.7-301.fc37.x86_64", "kernel-core-6.0.7-301.fc37.x86_64"),
            ("5.14.0-503.11.1.el9_5.x86_64", "kernel-modules-core-5.14.0-503.11.1.el9_5.x86_64"),
            ("5.14.0-503.11.1.el9_5.x86_64+rt", "kernel-rt-modules-core-5.14.0-503.11.1.el9_5.x86_64"),
            ("6.12.0-55.el10.x86_64", "kernel-modules-core-6.12.0-55.el10.x86_64"),
            ("4.18.0-553.el8_10.x86_64", "kernel-core-4.18.0-553.el8_10.x86_64"),
            ("3.10.0-1160.el7.x86_64", "kernel-3.10.0-1160.el7.x86_64"),
            ("5.15.0-300.163.18.el9uek.x86_64", "kernel-uek-modules-core-5.15.0-300.163.18.el9uek.x86_64"),
            ("5.11.0-051100-generic", "linux-modules-5.11.0-051100-generic"),
            ("6.8.0-1021-aws", "linux-modules-6.8.0-1021-aws"),
            ("6.1.0-18-amd64", "linux-image-6.1.0-18-amd64 (or linux-modules-6.1.0-18-amd64, where there is one)"),
            ("6.17.7-1-default", "kernel-default"),
            ("6.12.50-0-lts", "linux-lts"),
            ("6.5.3-zen1-1-zen", "linux-zen"),
            ("6.9.7-arch1-1", "linux"),
            ("6.16.0-rc5-1-cachyos-rc", "linux-cachyos"),
            ("6.1.109-118.189.amzn2023.x86_64", "kernel-6.1.109-118.189.amzn2023.x86_64"),
        ];
        for (release, package) in table {
            assert_eq!(with_nfs(release).as_deref(), Some(package), "{release}");
        }
        for release in ["6.17.0", "6.1.0-mine", ""] {
            assert_eq!(with_nfs(release), None, "{release}");
        }
        assert!(hint("5.11.0-051100-generic").contains("linux-modules-5.11.0-051100-generic"));
        assert!(hint("6.17.0").contains("lib/modules/6.17.0"));
    }
}
