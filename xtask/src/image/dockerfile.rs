//! The final stage of a Dockerfile, as far as an image without an engine can follow it: everything that only describes the image,
//! and `COPY --from` of files that another stage made. Anything else is refused with its line, never skipped.

use serde::Serialize;
use std::collections::BTreeMap;

/// What the final stage says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FinalStage {
    /// Files copied from other stages: source path there, destination here.
    pub copies: Vec<Copy>,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// User and group.
    pub user: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Exposed ports, as `8080/tcp`.
    pub exposed: Vec<String>,
    /// Health check.
    pub healthcheck: Option<Healthcheck>,
    /// Entry point, exec form.
    pub entrypoint: Vec<String>,
    /// Command, exec form.
    pub cmd: Vec<String>,
    /// Signal that stops it.
    pub stop_signal: Option<String>,
}

/// One file copied from another stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// The path in the other stage.
    pub source: String,
    /// The path in the image, absolute.
    pub destination: String,
}

/// A health check; durations in nanoseconds, as the image configuration wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Healthcheck {
    /// `CMD` and the arguments.
    pub test: Vec<String>,
    /// Time between checks.
    pub interval: Option<u64>,
    /// Time one check may take.
    pub timeout: Option<u64>,
    /// Time at the start in which failures do not count.
    pub start_period: Option<u64>,
    /// Failures in a row that make the container unhealthy.
    pub retries: Option<u32>,
}

/// Something that the embedded builder cannot follow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Unsupported {
    /// The line, from 1.
    pub line: u32,
    /// What, and what would be right.
    pub why: String,
}

struct Instruction {
    line: u32,
    word: String,
    rest: String,
}

/// Reads the final stage.
pub fn final_stage(text: &str) -> Result<FinalStage, Unsupported> {
    let instructions = instructions(text);
    let from = instructions.iter().rposition(|instruction| instruction.word == "FROM");
    let Some(from) = from else { return Err(Unsupported { line: 1, why: "there is no FROM".to_owned() }) };
    let base = &instructions[from];
    if base.rest.split_whitespace().next() != Some("scratch") {
        let why = format!(
            "the final stage starts from `{}`; without an engine it must be `FROM scratch`",
            base.rest
        );
        return Err(Unsupported { line: base.line, why });
    }
    let mut stage = FinalStage::default();
    for instruction in &instructions[from + 1..] {
        apply(&mut stage, instruction)?;
    }
    Ok(stage)
}

/// Joins continued lines, drops comments and blank lines.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let (start, mut joined) = open.take().unwrap_or((number, String::new()));
        if let Some(continued) = trimmed.strip_suffix('\\') {
            joined.push_str(continued.trim_end());
            joined.push(' ');
            open = Some((start, joined));
        } else {
            joined.push_str(trimmed);
            instructions.push(split(start, &joined));
        }
    }
    instructions.extend(open.map(|(start, joined)| split(start, &joined)));
    instructions
}

fn split(line: u32, text: &str) -> Instruction {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    Instruction { line, word: word.to_ascii_uppercase(), rest: rest.trim().to_owned() }
}

fn apply(stage: &mut FinalStage, instruction: &Instruction) -> Result<(), Unsupported> {
    let refuse = |why: String| Unsupported { line: instruction.line, why };
    let rest = instruction.rest.as_str();
    if rest.contains('$') {
        let why = format!("`{} {rest}`: variables in the final stage need an engine", instruction.word);
        return Err(refuse(why));
    }
    match instruction.word.as_str() {
        "COPY" => stage.copies.push(copy(rest).map_err(refuse)?),
        "ENV" => stage.env.extend(pairs(rest).map_err(refuse)?),
        "LABEL" => stage.labels.extend(pairs(rest).map_err(refuse)?),
        "USER" => stage.user = Some(rest.to_owned()),
        "WORKDIR" => stage.workdir = Some(rest.to_owned()),
        "EXPOSE" => {
            let ports = rest.split_whitespace();
            stage.exposed.extend(
                ports.map(|port| if port.contains('/') { port.into() } else { format!("{port}/tcp") }),
            );
        }
        "HEALTHCHECK" => stage.healthcheck = Some(healthcheck(rest).map_err(refuse)?),
        "ENTRYPOINT" => stage.entrypoint = exec_form(rest).map_err(refuse)?,
        "CMD" => stage.cmd = exec_form(rest).map_err(refuse)?,
        "STOPSIGNAL" => stage.stop_signal = Some(rest.to_owned()),
        other => return Err(refuse(format!("`{other}` in the final stage needs an engine"))),
    }
    Ok(())
}

fn copy(rest: &str) -> Result<Copy, String> {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let from_stage = words.first().is_some_and(|word| word.starts_with("--from="));
    if !from_stage {
        return Err(
            "`COPY` from the build context into the final stage needs an engine; copy it from a stage"
                .to_owned(),
        );
    }
    words.remove(0);
    match words.as_slice() {
        [source, destination] if !source.starts_with("--") && destination.starts_with('/') => {
            let destination = if destination.ends_with('/') {
                let name = source.rsplit('/').next().unwrap_or(source);
                format!("{destination}{name}")
            } else {
                (*destination).to_owned()
            };
            Ok(Copy { source: (*source).to_owned(), destination })
        }
        _ => Err(
            "without an engine, `COPY --from` takes one file and one absolute destination, and no other flag"
                .to_owned(),
        ),
    }
}

