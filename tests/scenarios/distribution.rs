//! Trials of Debian's own kernels: as they are, and with modules that were rebuilt with a patch. They are fetched from the archive, so they run
//! when they are in the cache already, or when `DIRLEAK_SERIES="6.1:cloud"` asks for them.

use crate::bad_luck::unsupported;
use crate::case::Case;
use crate::kernels::left_out_unless;
use crate::program::{Program, Trialled};
use crate::verdicts::clean;
use dirleak::internals::sample::CounterKind;
use dirleak::result::record::Verdict;

const CLOUD: &str = "6.1:cloud";
const LEAKING: &str = "6.1:cloud+spare-pages";
/// What its image has built in.
const BUILT_IN: &str = concat!("6.1:cloud+", env!("CARGO_MANIFEST_DIR"), "/tests/data/no-slab.patch");

pub fn cases() -> Vec<Case> {
    let leaking = Case::new(format!("quick on {LEAKING} leaks 25 names per listing"), &[LEAKING], |_| leaking());
    let built_in = Case::new("a patch to what Debian's kernel has built in is refused", &[LEAKING], |_| built_in());
    vec![
        clean("quick", CLOUD).ignored_because(left_out_unless(CLOUD, CLOUD)),
        leaking.ignored_because(left_out_unless(LEAKING, CLOUD)),
        built_in.ignored_because(left_out_unless(LEAKING, CLOUD)),
        Case::new("a kernel of Debian's that finds one of two processors is unsupported", &[CLOUD], |_| {
            unsupported(CLOUD, &["--processors", "2"], "this kernel brought up 1 of 2 processors")
        })
        .ignored_because(left_out_unless(CLOUD, CLOUD)),
    ]
}

/// The package tracks no allocations, so a trace tells where the names come from: the function of the module that was rebuilt.
fn leaking() -> Trialled {
    let seen = Program::new(&["run", "--kernel", LEAKING, "quick"]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
    seen.must_end_with(1)?;
    let kernel = &record.kernel;
    seen.must(kernel.patches == ["spare-pages"], || format!("the patches are {:?}", kernel.patches))?;
    let is_debians = kernel.release.starts_with("6.1.0-") && kernel.release.ends_with("-cloud-amd64");
    seen.must(is_debians, || format!("{} is no release of Debian's", kernel.release))?;
    let [finding] = record.findings.as_slice() else {
        return seen.must(false, || format!("one leak is {} findings", record.findings.len()));
    };
    let place = (finding.source, finding.name.as_str());
    seen.must(place == (CounterKind::Slab, "kmalloc-256"), || format!("the leak is in {place:?}"))?;
    let rate = finding.objects_per_listing.estimate;
    seen.must((rate - 25.0).abs() <= 0.5, || format!("{rate} names leak per listing"))?;
    let function = finding.call_sites.first().map(|site| site.function.as_str());
    seen.must(function == Some("nfs_readdir_page_array_append"), || format!("they come from {function:?}"))
}

fn built_in() -> Trialled {
    let seen = Program::new(&["run", "--kernel", BUILT_IN, "quick"]).run()?;
    seen.must_end_with(125)?;
    let says = |part: &str| seen.stderr.contains(part);
    seen.must(says("-cloud-amd64") && says("build the whole kernel from source instead: --kernel 6.1+"), || {
        "it does not say what can have the patch".into()
    })
}
