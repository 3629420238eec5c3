//! The binary: command line, logging, signals, exit codes.
//!
//! 0: served and drained, or healthy. 1: cannot serve, or unhealthy. 2: wrong usage or configuration.

use std::process::ExitCode;
use std::time::Duration;

use app::config::{Config, Environment};
use app::healthcheck;
use app::lifecycle::Lifecycle;
use app::metrics::Metrics;
use app::routes::{RequestLimits, guard, public};
use app::secret::folder::Folder;
use app::server::{ConnectionLimits, Listener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;

const USAGE: &str = "usage: app               serve; configured by environment variables, see README.md
       app healthcheck [IP:PORT]
                         exit 0 when the service there (default: on LISTEN_ADDR) answers /healthz with 200";

/// Below the three seconds that the image's HEALTHCHECK allows.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run_service(),
        ["healthcheck"] => run_healthcheck(None),
        ["healthcheck", address] => run_healthcheck(Some(address)),
        ["--help"] => {
            print_out(USAGE);
            ExitCode::SUCCESS
        }
        _ => {
            print_err(USAGE);
            ExitCode::from(2)
        }
    }
}

/// `address`: an IP and a port; a static binary has no resolver for names.
fn run_healthcheck(address: Option<&str>) -> ExitCode {
    let address = match address {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is not an address like 10.0.0.1:80")),
        None => Config::read(std::env::var).map(|config| config.listen).map_err(|error| error.to_string()),
    };
    let address = match address {
        Ok(address) => address,
        Err(error) => {
            print_err(&error);
            return ExitCode::from(2);
        }
    };
    match healthcheck::probe(address, PROBE_PATIENCE) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_err(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run_service() -> ExitCode {
    let config = Config::read(std::env::var);
    log_as_json(config.as_ref().map_or(LevelFilter::ERROR, |config| config.log_level));
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(%error, "refusing to start");
            return ExitCode::from(2);
        }
    };
    // The secrets of another environment are not even read.
    let secrets = config.secrets_dir.as_deref().filter(|_| !config.environment.is_wrong());
    let secrets = match Folder::open(secrets) {
        Ok(secrets) => secrets,
        Err(error) => {
            tracing::error!(%error, "refusing to start");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(&config, secrets))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot serve");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: &Config, secrets: Folder) -> std::io::Result<()> {
    // Before the sockets: a signal that comes while starting must not kill the process half way.
    let mut signals = Signals::listen()?;
    #[cfg(feature = "faults")]
    tokio::select! {
        () = config.faults.before_listening() => {}
        _ = signals.next() => return Ok(()),
    }
    let lifecycle = Lifecycle::default();
    let metrics = Metrics::new(config, &secrets);
    let limits = ConnectionLimits::default();
    let routes = public(config, lifecycle.clone(), secrets.clone());
    #[cfg(feature = "faults")]
    let routes = config.faults.clone().inject(routes);
    let routes = guard(routes, metrics.clone(), lifecycle.clone(), RequestLimits::default());

    let metrics_listener = Listener::bind(config.metrics).await?;
    let listener = Listener::bind(config.listen).await?;
    tracing::info!(
        address = %listener.address(),
        metrics = %metrics_listener.address(),
        version = config.identity.version,
        commit = config.identity.commit,
        secrets = ?secrets.names(),
        "serving"
    );
    let Environment { configured, expected } = &config.environment;
    if config.environment.is_wrong() {
        tracing::error!(configured, expected, "wrong environment: refusing every request, never ready");
    }
    tokio::spawn(secrets.watch());
    #[cfg(feature = "faults")]
    tokio::spawn(config.faults.clone().while_serving());

    // The metrics port outlives the public one, so that the drain itself can be watched.
    let (drained, done) = oneshot::channel::<()>();
    let stop_scrapes = async {
        let _either_way = done.await;
    };
    let scrapes =
        tokio::spawn(metrics_listener.serve(metrics.router(), limits, stop_scrapes, Duration::from_secs(1)));

    let stop = async {
        let first = signals.next().await;
        lifecycle.drain();
        tracing::info!(signal = first, settle_s = config.drain.settle.as_secs(), "draining");
        tokio::select! {
            () = tokio::time::sleep(config.drain.settle) => {}
            second = signals.next() => tracing::info!(signal = second, "told again, not waiting any longer"),
        }
    };
    let end = listener.serve(routes, limits, stop, config.drain.deadline).await;
    if end.cut > 0 {
        tracing::warn!(connections = end.cut, "deadline reached, connections cut");
    }
    drop(drained);
    let _either_way = scrapes.await;
    tracing::info!("stopped");
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn log_as_json(level: LevelFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(level)
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("not text");
        tracing::error!(location, panic = message, "panicked");
    }));
}

#[expect(clippy::print_stdout, reason = "the answer to --help is for a person")]
fn print_out(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "the probe and wrong usage speak to a person, not to a log collector"
)]
fn print_err(text: &str) {
    eprintln!("{text}");
}
