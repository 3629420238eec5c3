//! What moves on a terminal while a run lives: one line for the whole, one for each stage that runs. On standard error only, and
//! gone when the run is over.

use super::node;
use super::pulse::percent;
use super::sink::{Sink, Terminal};
use super::text::{clean, cut, duration};
use crate::event::Event;
use crate::ids::NodeId;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a line moves by itself. Not faster: the eye needs no more, and each bar has a thread of its own.
const TICK: Duration = Duration::from_millis(200);
/// More of a line than any terminal shows; the rest is not worth cleaning.
const SAID: usize = 240;

/// The moving lines.
pub(super) struct Bars {
    multi: MultiProgress,
    whole: Option<ProgressBar>,
    running: BTreeMap<Option<NodeId>, ProgressBar>,
    stages: u64,
    ended: u64,
    about: String,
}

impl Bars {
    /// Bars on the terminal that this sink is.
    pub(super) fn new(stderr: Sink) -> Self {
        Bars::on_target(ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::new(stderr)), 20))
    }

    fn on_target(target: ProgressDrawTarget) -> Self {
        Bars {
            multi: MultiProgress::with_draw_target(target),
            whole: None,
            running: BTreeMap::new(),
            stages: 0,
            ended: 0,
            about: String::new(),
        }
    }

    /// Shows what an event changes.
    pub(super) fn on(&mut self, event: &Event) {
        match event {
            Event::RunStarted { nodes, expected_ms, .. } => {
                self.stages = nodes.len() as u64;
                self.about = expected_ms.map(|ms| format!("of about {}", duration(ms))).unwrap_or_default();
            }
            Event::StageStarted { node, attempt } => {
                // Tools are fetched before the stages that need them; their line returns if there are more to fetch.
                self.end(&None);
                let bar = self.bar(&Some(node.clone()));
                bar.set_message(if *attempt > 1 { format!("try {attempt}") } else { String::new() });
            }
            Event::Line { node, text, .. } => self.say(&Some(node.clone()), text),
            Event::Progress { node, doing, done, total } => {
                self.say(node, &format!("{}{}", cut(doing, SAID), percent(*done, *total)));
            }
            Event::Retrying { node, transient, after_ms, .. } => {
                self.say(
                    &Some(node.clone()),
                    &format!("{transient}; trying again in {}", duration(*after_ms)),
                );
            }
            Event::CancelRequested { by } => {
                self.about = format!("stopping ({by})");
                self.count();
            }
            Event::StageFinished { record } => {
                self.ended += 1;
                self.end(&Some(node(record)));
                self.count();
            }
            Event::RunFinished { .. } => self.clear(),
            // The clock beside each line says it already.
            Event::Slow { .. } => {}
        }
    }

    /// Writes lasting text above the moving lines.
    pub(super) fn above(&self, to: &Sink, text: &str) {
        if self.whole.is_some() && !text.is_empty() {
            self.multi.suspend(|| to.put(text));
        } else {
            to.put(text);
        }
    }

    /// The line of a stage, or of the tools. The first one brings the line of the whole: a run in which everything comes from the
    /// cache draws nothing and starts no thread.
    fn bar(&mut self, node: &Option<NodeId>) -> &ProgressBar {
        let whole = self.whole.get_or_insert_with(|| {
            let bar = self.multi.add(ProgressBar::new(self.stages));
            bar.set_style(style("{spinner} {pos} of {len} stages ended, {elapsed} {wide_msg}"));
            bar.set_position(self.ended);
            bar.set_message(self.about.clone());
            bar.enable_steady_tick(TICK);
            bar
        });
        let multi = &self.multi;
        self.running.entry(node.clone()).or_insert_with(|| {
            let name = node.as_ref().map_or_else(|| "tools".to_owned(), NodeId::to_string);
            let bar = multi.insert_before(whole, ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix:<24} {elapsed:>5}  {wide_msg}"));
            bar.set_prefix(name);
            bar.enable_steady_tick(TICK);
            bar
        })
    }

    fn say(&mut self, node: &Option<NodeId>, text: &str) {
        // A line may come after its stage has ended; it must not bring the stage's bar back.
        if node.is_none() || self.running.contains_key(node) {
            let text = clean(&cut(text, SAID));
            if !text.is_empty() {
                self.bar(node).set_message(text);
            }
        }
    }

    fn count(&self) {
        if let Some(whole) = &self.whole {
            whole.set_position(self.ended);
            whole.set_message(self.about.clone());
        }
    }

    fn end(&mut self, node: &Option<NodeId>) {
        if let Some(bar) = self.running.remove(node) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.running) {
            bar.finish_and_clear();
        }
        if let Some(whole) = self.whole.take() {
            whole.finish_and_clear();
        }
    }
}

