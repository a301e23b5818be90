//! The workflow files are YAML of the shape that the systems take, with the shell in it.

use super::*;
use saphyr::{LoadableYamlNode, Yaml};
use std::process::Command;

fn plan(program: Program) -> Plan {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Plan { kernels: words(&["6.1", "6.10", "it's \"odd\""]), sets: words(&["ci", "leaks"]), shards: 3, program }
}

fn programs() -> [Program; 2] {
    [Program::Here, Program::Git("ssh://git@example.org/dirleak".into())]
}

fn parsed(text: &str) -> Yaml<'_> {
    let mut documents = Yaml::load_from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn strings(node: &Yaml) -> Vec<String> {
    let items = node.as_sequence().unwrap_or_else(|| panic!("{node:?} is no sequence"));
    items.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{item:?} is no string")).to_owned()).collect()
}

/// Finds every script in the file: values of `run`, and items of `script` and `before_script`.
fn scripts(node: &Yaml, found: &mut Vec<String>) {
    if let Some(items) = node.as_sequence() {
        items.iter().for_each(|item| scripts(item, found));
    }
    for (key, value) in node.as_mapping().into_iter().flatten() {
        match (key.as_str(), value.as_str()) {
            (Some("run"), Some(script)) => found.push(script.to_owned()),
            (Some("script" | "before_script"), None) => found.extend(strings(value)),
            _ => scripts(value, found),
        }
    }
}

#[test]
fn workflow_has_nothing_of_the_template_left_and_each_script_is_one() {
    for system in [System::Github, System::Gitlab] {
        for program in programs() {
            let text = system.workflow(&plan(program));
            let names = ["@KERNELS@", "@SETS@", "@SHARDS@", "@SETUP@", "@BUILD@", "@IMAGE@", "@AGAIN@"];
            assert!(!names.iter().any(|name| text.contains(name)), "{text}");
            let mut found = Vec::new();
            scripts(&parsed(&text), &mut found);
            assert!(found.len() >= 5, "{found:?}");
            for script in found {
                let checked = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
                assert!(checked.status.success(), "{script}: {checked:?}");
            }
        }
    }
}

#[test]
fn matrix_is_kernels_times_sets_times_shards() {
    let github = System::Github.workflow(&plan(Program::Here));
    let gitlab = System::Gitlab.workflow(&plan(Program::Here));
    let (github, gitlab) = (parsed(&github), parsed(&gitlab));
    let matrix = &github["jobs"]["run"]["strategy"]["matrix"];
    let names = [["kernel", "set", "shard"], ["KERNEL", "SET", "SHARD"]];
    for (matrix, names) in [(matrix, names[0]), (&gitlab["dirleak-run"]["parallel"]["matrix"][0], names[1])] {
        let [kernels, sets, shards] = names.map(|name| strings(&matrix[name]));
        assert_eq!(kernels, ["6.1", "6.10", "it's \"odd\""]);
        assert_eq!(sets, ["ci", "leaks"]);
        assert_eq!(shards, ["1/3", "2/3", "3/3"]);
    }
}

/// Runs the step with a program that ends so: 125 is no failure of the code under test, everything else that is not 0
/// fails the job.
#[test]
fn exit_status_of_the_run_is_that_of_the_job_but_for_125() {
    let text = System::Github.workflow(&plan(Program::Here));
    let mut found = Vec::new();
    scripts(&parsed(&text), &mut found);
    let step = found.iter().find(|script| script.contains("dirleak run ")).unwrap();
    for (status, expected) in [(0, 0), (1, 1), (125, 0), (128, 128), (129, 129)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dirleak"), format!("#!/bin/sh\nexit {status}\n")).unwrap();
        let step = step.replace("/tmp/dirleak/bin", dir.path().to_str().unwrap());
        let environment = [("KERNEL", "6.1"), ("SET", "ci"), ("SHARD", "1/2"), ("RESULT", "r.json")];
        let mut bash = Command::new("bash");
        let ended = bash.args(["-e", "-c", &step]).envs(environment).output().unwrap();
        assert_eq!(ended.status.code(), Some(expected), "{status}: {ended:?}");
        let warned = String::from_utf8_lossy(&ended.stdout).contains("::warning");
        assert_eq!(warned, status == 125, "what could not be judged is shown");
    }
    let gitlab = System::Gitlab.workflow(&plan(Program::Here));
    let gitlab = parsed(&gitlab);
    let allowed = gitlab["dirleak-run"]["allow_failure"]["exit_codes"].as_sequence().unwrap();
    assert_eq!(allowed.iter().filter_map(Yaml::as_integer).collect::<Vec<_>>(), [125]);
}

#[test]
fn workflow_elsewhere_installs_from_git_and_by_apt() {
    let text = System::Github.workflow(&plan(programs()[1].clone()));
    assert!(text.contains("cargo install --locked --root /tmp/dirleak --git 'ssh://git@example.org/dirleak' dirleak"));
    assert!(text.contains("\n          apt-get -q install -y --no-install-recommends bc "), "{text}");
    assert!(!text.contains("vm/setup"));
    assert!(text.contains("\n# To change it: dirleak ci init github --force --shards 3 --kernel 6.1 "));
}