/// `a=b "c d"="e f"` into pairs. The old form `ENV a b` is not followed.
fn pairs(rest: &str) -> Result<Vec<(String, String)>, String> {
    words(rest)?
        .into_iter()
        .map(|word| {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Words separated by blanks, with double and single quotes and backslashes as Dockerfiles know them.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

fn exec_form(rest: &str) -> Result<Vec<String>, String> {
    let why = || {
        format!(
            "`{rest}` is not in exec form: a JSON list of strings; the shell form needs a shell in the image"
        )
    };
    let list: Vec<String> = serde_json::from_str(rest).map_err(|_| why())?;
    if list.is_empty() { Err(why()) } else { Ok(list) }
}

fn healthcheck(rest: &str) -> Result<Healthcheck, String> {
    let mut check =
        Healthcheck { test: Vec::new(), interval: None, timeout: None, start_period: None, retries: None };
    let mut rest = rest.trim();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).ok_or("a health check without a command")?;
        let (name, value) = flag.split_once('=').ok_or_else(|| format!("`--{flag}` has no value"))?;
        match name {
            "interval" => check.interval = Some(nanoseconds(value)?),
            "timeout" => check.timeout = Some(nanoseconds(value)?),
            "start-period" => check.start_period = Some(nanoseconds(value)?),
            "retries" => {
                check.retries = Some(value.parse().map_err(|_| format!("`{value}` is not a number"))?);
            }
            other => return Err(format!("`--{other}` of HEALTHCHECK is not known")),
        }
        rest = after.trim_start();
    }
    if rest == "NONE" {
        check.test = vec!["NONE".to_owned()];
        return Ok(check);
    }
    let command = rest.strip_prefix("CMD").ok_or("a health check is `CMD [..]` or `NONE`")?;
    check.test = std::iter::once("CMD".to_owned()).chain(exec_form(command.trim())?).collect();
    Ok(check)
}

/// `10s`, `1m30s`, `500ms` in nanoseconds.
fn nanoseconds(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a duration such as 10s");
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let factor: u64 = match &rest[digits..unit_end] {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        total = number.checked_mul(factor).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
# comment
FROM rust@sha256:00 AS build
RUN make \
    # a comment between
    all
FROM scratch
COPY --from=build /out/app /usr/bin/
ENV A=1 B="two words" \
    C='x'
LABEL a.b="c \" d" e=f
USER 65532:65532
WORKDIR /data
EXPOSE 8080 53/udp
HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=5s --retries=3 CMD ["/app", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/app"]
CMD ["serve"]
"#;

    #[test]
    fn everything_that_describes_an_image_is_read() {
        let stage = final_stage(WHOLE).unwrap();
        assert_eq!(
            stage,
            FinalStage {
                copies: vec![Copy { source: "/out/app".into(), destination: "/usr/bin/app".into() }],
                env: vec![
                    ("A".into(), "1".into()),
                    ("B".into(), "two words".into()),
                    ("C".into(), "x".into())
                ],
                labels: [("a.b".into(), "c \" d".into()), ("e".into(), "f".into())].into(),
                user: Some("65532:65532".into()),
                workdir: Some("/data".into()),
                exposed: vec!["8080/tcp".into(), "53/udp".into()],
                healthcheck: Some(Healthcheck {
                    test: vec!["CMD".into(), "/app".into(), "healthcheck".into()],
                    interval: Some(90_000_000_000),
                    timeout: Some(500_000_000),
                    start_period: Some(5_000_000_000),
                    retries: Some(3),
                }),
                entrypoint: vec!["/usr/bin/app".into()],
                cmd: vec!["serve".into()],
                stop_signal: Some("SIGTERM".into()),
            }
        );
    }

    #[test]
    fn what_needs_an_engine_is_refused_with_its_line() {
        let table = [
            ("FROM debian\n", 1, "FROM scratch"),
            ("FROM scratch\nRUN x\n", 2, "`RUN`"),
            ("FROM scratch\n\nCOPY a /a\n", 3, "build context"),
            ("FROM scratch\nCOPY --from=b --chmod=755 /a /a\n", 2, "no other flag"),
            ("FROM scratch\nCOPY --from=b /a /b /c\n", 2, "one file"),
            ("FROM scratch\nENTRYPOINT /app\n", 2, "exec form"),
            ("FROM scratch\nARG V\nLABEL v=$V\n", 2, "`ARG`"),
            ("FROM scratch\nLABEL v=$V\n", 2, "variables"),
            ("FROM scratch\nENV A=\"open\n", 2, "quote"),
            ("FROM scratch\nHEALTHCHECK --interval=ten CMD [\"/a\"]\n", 2, "duration"),
            ("", 1, "no FROM"),
        ];
        for (text, line, words) in table {
            let error = final_stage(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.why.contains(words), "{text}: {}", error.why);
        }
    }
}
