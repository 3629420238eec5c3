//! A GitHub workflow as data, as much of it as is used here, and how it is written as YAML.
//!
//! Every string is written in double quotes unless it is plainly safe without, so that no value can turn into another type.

use std::fmt::Write as _;

/// A workflow.
#[derive(Debug)]
pub(super) struct Workflow {
    /// Why it is there; comment lines at the top.
    pub(super) comment: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// Its trigger, as YAML lines.
    pub(super) on: &'static [&'static str],
    /// Runs with the same group replace each other.
    pub(super) concurrency: Concurrency,
    /// Its jobs, in order.
    pub(super) jobs: Vec<Job>,
}

/// Which runs exclude each other.
#[derive(Debug)]
pub(super) struct Concurrency {
    /// The group.
    pub(super) group: &'static str,
    /// Whether a newer run stops an older one.
    pub(super) cancel: bool,
}

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    /// Its key and its name.
    pub(super) id: &'static str,
    /// How long it may take, in minutes.
    pub(super) minutes: u32,
    /// What its token may do, each with the reason.
    pub(super) permissions: Vec<(&'static str, &'static str, &'static str)>,
    /// Its steps, in order.
    pub(super) steps: Vec<Step>,
}

/// A step.
#[derive(Debug)]
pub(super) struct Step {
    /// Its name.
    pub(super) name: &'static str,
    /// Its condition.
    pub(super) condition: Option<&'static str>,
    /// Variables.
    pub(super) env: Vec<(&'static str, &'static str)>,
    /// What it does.
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    /// Commands, one a line.
    Run(Vec<&'static str>),
    /// An action of GitHub's own.
    Uses {
        /// `actions/name`.
        action: &'static str,
        /// The commit.
        commit: &'static str,
        /// The version that the commit has.
        version: &'static str,
        /// Its inputs; a value of several lines is a list.
        with: Vec<(&'static str, Vec<&'static str>)>,
    },
}

impl Workflow {
    /// The file.
    pub(super) fn to_yaml(&self) -> String {
        let mut out = String::new();
        for line in self.comment.lines() {
            put(&mut out, 0, &format!("# {line}"));
        }
        put(&mut out, 0, &format!("name: {}", scalar(self.name)));
        put(&mut out, 0, "on:");
        for line in self.on {
            put(&mut out, 1, line);
        }
        put(&mut out, 0, "permissions: {}");
        put(&mut out, 0, "concurrency:");
        put(&mut out, 1, &format!("group: {}", scalar(self.concurrency.group)));
        put(&mut out, 1, &format!("cancel-in-progress: {}", self.concurrency.cancel));
        put(&mut out, 0, "jobs:");
        for job in &self.jobs {
            job.write(&mut out);
        }
        out
    }
}

impl Job {
    fn write(&self, out: &mut String) {
        put(out, 1, &format!("{}:", self.id));
        put(out, 2, &format!("name: {}", scalar(self.id)));
        put(out, 2, "runs-on: ubuntu-24.04");
        put(out, 2, &format!("timeout-minutes: {}", self.minutes));
        put(out, 2, "permissions:");
        for (scope, access, reason) in &self.permissions {
            put(out, 3, &format!("{scope}: {access} # {reason}"));
        }
        put(out, 2, "steps:");
        for step in &self.steps {
            step.write(out);
        }
    }
}

impl Step {
    fn write(&self, out: &mut String) {
        put(out, 3, &format!("- name: {}", scalar(self.name)));
        if let Some(condition) = self.condition {
            put(out, 4, &format!("if: {}", scalar(condition)));
        }
        if !self.env.is_empty() {
            put(out, 4, "env:");
            for (name, value) in &self.env {
                put(out, 5, &format!("{name}: {}", scalar(value)));
            }
        }
        match &self.action {
            Action::Run(commands) => match commands.as_slice() {
                [command] => put(out, 4, &format!("run: {command}")),
                several => {
                    put(out, 4, "run: |");
                    for command in several {
                        put(out, 5, command);
                    }
                }
            },
            Action::Uses { action, commit, version, with } => {
                put(out, 4, &format!("uses: {action}@{commit} # {version}"));
                put(out, 4, "with:");
                for (name, values) in with {
                    match values.as_slice() {
                        [value] => put(out, 5, &format!("{name}: {}", scalar(value))),
                        several => {
                            put(out, 5, &format!("{name}: |"));
                            for value in several {
                                put(out, 6, value);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn put(out: &mut String, depth: usize, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{line}", "", indent = depth * 2);
}

/// A string as a YAML scalar.
fn scalar(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | ' ');
    let plain =
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(word) && !text.ends_with(' ');
    let keyword = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if plain && !keyword.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn a_string_stays_a_string() {
        for (text, written) in [
            ("Fetch the commit", "Fetch the commit"),
            ("true", "\"true\""),
            ("1", "\"1\""),
            ("${{ github.sha }}", "\"${{ github.sha }}\""),
            ("a: b", "\"a: b\""),
            ("say \"x\\y\"\n", "\"say \\\"x\\\\y\\\"\\n\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }
}
