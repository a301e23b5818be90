//! Rebuilds the program when a scenario, a patch or a configuration comes or goes, because all of them are embedded.

fn main() {
    for dir in ["scenarios", "vm"] {
        println!("cargo:rerun-if-changed={dir}");
    }
}
