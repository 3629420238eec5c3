//! Which node starts next: the one with the longest chain behind it, as long as the machine has room. Pure: it is told what ended
//! and says what starts, and never looks at a clock.

use crate::engine::graph::Graph;
use crate::outcome::Why;
use crate::stage::Weight;

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Passed,
    /// Ended without passing.
    Ended,
}

/// How a node ended, as far as the schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It passed.
    Passed,
    /// It was skipped without anything being wrong.
    Skipped,
    /// It failed in any way.
    Failed,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Start this node.
    Start(usize),
    /// Report this node as skipped; tell the schedule so by [`Schedule::ended`].
    Skip(usize, Why),
    /// Wait until something that runs has ended.
    Wait,
    /// Every node has ended.
    Done,
}

/// The state of a run's schedule.
#[derive(Debug)]
pub struct Schedule {
    graph: Graph,
    /// Indices that have not started, the longest remaining chain first.
    waiting: Vec<usize>,
    weights: Vec<Weight>,
    /// What may not start yet, because something that it needs is still fetched.
    held: Vec<bool>,
    states: Vec<State>,
    capacity: Capacity,
    /// What runs now, kept as a sum: asked for each waiting node at each step.
    load: Load,
    failed: bool,
    keep_going: bool,
}

#[derive(Debug, Default)]
struct Load {
    nodes: usize,
    cores: u32,
    memory_mib: u32,
}

impl Schedule {
    /// A schedule of `graph` with expected durations, weights, and what is held until [`Schedule::release`]; all by index.
    pub fn new(
        graph: Graph,
        durations: &[u64],
        weights: Vec<Weight>,
        held: Vec<bool>,
        capacity: Capacity,
        keep_going: bool,
    ) -> Schedule {
        let remaining = graph.remaining(durations);
        let mut waiting: Vec<usize> = (0..graph.len()).collect();
        waiting.sort_by_key(|at| (std::cmp::Reverse(remaining[*at]), *at));
        let states = vec![State::Waiting; graph.len()];
        Schedule {
            graph,
            waiting,
            weights,
            held,
            states,
            capacity,
            load: Load::default(),
            failed: false,
            keep_going,
        }
    }

    /// What to do now. After [`Next::Start`] the node counts as running.
    pub fn step(&mut self) -> Next {
        if self.load.nodes > 0 && self.load.cores >= self.capacity.cores {
            // Whatever is next has no room, and nothing has ended that others could be skipped for.
            return Next::Wait;
        }
        for position in 0..self.waiting.len() {
            let at = self.waiting[position];
            if let Some(before) = self.blocked_by(at) {
                return Next::Skip(at, Why::Upstream { node: self.graph.nodes()[before].clone() });
            }
            if self.failed && !self.keep_going {
                return Next::Skip(at, Why::FailFast);
            }
            if !self.held[at] && self.is_ready(at) && self.has_room(at) {
                self.waiting.remove(position);
                self.states[at] = State::Running;
                self.load.nodes += 1;
                self.load.cores += self.weights[at].cores;
                self.load.memory_mib += self.weights[at].memory_mib;
                return Next::Start(at);
            }
        }
        if self.waiting.is_empty() && self.load.nodes == 0 { Next::Done } else { Next::Wait }
    }

    /// Tells that a node has ended, or will not start.
    pub fn ended(&mut self, at: usize, how: Ended) {
        if self.states[at] == State::Running {
            self.load.nodes -= 1;
            self.load.cores -= self.weights[at].cores;
            self.load.memory_mib -= self.weights[at].memory_mib;
        } else {
            self.waiting.retain(|waiting| *waiting != at);
        }
        self.failed |= how == Ended::Failed;
        self.states[at] = if how == Ended::Passed { State::Passed } else { State::Ended };
    }

    /// Lets a node start that was held.
    pub fn release(&mut self, at: usize) {
        self.held[at] = false;
    }

    /// Whether a node has neither started nor ended.
    pub fn is_waiting(&self, at: usize) -> bool {
        self.states[at] == State::Waiting
    }

    /// The indices that have not started, for a run that is being stopped.
    pub fn not_started(&self) -> Vec<usize> {
        let mut waiting = self.waiting.clone();
        waiting.sort_unstable();
        waiting
    }

    fn blocked_by(&self, at: usize) -> Option<usize> {
        self.graph.must_pass(at).iter().copied().find(|before| self.states[*before] == State::Ended)
    }

    fn is_ready(&self, at: usize) -> bool {
        self.graph.must_end(at).all(|before| matches!(self.states[before], State::Passed | State::Ended))
    }

