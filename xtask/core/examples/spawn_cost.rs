//! What the guard adds to a spawn: `true`, many times, bare and supervised, in turns. Prints milliseconds per child, of the
//! fastest round each: what else the machine does can only make a round slower.
//!
//! `cargo run --release -p xtask-core --example spawn_cost [CHILDREN [ROUNDS]]`; 300 and 7 unless given.

#![expect(clippy::print_stdout, reason = "a measurement is made to be printed")]

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use xtask_core::cancel::CancelSource;
use xtask_core::process::{Command, GUARD_ARGUMENT, ProcessError, Supervisor, guard};
use xtask_core::redact::Redactor;

const PROGRAM: &str = "/bin/true";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == GUARD_ARGUMENT) {
        return guard::main();
    }
    let number = |index: usize, default| args.get(index).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    match measure(number(0, 300), number(1, 7)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(children: u32, rounds: u32) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{:>24} {:>9} {:>9} {:>9}", "", "bare", "guarded", "added");
    for at_once in [1, 4] {
        let (mut bare, mut guarded) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bare.push(bare_round(children, at_once)?);
            guarded.push(runtime.block_on(guarded_round(children, at_once))?);
        }
        let (bare, guarded) = (best(&bare) / f64::from(children), best(&guarded) / f64::from(children));
        println!(
            "{:>20} × {at_once} {bare:>8.3}  {guarded:>8.3}  {:>8.3}",
            format!("{children} children"),
            guarded - bare
        );
    }
    let begun = Instant::now();
    runtime.block_on(guarded_round(1, 1))?;
    println!("one child with the start and the end of its guard: {:.3}", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// The shortest, in milliseconds.
fn best(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// As much as the supervisor does for a child, without it: both outputs read to their end, then the code.
fn bare_round(children: u32, at_once: u32) -> std::io::Result<Duration> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once)
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    for _ in 0..children / at_once {
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "the bare spawn is what the guard is compared with"
                        )]
                        std::process::Command::new(PROGRAM).env_clear().stdin(Stdio::null()).output()?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())))
    })?;
    Ok(begun.elapsed())
}

/// The start of the guard is not part of it: a run pays it once.
async fn guarded_round(children: u32, at_once: u32) -> Result<Duration, ProcessError> {
    let supervisor = Supervisor::new(Redactor::default());
    let (_source, cancel) = CancelSource::new();
    supervisor.run(Command::new(PROGRAM, "/"), None, &cancel, |_, _| {}).await?;
    let begun = Instant::now();
    let mut lanes = tokio::task::JoinSet::<Result<(), ProcessError>>::new();
    for _ in 0..at_once {
        let (supervisor, cancel) = (supervisor.clone(), cancel.clone());
        lanes.spawn(async move {
            for _ in 0..children / at_once {
                supervisor.run(Command::new(PROGRAM, "/"), None, &cancel, |_, _| {}).await?;
            }
            Ok(())
        });
    }
    for lane in lanes.join_all().await {
        lane?;
    }
    let elapsed = begun.elapsed();
    supervisor.shutdown().await;
    Ok(elapsed)
}
