//! A run: starts what the schedule says, collects records in the order in which nodes end, keeps results, and stops when told to.

use crate::engine::cx::Program;
use crate::engine::drive::{Driver, millis};
use crate::engine::graph::{Cycle, Edges, Graph};
use crate::engine::schedule::{Ended, Next, Schedule};
use crate::engine::shared::{Setup, Shared};
use crate::error::{ExitCode, StageError};
use crate::event::Event;
use crate::ids::NodeId;
use crate::outcome::Why;
use crate::report::{OutcomeKind, RunInfo, RunReport, SCHEMA, StageRecord, outcome_word};
use crate::stage::Needs;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// One node as the engine sees it. The closed set of stages implements this with one `match` each.
pub trait Node: Send + Sync + 'static {
    /// Its name.
    fn id(&self) -> NodeId;
    /// What it needs.
    fn needs(&self) -> Needs;
    /// Drives it with the method of [`Driver`] that fits its kind.
    fn drive(&self, driver: Driver) -> impl Future<Output = StageRecord> + Send;
}

/// What is known about a node before it starts, and keeps it from running.
#[derive(Debug)]
pub enum Preset {
    /// It is skipped.
    Skip(Why),
    /// It cannot start.
    Broke(StageError),
}

/// What nodes need, as far as it is known.
#[derive(Debug, Default)]
pub struct Supplies {
    /// Tools and programs, by name.
    pub programs: BTreeMap<String, Program>,
    /// Nodes that cannot or shall not run.
    pub presets: BTreeMap<NodeId, Preset>,
}

/// How often results are kept, and slow stages looked for, while a run goes on.
const TICK: Duration = Duration::from_secs(2);
/// After how long a stage is reported as slow, and again.
const SLOW: Duration = Duration::from_secs(60);

/// A run whose graph is known and announced, and that has not started.
#[derive(Debug)]
pub struct Planned<N> {
    pub(super) shared: Arc<Shared>,
    pub(super) graph: Graph,
    pub(super) nodes: Vec<N>,
    pub(super) needs: Vec<Needs>,
    pub(super) expected: Vec<Option<u64>>,
}

impl<N: Node> Planned<N> {
    /// Builds the graph. Nothing is touched yet.
    pub fn new(setup: Setup, nodes: Vec<N>) -> Result<Self, Cycle> {
        let needs: Vec<Needs> = nodes.iter().map(Node::needs).collect();
        let edges: Vec<Edges> = nodes
            .iter()
            .zip(&needs)
            .map(|(node, needs)| Edges {
                node: node.id(),
                after: needs.after.clone(),
                prefers: needs.prefers.clone(),
            })
            .collect();
        let graph = Graph::new(&edges)?;
        let shared = Arc::new(Shared::new(setup));
        let expected = shared.expected(graph.nodes());
        Ok(Planned { shared, graph, nodes, needs, expected })
    }

    /// The nodes, in the order in which they were given.
    pub fn nodes(&self) -> &[N] {
        &self.nodes
    }

    /// Tells the reporters what is about to run.
    pub fn announce(&self) {
        let known: Option<Vec<u64>> = self.expected.iter().copied().collect();
        self.shared.send(Event::RunStarted {
            schema: SCHEMA,
            run: self.shared.setup.run_id.clone(),
            command: self.shared.setup.command.clone(),
            nodes: self.graph.nodes().to_vec(),
            expected_ms: known.and_then(|known| self.graph.remaining(&known).into_iter().max()),
        });
    }

    /// Runs the nodes and gives the report. A node that needs tools which are not at hand is held until all of them have come by
    /// `arrivals`; what cannot be had is known when `late` ends, for all nodes together.
    pub async fn run(
        self,
        at_hand: Supplies,
        arrivals: UnboundedReceiver<Program>,
        late: impl Future<Output = Supplies>,
    ) -> RunReport {
        let started = jiff::Timestamp::now();
        let Planned { shared, graph, nodes, needs, expected } = self;
        let Supplies { programs, presets } = at_hand;
        let missing = |needs: &Needs| -> BTreeSet<String> {
            needs.names().filter(|name| !programs.contains_key(*name)).map(str::to_owned).collect()
        };
        let missing: Vec<BTreeSet<String>> = needs.iter().map(missing).collect();
        let held = missing.iter().map(|missing| !missing.is_empty()).collect();
        shared.equip(programs);
        let durations: Vec<u64> = expected.iter().map(|known| known.unwrap_or(UNKNOWN_MS)).collect();
        let weights = needs.iter().map(|needs| needs.weight).collect();
        let ids = graph.nodes().to_vec();
        let schedule =
            Schedule::new(graph, &durations, weights, held, shared.setup.capacity, shared.setup.keep_going);
        let mut run = Run {
            began: Instant::now(),
            nodes: nodes.into_iter().map(Arc::new).collect(),
            ids,
            missing,
            schedule,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            records: Vec::new(),
            shared,
        };
        run.report(presets);
        run.drive_all(arrivals, late).await;
        run.finish(started).await
    }
}

/// What a node without history is taken to last.
const UNKNOWN_MS: u64 = 10_000;

struct Running {
    at: usize,
    since: Instant,
    slow_at: Instant,
}

struct Run<N> {
    shared: Arc<Shared>,
    nodes: Vec<Arc<N>>,
    ids: Vec<NodeId>,
    /// What each node still waits for, by name.
    missing: Vec<BTreeSet<String>>,
    schedule: Schedule,
    tasks: JoinSet<StageRecord>,
    running: BTreeMap<Id, Running>,
    records: Vec<StageRecord>,
    began: Instant,
}

