//! One child from start to end: what goes in, what comes out, and every way in which it can end.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what only tests call may fail as tests do")]

mod process_support;

use process_support::{before, children, patience, processes_with, runs};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use xtask_core::cancel::{Cancel, CancelSource};
use xtask_core::event::Stream;
use xtask_core::process::{Command, Exit, Finished, ProcessError, Stdin, StopPolicy, StopSignal, Supervisor};
use xtask_core::redact::Redactor;

fn supervisor() -> Supervisor {
    Supervisor::with_guard(Redactor::default(), env!("CARGO_BIN_EXE_process-probe"))
}

fn never() -> Cancel {
    CancelSource::new().1
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh", "/");
    command.args = vec!["-c".into(), script.into()];
    command.env.insert("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into());
    command
}

async fn run(command: Command) -> Result<Finished, ProcessError> {
    let supervisor = supervisor();
    let finished = supervisor.run(command, None, &never(), |_, _| {}).await;
    supervisor.shutdown().await;
    finished
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn grace(signal: StopSignal, grace: Duration) -> StopPolicy {
    StopPolicy { signal, grace }
}

/// The guard of the only supervisor of this test's thread.
fn guard() -> Pid {
    let guards = children("thread-self");
    assert_eq!(guards.len(), 1);
    guards[0]
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_code_and_both_streams_come_back() {
    let finished = run(sh("echo out; echo err >&2; exit 7")).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(7));
    assert_eq!(text(finished.stdout.bytes()), "out\n");
    assert_eq!(text(finished.stderr.bytes()), "err\n");
    let mut tail = finished.tail;
    tail.sort();
    assert_eq!(tail, ["err", "out"]);
}

#[tokio::test]
async fn a_child_that_dies_of_a_signal_has_no_code() {
    assert_eq!(run(sh("kill -SEGV $$")).await.unwrap().exit, Exit::Signal(11));
}

#[tokio::test]
async fn a_child_has_the_variables_that_it_was_given_and_no_others() {
    let mut command = sh("env");
    command.env.insert("GIVEN".into(), "a b".into());
    let finished = run(command).await.unwrap();
    let mut names: Vec<_> = finished.tail.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    // The shell itself adds PWD, and the guard its marker.
    assert_eq!(names, ["GIVEN", "PATH", "PWD", "XTASK_TASK"]);
}

#[tokio::test]
async fn a_child_has_no_terminal() {
    let finished = run(sh(": < /dev/tty")).await.unwrap();
    assert!(matches!(finished.exit, Exit::Code(1..)), "{finished:?}");
}

#[tokio::test]
async fn a_child_has_no_descriptor_of_ours_and_none_of_another_child() {
    #[expect(clippy::disallowed_methods, reason = "a child without a supervisor is what it is compared with")]
    let bare = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let supervisor = supervisor();
    let (source, cancel) = CancelSource::new();
    let (ready, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let other = supervisor.run(sh("echo ready; exec sleep 1000"), None, &cancel, |_, _| {
        ready.send(()).unwrap();
    });
    let list = async {
        wait.recv().await.unwrap();
        let finished = supervisor.run(sh("exec ls /proc/self/fd"), None, &cancel, |_, _| {}).await.unwrap();
        source.raise();
        text(finished.stdout.bytes())
    };
    let (_, listed) = tokio::join!(other, list);
    assert_eq!(listed, text(&bare.stdout));
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_child_runs_in_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = sh("pwd -P");
    command.cwd = folder.path().to_path_buf();
    let expected = format!("{}\n", folder.path().canonicalize().unwrap().display());
    assert_eq!(text(run(command).await.unwrap().stdout.bytes()), expected);
}

#[tokio::test]
async fn standard_input_of_any_length_arrives_while_the_output_is_drained() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut command = sh("cat");
    command.stdin = Stdin::Bytes(bytes.clone());
    let finished = run(command).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    assert!(finished.stdout.bytes() == bytes, "{} bytes came back", finished.stdout.bytes().len());
}

#[tokio::test]
async fn a_child_that_does_not_read_its_input_ends_normally() {
    let mut command = sh("exit 0");
    command.stdin = Stdin::Bytes(vec![b'x'; 1 << 20]);
    assert_eq!(run(command).await.unwrap().exit, Exit::Code(0));
}

#[tokio::test]
async fn without_input_a_child_reads_the_end_at_once() {
    assert_eq!(text(run(sh("cat; echo end")).await.unwrap().stdout.bytes()), "end\n");
}

#[tokio::test]
async fn both_pipes_are_drained_in_whatever_order_they_are_filled() {
    let block = "head -c 1000000 /dev/zero";
    let finished = run(sh(&format!("{block} >&2; {block}; {block} >&2; {block}"))).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    assert_eq!(finished.stdout.bytes().len(), 2_000_000);
    assert!(finished.stderr.truncated());
}

#[tokio::test]
async fn output_beyond_the_limit_is_dropped_and_said_to_be() {
    let mut command = sh("printf 1234567890");
    command.stdout_limit = 4;
    let finished = run(command).await.unwrap();
    assert_eq!(finished.stdout.bytes(), b"1234");
    assert!(finished.stdout.truncated());
}

#[tokio::test]
async fn a_child_that_closes_its_streams_is_waited_for() {
    let finished = run(sh("exec >&- 2>&-; sleep 0.2; exit 5")).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(5));
}

#[tokio::test]
async fn secrets_leave_masked_even_when_they_are_printed_in_two_writes() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = sh("printf 'one hunt'; sleep 0.1; echo er22; printf hunter22 | base64 >&2");
    command.log = Some(log.clone());
    let redactor = Redactor::new(["hunter22".to_owned()]);
    let supervisor = Supervisor::with_guard(redactor, env!("CARGO_BIN_EXE_process-probe"));
    let mut seen = Vec::new();
    let on_line = |stream, line: &str| seen.push((stream, line.to_owned()));
    let finished = supervisor.run(command, None, &never(), on_line).await.unwrap();
    supervisor.shutdown().await;
    seen.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    assert_eq!(seen, [(Stream::Stdout, "one ***".to_owned()), (Stream::Stderr, "***".to_owned())]);
    assert!(!finished.tail.concat().contains("hunt"), "{finished:?}");
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("***").count(), 2, "{log}");
    assert!(!log.contains("hunt") && !log.contains("aHVu"), "{log}");
}