    /// A node that wants more than the whole machine runs alone.
    fn has_room(&self, at: usize) -> bool {
        let weight = self.weights[at];
        self.load.nodes == 0
            || (self.load.cores + weight.cores <= self.capacity.cores
                && self.load.memory_mib + weight.memory_mib <= self.capacity.memory_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::graph::tests::edges;
    use crate::ids::StageId;

    const TWO_CORES: Capacity = Capacity { cores: 2, memory_mib: 1024 };

    fn schedule(keep_going: bool, weights: [Weight; 4]) -> Schedule {
        // 0 lint, 1 build, 2 scan after build, 3 iac when chart (not in the graph) and build have ended.
        let graph = Graph::new(&edges(&[
            (StageId::Lint, &[], &[]),
            (StageId::Build, &[], &[]),
            (StageId::Scan, &[StageId::Build], &[]),
            (StageId::Iac, &[], &[StageId::Build]),
        ]))
        .unwrap();
        Schedule::new(graph, &[5, 10, 20, 1], weights.to_vec(), vec![false; 4], TWO_CORES, keep_going)
    }

    const LIGHT: Weight = Weight { cores: 1, memory_mib: 100 };

    #[test]
    fn the_longest_chain_starts_first_and_the_cores_are_filled() {
        let mut schedule = schedule(false, [LIGHT; 4]);
        assert_eq!(schedule.step(), Next::Start(1));
        assert_eq!(schedule.step(), Next::Start(0));
        assert_eq!(schedule.step(), Next::Wait);
        schedule.ended(1, Ended::Passed);
        assert_eq!(schedule.step(), Next::Start(2));
        schedule.ended(0, Ended::Passed);
        assert_eq!(schedule.step(), Next::Start(3));
        schedule.ended(2, Ended::Passed);
        schedule.ended(3, Ended::Passed);
        assert_eq!(schedule.step(), Next::Done);
    }

    #[test]
    fn what_is_held_lets_the_others_go_first_and_starts_when_it_is_released() {
        let mut schedule = schedule(false, [LIGHT; 4]);
        schedule.held[1] = true;
        assert_eq!(schedule.step(), Next::Start(0));
        assert_eq!(schedule.step(), Next::Wait, "what needs a held node waits with it");
        schedule.ended(0, Ended::Passed);
        assert_eq!(schedule.step(), Next::Wait, "a run with held nodes is not done");
        schedule.release(1);
        assert_eq!(schedule.step(), Next::Start(1));
    }

    #[test]
    fn memory_is_a_limit_too_and_a_node_larger_than_the_machine_runs_alone() {
        let huge = Weight { cores: 1, memory_mib: 9999 };
        let mut schedule = schedule(false, [LIGHT, huge, LIGHT, LIGHT]);
        assert_eq!(schedule.step(), Next::Start(1));
        assert_eq!(schedule.step(), Next::Wait);
        schedule.ended(1, Ended::Passed);
        assert_eq!(schedule.step(), Next::Start(2));
    }

    #[test]
    fn a_failure_stops_what_has_not_started_unless_the_run_keeps_going() {
        let mut fast = schedule(false, [LIGHT; 4]);
        assert_eq!(fast.step(), Next::Start(1));
        fast.ended(1, Ended::Failed);
        let upstream = Why::Upstream { node: crate::engine::graph::tests::node(StageId::Build) };
        assert_eq!(fast.step(), Next::Skip(2, upstream.clone()));
        fast.ended(2, Ended::Skipped);
        assert_eq!(fast.step(), Next::Skip(0, Why::FailFast));

        let mut going = schedule(true, [LIGHT; 4]);
        assert_eq!(going.step(), Next::Start(1));
        going.ended(1, Ended::Failed);
        assert_eq!(going.step(), Next::Skip(2, upstream));
        going.ended(2, Ended::Skipped);
        assert_eq!(going.step(), Next::Start(0));
        assert_eq!(going.step(), Next::Start(3), "what only prefers a node runs when that has failed");
    }

    #[test]
    fn a_node_that_was_left_out_does_not_fail_the_run_but_blocks_what_needs_it() {
        let mut schedule = schedule(false, [LIGHT; 4]);
        assert_eq!(schedule.step(), Next::Start(1));
        schedule.ended(1, Ended::Skipped);
        assert!(matches!(schedule.step(), Next::Skip(2, Why::Upstream { .. })));
        schedule.ended(2, Ended::Skipped);
        assert_eq!(schedule.step(), Next::Start(0));
        assert_eq!(schedule.step(), Next::Start(3));
    }
}
