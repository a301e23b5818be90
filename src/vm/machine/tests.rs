use super::*;
use tempfile::TempDir;

/// Starts a guest that is a shell script, which finds its console's name in `$0` and packs nothing.
fn guest(script: &str, limits: Limits) -> (Vm, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("guest.log");
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&log);
    (Vm::spawn(&mut command, &log, limits, std::convert::identity).unwrap(), dir)
}

/// Waits for the end of a guest, which must come soon; tells why it ended.
fn ended(script: &str, limits: Limits) -> AgentError {
    let (mut vm, _dir) = guest(script, limits);
    let begin = Instant::now();
    let ended = vm.request(&Request::Glance, |_, _| ()).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(100), "{ended:?} was said late");
    ended
}

fn gave_up(script: &str) -> String {
    match ended(script, Limits::default()) {
        AgentError::Failed(sentence) => sentence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn line_is_shown_without_its_time_if_it_has_one() {
    let line = "Kernel panic - not syncing: [x] y";
    assert_eq!(without_time(line), line);
    assert_eq!(without_time(&format!("[    1.234567] {line}")), line);
}

#[test]
fn guest_that_does_as_it_is_told_is_heard() {
    let script = r#"read order; echo '{"answer":"alive"}'; echo '{"answer":"step","name":"x","seconds":1}'; echo '{"answer":"done"}';
                    read order; echo '{"answer":"bye"}'"#;
    let (mut vm, _dir) = guest(script, Limits::default());
    let mut steps = Vec::new();
    let answer = vm.request(&Request::Hold, |name, seconds| steps.push((name.to_owned(), seconds)));
    assert!(matches!(answer, Ok(Response::Done)), "{answer:?}");
    assert_eq!(steps, [("x".to_owned(), 1.0)]);
    assert!(vm.finish().is_ok());
}

#[test]
fn line_without_end_ends_the_guest() {
    assert!(
        gave_up("tr '\\0' x </dev/zero").contains("what no guest says: a line of more than 8 MiB; its console is in ")
    );
}

#[test]
fn line_of_wrong_utf_8_is_no_answer_and_no_end() {
    let said = gave_up(r"printf '\377\376\n'; sleep 60");
    assert!(said.contains("what no guest says: no answer: \"\u{fffd}\u{fffd}\"; its console is in "), "{said}");
}

#[test]
fn flood_of_signs_of_life_ends() {
    assert!(gave_up(r#"yes '{"answer":"alive"}'"#).contains("more than 200000 signs of life"));
}

#[test]
fn flood_does_not_outlast_the_time_of_the_run() {
    let steps = r#"while echo '{"answer":"step","name":"x","seconds":1}'; do sleep 0.01; done"#;
    let limits = Limits { whole: Some(Duration::from_millis(1_000)), ..Limits::default() };
    match ended(steps, limits) {
        // Whoever gives signs of life is slow and no lost kernel.
        AgentError::Failed(sentence) => {
            let said = "the run has used up its 1 s, of which --timeout gives it more; its console is in ";
            assert!(sentence.starts_with(said), "{sentence}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn flood_on_the_console_ends_the_guest() {
    let limits = Limits { log_bytes: 3 << 20, ..Limits::default() };
    let (mut vm, dir) = guest("ulimit -f 65536; yes 'a line that means nothing' >$0; sleep 60", limits);
    let Err(AgentError::Failed(said)) = vm.response() else { panic!("it is heard") };
    let log = dir.path().join("guest.log");
    let whole = "the guest printed more than 3072 KiB on its console and was ended; the beginning is in";
    assert_eq!(said, format!("{whole} {}", log.display()));
    drop(vm);
    let bytes = || std::fs::metadata(&log).unwrap().len();
    let before = bytes();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(bytes(), before, "it goes on printing");
}

#[test]
fn guest_that_takes_no_orders_is_found_silent() {
    let limits = Limits { silence: Duration::from_millis(100), ..Limits::default() };
    let (mut vm, _dir) = guest("sleep 60", limits);
    let order = Request::Sites { caches: vec!["x".repeat(1 << 20)] };
    let Err(AgentError::Crash { kind, .. }) = vm.request(&order, |_, _| ()) else { panic!("it is heard") };
    assert_eq!(kind, "hang");
}

#[test]
fn answer_that_does_not_fit_is_shown_in_short() {
    let answer = Response::Slabinfo { objects: (0..1000).map(|n| (format!("cache-{n}"), n)).collect() };
    let AgentError::Failed(said) = crate::protocol::agent::unexpected(&answer) else { panic!("it is an error") };
    assert!(said.contains("Slabinfo") && said.len() < 300, "{said}");
}

#[test]
fn last_lines_of_a_long_log_are_found_at_its_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text: String = (0..20_000).map(|n| format!("line {n} \u{1b}[1m\n")).collect();
    std::fs::write(file.path(), text).unwrap();
    assert_eq!(last_lines(file.path(), 1), ["line 19999 \u{fffd}[1m"]);
    assert_eq!(last_lines(Path::new("/nowhere"), 20), [""; 0]);
}