impl<N: Node> Run<N> {
    /// All that is missing is reported together, before anything that needs it starts. What was skipped meanwhile has been reported.
    fn report(&mut self, mut presets: BTreeMap<NodeId, Preset>) {
        for at in 0..self.ids.len() {
            if self.schedule.is_waiting(at)
                && let Some(preset) = presets.remove(&self.ids[at])
            {
                let driver = self.driver(at);
                let record = match preset {
                    Preset::Skip(why) => driver.skipped(why),
                    Preset::Broke(error) => driver.broken(error),
                };
                self.ended(at, record);
            }
        }
    }

    fn driver(&self, at: usize) -> Driver {
        Driver { shared: Arc::clone(&self.shared), node: self.ids[at].clone() }
    }

    async fn drive_all(
        &mut self,
        mut arrivals: UnboundedReceiver<Program>,
        late: impl Future<Output = Supplies>,
    ) {
        let mut late = std::pin::pin!(late);
        let mut complete = false;
        let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
        let cancel = self.shared.setup.cancel.clone();
        loop {
            if cancel.is_raised() {
                return self.stop().await;
            }
            match self.schedule.step() {
                Next::Start(at) => self.start(at),
                Next::Skip(at, why) => {
                    let record = self.driver(at).skipped(why);
                    self.ended(at, record);
                }
                Next::Done => return,
                Next::Wait => tokio::select! {
                    Some(program) = arrivals.recv() => self.arrived(program),
                    supplies = &mut late, if !complete => {
                        complete = true;
                        self.complete(supplies);
                    }
                    Some(joined) = self.tasks.join_next_with_id() => self.joined(joined),
                    _ = tick.tick() => self.tick().await,
                    () = cancel.raised() => {}
                },
            }
        }
    }

    fn arrived(&mut self, program: Program) {
        for (at, missing) in self.missing.iter_mut().enumerate() {
            if missing.remove(&program.name) && missing.is_empty() {
                self.schedule.release(at);
            }
        }
        self.shared.equip(BTreeMap::from([(program.name.clone(), program)]));
    }

    fn complete(&mut self, Supplies { programs, presets }: Supplies) {
        self.shared.equip(programs);
        self.report(presets);
        for at in 0..self.ids.len() {
            self.schedule.release(at);
        }
    }

    fn start(&mut self, at: usize) {
        let node = Arc::clone(&self.nodes[at]);
        let driver = self.driver(at);
        let handle = self.tasks.spawn(async move { node.drive(driver).await });
        let since = Instant::now();
        self.running.insert(handle.id(), Running { at, since, slow_at: since + SLOW });
    }

    fn joined(&mut self, joined: Result<(Id, StageRecord), tokio::task::JoinError>) {
        match joined {
            Ok((id, record)) => {
                if let Some(running) = self.running.remove(&id) {
                    self.ended(running.at, record);
                }
            }
            Err(error) => {
                if let Some(running) = self.running.remove(&error.id()) {
                    let bug = StageError::Bug(format!("{} panicked: {error}", self.ids[running.at]));
                    let record = self.driver(running.at).broken(bug);
                    self.ended(running.at, record);
                }
            }
        }
    }

    fn ended(&mut self, at: usize, record: StageRecord) {
        let how = match record.outcome {
            OutcomeKind::Passed => {
                self.shared.passed(self.ids[at].clone(), record.facts.clone());
                Ended::Passed
            }
            OutcomeKind::Skipped => Ended::Skipped,
            OutcomeKind::Rejected | OutcomeKind::Broke | OutcomeKind::TimedOut | OutcomeKind::Cancelled => {
                Ended::Failed
            }
        };
        self.schedule.ended(at, how);
        self.shared.send(Event::StageFinished { record: Box::new(record.clone()) });
        self.records.push(record);
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut().filter(|running| running.slow_at <= now) {
            running.slow_at = now + SLOW;
            let node = self.ids[running.at].clone();
            self.shared.send(Event::Slow { node, elapsed_ms: millis(now - running.since) });
        }
        self.keep().await;
    }

    async fn keep(&self) {
        if self.shared.has_pending() {
            let shared = Arc::clone(&self.shared);
            // What could not be kept is made again by the next run; that is all.
            let _ = tokio::task::spawn_blocking(move || shared.keep_pending()).await;
        }
    }

    async fn stop(&mut self) {
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.joined(joined);
        }
        for at in self.schedule.not_started() {
            let record = self.driver(at).broken(StageError::Cancelled);
            self.ended(at, record);
        }
    }

    async fn finish(self, started: jiff::Timestamp) -> RunReport {
        let keep_rest = async {
            self.shared.save_stamps();
            self.shared.keep_timings(&self.records);
            self.shared.keep_history();
        };
        // Both write many small files, and the first one does so in a thread of its own.
        tokio::join!(self.keep(), keep_rest);
        let code = ExitCode::worst(self.records.iter().map(|record| ExitCode::of(record.exit_code)));
        let run = RunInfo {
            id: self.shared.setup.run_id.clone(),
            command: self.shared.setup.command.clone(),
            started: started.to_string(),
            duration_ms: millis(self.began.elapsed()),
            outcome: outcome_word(code),
            exit_code: code.number(),
        };
        self.shared.send(Event::RunFinished { run: run.clone() });
        RunReport { schema: SCHEMA, run, stages: self.records, releases: Vec::new() }
    }
}