#[tokio::test]
async fn several_children_write_one_log_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a/new/log");
    for word in ["one", "two"] {
        let mut command = sh(&format!("printf {word}"));
        command.log = Some(log.clone());
        run(command).await.unwrap();
    }
    assert_eq!(std::fs::read_to_string(log).unwrap(), "one\ntwo\n");
}

#[tokio::test]
async fn a_full_disk_stops_the_child_and_names_the_log() {
    let mut command = sh("echo line; sleep 1000");
    command.log = Some("/dev/full".into());
    let started = Instant::now();
    let error = run(command).await.unwrap_err();
    assert!(started.elapsed() < LONG);
    assert_eq!(error.to_string(), "cannot write the log /dev/full: No space left on device (os error 28)");
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_an_error_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut command = sh(&format!("touch {}", trace.display()));
    command.log = Some("/dev/null/log".into());
    assert!(
        matches!(run(command).await, Err(ProcessError::Log { path, .. }) if path == Path::new("/dev/null/log"))
    );
    assert!(!trace.exists());
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8], mode: u32| -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    for (program, expected) in [
        (folder.path().join("none"), "was not found"),
        (folder.path().to_path_buf(), "it is a directory"),
        (file("text", b"text", 0o644), "its permissions do not allow it"),
        (file("script", b"#!/no/such/interpreter\n", 0o755), "the interpreter that it names is missing"),
        (file("elf", b"\x7fELF\x02\x01\x01\0rubbish", 0o755), "it is not a program for this system"),
    ] {
        let error = run(Command::new(&program, "/")).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(program.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn arguments_that_are_too_long_are_an_error_and_a_great_many_are_not() {
    for length in [200_000, 20_000_000] {
        let mut command = sh("exit 0");
        command.args.push("x".repeat(length).into());
        assert!(matches!(run(command).await, Err(ProcessError::TooLong { .. })), "{length}");
    }
    let mut command = sh("echo $#");
    command.args.push("sh".into());
    command.args.extend((0..100_000).map(|n| n.to_string().into()));
    assert_eq!(text(run(command).await.unwrap().stdout.bytes()), "100000\n");
}

#[tokio::test]
async fn a_deadline_stops_the_child() {
    let supervisor = supervisor();
    let deadline = Instant::now() + Duration::from_millis(100);
    let finished =
        supervisor.run(sh("echo begun; exec sleep 1000"), Some(deadline), &never(), |_, _| {}).await.unwrap();
    assert_eq!(finished.exit, Exit::TimedOut);
    assert_eq!(text(finished.stdout.bytes()), "begun\n", "what it said until then is kept");
    assert!(finished.duration < LONG);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_child_that_ignores_the_question_is_killed_after_its_grace() {
    let supervisor = supervisor();
    let mut command = sh("trap '' TERM; echo ready; while :; do sleep 1000; done");
    command.stop = grace(StopSignal::Terminate, Duration::from_millis(300));
    let (source, cancel) = CancelSource::new();
    let mut asked = None;
    let on_line = |_, line: &str| {
        assert_eq!(line, "ready");
        asked = Some(Instant::now());
        source.raise();
    };
    let finished = supervisor.run(command, None, &cancel, on_line).await.unwrap();
    assert_eq!(finished.exit, Exit::Cancelled);
    assert!(asked.unwrap().elapsed() >= Duration::from_millis(300));
    assert!(asked.unwrap().elapsed() < LONG);
    supervisor.shutdown().await;
}

/// Runs the script, raises the stop when it prints its first line, and returns what came of it.
async fn stop_when_ready(script: &str, stop: StopPolicy) -> Finished {
    let supervisor = supervisor();
    let mut command = sh(script);
    command.stop = stop;
    let (source, cancel) = CancelSource::new();
    let finished = supervisor.run(command, None, &cancel, |_, _| source.raise()).await.unwrap();
    supervisor.shutdown().await;
    finished
}

#[tokio::test]
async fn the_policy_says_which_signal_asks() {
    let script = "trap 'echo INT; exit 0' INT; trap 'echo TERM; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    for (signal, said) in [(StopSignal::Interrupt, "INT"), (StopSignal::Terminate, "TERM")] {
        let finished = stop_when_ready(script, grace(signal, LONG)).await;
        assert_eq!(finished.exit, Exit::Cancelled, "even though it ended with 0");
        assert_eq!(text(finished.stdout.bytes()), format!("ready\n{said}\n"));
        assert!(finished.duration < LONG);
    }
}

#[tokio::test]
async fn when_a_task_is_stopped_what_its_first_process_leaves_behind_may_tidy_up_too() {
    let script = "(trap 'sleep 0.3; echo tidied; exit' TERM; echo ready; while :; do sleep 0.01; done) & exec sleep 1000";
    let finished = stop_when_ready(script, grace(StopSignal::Terminate, LONG)).await;
    assert_eq!(text(finished.stdout.bytes()), "ready\ntidied\n");
    assert!(finished.duration < LONG);
}

#[tokio::test]
async fn a_halted_child_hears_the_question_too() {
    let script = "trap 'echo tidied; exit' TERM; echo ready; kill -STOP $$; while :; do sleep 0.01; done";
    let finished = stop_when_ready(script, grace(StopSignal::Terminate, LONG)).await;
    assert_eq!(text(finished.stdout.bytes()), "ready\ntidied\n");
}

#[tokio::test]
async fn a_run_that_is_already_stopped_starts_nothing() {
    let supervisor = supervisor();
    let (source, cancel) = CancelSource::new();
    source.raise();
    let finished = supervisor.run(sh("exit 0"), None, &cancel, |_, _| {}).await.unwrap();
    assert_eq!(finished.exit, Exit::Cancelled);
    assert!(children("thread-self").is_empty(), "not even the guard");
}

#[tokio::test]
async fn what_a_task_leaves_behind_is_killed_at_once_and_holds_nothing_up() {
    let supervisor = supervisor();
    for (case, script) in [
        ("in the group", "sleep 1000 & echo $!"),
        ("stubborn", "trap '' TERM INT HUP; sleep 1000 & echo $!"),
        ("in a session of its own", "setsid sleep 1000 & echo $!"),
        (
            "without its environment",
            "exec 3>&1; env -i setsid sh -c 'echo $$ >&3; exec sleep 1000' & read x < /dev/null; sleep 0.2",
        ),
        ("twice removed", "setsid sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & wait' & sleep 0.2"),
    ] {
        let finished = supervisor.run(sh(script), None, &never(), |_, _| {}).await.unwrap();
        assert!(finished.duration < Duration::from_secs(10), "{case}: {finished:?}");
        let pid = Pid::from_raw(text(finished.stdout.bytes()).trim().parse().unwrap()).unwrap();
        assert!(before(patience(), || !runs(pid)), "{case}");
    }
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_task_is_reported_when_nothing_of_it_is_left() {
    let supervisor = supervisor();
    for _ in 0..20 {
        let script = "setsid sleep 1000 & echo $!; sleep 1000 & echo $!";
        let finished = supervisor.run(sh(script), None, &never(), |_, _| {}).await.unwrap();
        for pid in text(finished.stdout.bytes()).lines() {
            assert!(!runs(Pid::from_raw(pid.parse().unwrap()).unwrap()), "{pid} still runs");
        }
    }
    supervisor.shutdown().await;
}

#[tokio::test]
async fn what_one_task_has_in_the_background_survives_the_end_of_another() {
    let supervisor = supervisor();
    let folder = tempfile::tempdir().unwrap();
    let (go, pid) = (folder.path().join("go"), folder.path().join("pid"));
    // The first task's helper is an orphan already while the task goes on.
    let script = format!(
        "(setsid sleep 1000 & echo $! > {pid}.new; mv {pid}.new {pid}); until [ -e {go} ]; do sleep 0.01; done; kill -0 $(cat {pid})",
        pid = pid.display(),
        go = go.display()
    );
    let cancel = never();
    let first = supervisor.run(sh(&script), None, &cancel, |_, _| {});
    let second = async {
        while !pid.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..5 {
            supervisor.run(sh("setsid sleep 1000 &"), None, &cancel, |_, _| {}).await.unwrap();
        }
        std::fs::write(&go, "").unwrap();
    };
    let (finished, ()) = tokio::join!(first, second);
    assert_eq!(finished.unwrap().exit, Exit::Code(0), "its helper was alive to the end");
    let helper = Pid::from_raw(std::fs::read_to_string(pid).unwrap().trim().parse().unwrap()).unwrap();
    assert!(before(patience(), || !runs(helper)), "and no longer");
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_process_that_cannot_be_told_from_those_of_a_running_task_holds_nothing_up_for_long() {
    let supervisor = supervisor();
    let (source, cancel) = CancelSource::new();
    let (ready, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let other =
        supervisor.run(sh("echo ready; exec sleep 1000"), None, &cancel, |_, _| ready.send(()).unwrap());
    let leaving = async {
        wait.recv().await.unwrap();
        // It has thrown away its marker, and keeps the pipes.
        let script = "env -i setsid sh -c 'echo $$; exec sleep 1000' & read none < /dev/null; sleep 0.3";
        let finished = supervisor.run(sh(script), None, &cancel, |_, _| {}).await.unwrap();
        assert_eq!(finished.exit, Exit::Code(0));
        assert!(finished.duration < LONG);
        let pid = Pid::from_raw(text(finished.stdout.bytes()).trim().parse().unwrap()).unwrap();
        assert!(runs(pid), "it might be the other task's");
        source.raise();
        pid
    };
    let (_, pid) = tokio::join!(other, leaving);
    assert!(before(patience(), || !runs(pid)), "with the last task everything goes");
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_future_that_is_dropped_stops_its_child() {
    let supervisor = supervisor();
    let mut command = sh("sleep 1000 & wait");
    let case = format!("dropped-{}", std::process::id());
    command.env.insert("PROBE_CASE".into(), (&case).into());
    let variable = format!("PROBE_CASE={case}");
    let cancel = never();
    {
        let mut running = std::pin::pin!(supervisor.run(command, None, &cancel, |_, _| {}));
        let started = async {
            while processes_with(&variable).len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            finished = &mut running => panic!("{finished:?}"),
            () = started => {}
        }
    }
    // The request to stop is on its way; this runs what brings it there.
    let gone = async {
        while processes_with(&variable).iter().any(|(pid, _)| runs(*pid)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_guard_that_dies_is_an_error_for_what_runs_and_for_what_comes() {
    let supervisor = supervisor();
    let kill = |_, _: &str| kill_process(guard(), Signal::KILL).unwrap();
    let cancel = never();
    let error = supervisor.run(sh("echo ready; exec sleep 1000"), None, &cancel, kill).await.unwrap_err();
    assert!(matches!(error, ProcessError::Guard(_)), "{error}");
    let error = supervisor.run(sh("exit 0"), None, &cancel, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, ProcessError::Guard(_)), "{error}");
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_binary_that_is_no_guard_is_an_error_and_not_a_hang() {
    for wrong in ["/bin/true", "/bin/cat", "/no/such/file"] {
        let supervisor = Supervisor::with_guard(Redactor::default(), wrong);
        let error = supervisor.run(sh("exit 0"), None, &never(), |_, _| {}).await.unwrap_err();
        assert!(matches!(error, ProcessError::Guard(_)), "{wrong}: {error}");
        supervisor.shutdown().await;
    }
}

#[tokio::test]
async fn the_end_of_the_run_ends_what_still_runs_and_lets_nothing_start() {
    let supervisor = supervisor();
    let clone = supervisor.clone();
    let mut command = sh("trap '' TERM; echo ready; while :; do sleep 1000; done");
    command.stop = grace(StopSignal::Terminate, LONG);
    let (ready, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let cancel = never();
    let running = supervisor.run(command, None, &cancel, |_, _| ready.send(()).unwrap());
    let ending = async {
        wait.recv().await.unwrap();
        clone.shutdown().await;
    };
    let (finished, ()) = tokio::join!(running, ending);
    let finished = finished.unwrap();
    assert_eq!(finished.exit, Exit::Signal(9), "a run that is over does not wait for a long grace");
    assert!(finished.duration < LONG);
    assert!(children("thread-self").is_empty(), "the guard is gone and collected");
    let error = supervisor.run(sh("exit 0"), None, &cancel, |_, _| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "the run is over: no more processes are started");
}

#[tokio::test]
async fn many_tasks_at_once_end_well_and_leave_no_descriptor_open() {
    let supervisor = supervisor();
    let cancel = never();
    supervisor.run(sh("exit 0"), None, &cancel, |_, _| {}).await.unwrap();
    let open = |process: &str| std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let guard = guard().as_raw_nonzero().to_string();
    let in_guard = open(&guard);
    for _ in 0..3 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..60 {
            let (supervisor, cancel) = (supervisor.clone(), cancel.clone());
            tasks.spawn(async move {
                let finished = supervisor
                    .run(sh(&format!("echo {n}; exit {n}")), None, &cancel, |_, _| {})
                    .await
                    .unwrap();
                assert_eq!((finished.exit, finished.tail), (Exit::Code(n), vec![n.to_string()]));
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
    assert!(before(patience(), || open(&guard) == in_guard), "{} and {in_guard}", open(&guard));
    supervisor.shutdown().await;
}