/// Without colours, so that there is nothing to switch off; in ASCII, so that every terminal has the glyphs.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("|/-\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stream;
    use crate::ids::StageId;
    use crate::report::{OutcomeKind, RunInfo, StageRecord};
    use indicatif::TermLike;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal of 80 columns that keeps what is on it, and all that was ever written.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<Cells>>);

    #[derive(Debug, Default)]
    struct Cells {
        rows: Vec<String>,
        row: usize,
        column: usize,
        ever: String,
    }

    impl Screen {
        fn with<T>(&self, change: impl FnOnce(&mut Cells) -> T) -> T {
            change(&mut self.0.lock().unwrap())
        }

        fn ever(&self) -> String {
            self.with(|cells| cells.ever.clone())
        }

        fn now(&self) -> String {
            self.with(|cells| cells.rows.iter().map(|row| format!("{}\n", row.trim_end())).collect())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, n: usize) -> io::Result<()> {
            self.with(|cells| cells.row -= n);
            Ok(())
        }
        fn move_cursor_down(&self, n: usize) -> io::Result<()> {
            self.with(|cells| cells.row += n);
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.with(|cells| (cells.row, cells.column) = (cells.row + 1, 0));
            Ok(())
        }
        /// A full row stays current until the next character comes, as on a real terminal.
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.with(|cells| {
                cells.ever.push_str(text);
                for c in text.chars() {
                    if cells.column == 80 {
                        (cells.row, cells.column) = (cells.row + 1, 0);
                    }
                    while cells.rows.len() <= cells.row {
                        cells.rows.push(String::new());
                    }
                    cells.rows[cells.row].push(c);
                    cells.column += 1;
                }
            });
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.with(|cells| {
                cells.column = 0;
                if let Some(row) = cells.rows.get_mut(cells.row) {
                    row.clear();
                }
            });
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bars() -> (Screen, Bars) {
        let screen = Screen::default();
        (screen.clone(), Bars::on_target(ProgressDrawTarget::term_like(Box::new(screen))))
    }

    fn lint() -> NodeId {
        NodeId::repository(StageId::Lint)
    }

    fn started() -> Event {
        let nodes = vec![lint(), NodeId::repository(StageId::Iac)];
        Event::RunStarted { schema: 1, run: "r".into(), command: "c".into(), nodes, expected_ms: Some(2000) }
    }

    fn finished() -> Event {
        let record = StageRecord {
            id: StageId::Lint,
            service: None,
            outcome: OutcomeKind::Passed,
            cached: false,
            key: None,
            duration_ms: 1,
            attempts: 1,
            facts: serde_json::Value::Null,
            findings: Vec::new(),
            tools: Vec::new(),
            log: None,
            skipped: None,
            error: None,
            tail: Vec::new(),
            notes: Vec::new(),
            exit_code: 0,
        };
        Event::StageFinished { record: Box::new(record) }
    }

    fn ended() -> Event {
        let run = RunInfo {
            id: "r".into(),
            command: "c".into(),
            started: "2026-11-21T00:00:00Z".into(),
            duration_ms: 1,
            outcome: "passed".into(),
            exit_code: 0,
        };
        Event::RunFinished { run }
    }

    fn line(text: &str) -> Event {
        Event::Line { node: lint(), stream: Stream::Stdout, text: text.into() }
    }

    #[test]
    fn what_runs_is_on_the_screen_until_it_ends() {
        let (screen, mut bars) = bars();
        bars.on(&started());
        bars.on(&Event::Progress { node: None, doing: "downloading syft".into(), done: 1, total: Some(4) });
        assert!(screen.now().contains("downloading syft  25 %"), "{}", screen.now());
        bars.on(&Event::StageStarted { node: lint(), attempt: 1 });
        bars.on(&line("Checking hello"));
        assert!(!screen.now().contains("syft"), "{}", screen.now());
        for part in ["lint ", "Checking hello", "0 of 2 stages ended", "of about 2.0 s"] {
            assert!(screen.now().contains(part), "{part}: {}", screen.now());
        }
        bars.on(&finished());
        bars.on(&line("too late"));
        assert!(screen.now().contains("1 of 2 stages ended"), "{}", screen.now());
        assert!(!screen.now().contains("lint"), "{}", screen.now());
        bars.on(&ended());
        assert_eq!(screen.now().trim(), "");
        assert!(!screen.ever().contains("too late"));
    }

    #[test]
    fn a_run_from_the_cache_draws_nothing() {
        let (screen, mut bars) = bars();
        for event in [started(), finished(), ended()] {
            bars.on(&event);
        }
        assert_eq!(screen.ever(), "");
    }

    #[test]
    fn wide_characters_do_not_push_a_line_over_the_edge() {
        let (screen, mut bars) = bars();
        bars.on(&started());
        bars.on(&Event::StageStarted { node: lint(), attempt: 1 });
        bars.on(&line(&"日".repeat(100)));
        let shown = screen.now().matches('日').count();
        assert!((10..=40).contains(&shown), "{shown}: {}", screen.now());
    }

    #[test]
    fn a_child_cannot_draw_on_the_screen_itself() {
        let (screen, mut bars) = bars();
        bars.on(&started());
        bars.on(&Event::StageStarted { node: lint(), attempt: 1 });
        bars.on(&line("\u{1b}[2J\u{1b}]0;title\u{7}\u{8}\rshown"));
        assert!(screen.now().contains("shown"), "{}", screen.now());
        assert!(!screen.ever().contains(['\u{7}', '\u{8}', '\r']) && !screen.ever().contains("[2J"));
    }
}
