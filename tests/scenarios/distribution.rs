//! Trials of Debian's own kernels: as they are, and with modules that were rebuilt with a patch. `verify` takes such a kernel if none is named;
//! where it is 6.1:cloud, all run, and else those that name it run when it is in the cache already, or when `DIRLEAK_SERIES="6.1:cloud"` asks for it.

use crate::bad_luck::unsupported;
use crate::case::Case;
use crate::kernels::left_out_unless;
use crate::program::{Program, Trialled};
use crate::verdicts::{clean, outcome, verdicts};
use dirleak::internals::kernel::distribution::usual;
use dirleak::internals::kernel::source::catalog::Catalog;
use dirleak::internals::sample::CounterKind;
use dirleak::result::proof::Outcome;
use dirleak::result::record::Verdict;

const CLOUD: &str = "6.1:cloud";
const LEAKING: &str = "6.1:cloud+spare-pages";
/// What its image has built in.
const BUILT_IN: &str = concat!("6.1:cloud+", env!("CARGO_MANIFEST_DIR"), "/tests/data/no-slab.patch");

pub fn cases() -> Vec<Case> {
    let usual = usual(&Catalog::load().expect("the catalog is embedded"), false);
    let reason = |spec| if usual == CLOUD { None } else { left_out_unless(spec, CLOUD) };
    let leaking = Case::new(format!("quick on {LEAKING} leaks 25 names per listing"), &[LEAKING], |_| leaking());
    let built_in = Case::new("a patch to what Debian's kernel has built in is refused", &[LEAKING], |_| built_in());
    let [unpatched, patched] = [format!("{usual}+spare-pages"), usual.clone()];
    let both = [unpatched.as_str(), patched.as_str()].map(str::to_owned);
    let both = both.each_ref().map(String::as_str);
    vec![
        clean("quick", CLOUD).ignored_because(reason(CLOUD)),
        leaking.ignored_because(reason(LEAKING)),
        built_in.ignored_because(reason(LEAKING)),
        Case::new("verify quick without kernels proves it on the kernels of this machine's Debian", &both, move |_| {
            proven(&[unpatched, patched])
        }),
        Case::new("a kernel of Debian's that finds one of two processors is unsupported", &[CLOUD], |_| {
            unsupported(CLOUD, &["--processors", "2"], "this kernel brought up 1 of 2 processors")
        })
        .ignored_because(reason(CLOUD)),
    ]
}

/// Two guests of Debian's kernel, of which one has a module that was built here, and a second seed of the one that is clean.
fn proven(specs: &[String; 2]) -> Trialled {
    let seen = Program::new(&["verify", "quick"]).run()?;
    let judged = verdicts(&seen);
    seen.must(judged == [Verdict::Leak, Verdict::Clean], || format!("the verdicts are {judged:?}"))?;
    seen.must(outcome(&seen) == Some(Outcome::Proven), || "it is not proven".into())?;
    let results = seen.result.iter().flat_map(|file| &file.results);
    let kernels: Vec<&str> = results.map(|record| record.kernel.spec.as_str()).collect();
    seen.must(kernels == specs.each_ref(), || format!("the kernels are {kernels:?}"))?;
    seen.must_end_with(0)
}

/// The package tracks no allocations, so a trace tells where the names come from: the function of the module that was rebuilt.
fn leaking() -> Trialled {
    let seen = Program::new(&["run", "--kernel", LEAKING, "quick"]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
    seen.must_end_with(1)?;
    let kernel = &record.kernel;
    seen.must(kernel.patches == ["spare-pages"], || format!("the patches are {:?}", kernel.patches))?;
    let rebuilt: Vec<&str> = kernel.rebuilt_modules.keys().map(String::as_str).collect();
    seen.must(rebuilt == ["nfs.ko"], || format!("the modules that were rebuilt are {rebuilt:?}"))?;
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
