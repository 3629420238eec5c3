//! Downloads, by the system's curl: it knows the machine's proxies and certificates, and costs this program no TLS of its own.
//!
//! A download goes to a `.part` file that is named by its digest, so that whatever is in it, from whichever run, can be continued. It
//! leaves here only with the digest that is pinned.

use super::failure::Failure;
use super::files;
use super::names::{Hex, Url};
use super::progress::Phase;
use super::work::Work;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long to wait for whom.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Tries in all for one address.
    pub tries: u32,
    /// Before the second try; doubled before each further one, and varied so that many machines do not come back at once.
    pub backoff: Duration,
    /// The longest wait that a server may ask for.
    pub longest_wait: Duration,
    /// For a connection.
    pub connect: Duration,
    /// A connection that brings less than 1 KiB/s for that long is given up. Whole seconds.
    pub stall: Duration,
    /// For a whole download.
    pub download: Duration,
    /// For a build or an installation of packages.
    pub build: Duration,
    /// For a program that is asked for its version: Python tools on a busy machine need long for so little.
    pub probe: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            tries: 4,
            backoff: Duration::from_millis(700),
            longest_wait: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            download: Duration::from_secs(30 * 60),
            build: Duration::from_secs(20 * 60),
            probe: Duration::from_secs(60),
        }
    }
}

/// Hosts that could not be reached at all in this run: asking again for each tool would only cost the user's time.
#[derive(Debug, Default)]
pub(super) struct DeadHosts(Mutex<HashMap<String, String>>);

impl DeadHosts {
    fn why(&self, host: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    fn add(&self, host: &str, why: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), why.to_owned());
    }
}

/// What one run of curl came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The server sent all that it has.
    Whole,
    /// What is there cannot be continued.
    Unresumable,
    /// The host could not be reached at all.
    NoHost,
    /// Another try may mend it.
    Transient,
    /// It will be the same next time.
    Final,
}

/// What an exit code of curl, and the HTTP status if there was one, mean.
fn judge(code: i32, status: Option<u16>) -> Came {
    match (code, status) {
        (0, _) => Came::Whole,
        // 33: the server knows no ranges. 36: it sent another range. 416: it has no more than we have.
        (33 | 36, _) | (22, Some(416)) => Came::Unresumable,
        (22, Some(408 | 425 | 429 | 500 | 502 | 503 | 504)) => Came::Transient,
        // 5, 6: no address. 7: nobody listens, or no route.
        (5..=7, _) => Came::NoHost,
        // A connection that ended early, stalled, or broke in its handshake or frames.
        (16 | 18 | 28 | 35 | 52 | 55 | 56 | 92 | 95 | 96, _) => Came::Transient,
        _ => Came::Final,
    }
}

/// Downloads an address into `part` until its digest is the pinned one, and gives the digest. Only where somebody is about to pin it,
/// nothing is pinned yet.
pub(super) async fn fetch(
    work: &Work<'_>,
    url: &Url,
    pinned: Option<&Hex>,
    part: &Path,
) -> Result<Hex, Failure> {
    if size_of(part).is_some() {
        let found = digest(work, part).await?;
        if pinned == Some(&found) {
            return Ok(found);
        }
    }
    if let Some(why) = work.setup.dead_hosts.why(url.host()) {
        return Err(Failure::failed(format!(
            "not tried, {} could not be reached a moment ago: {why}",
            url.host()
        )));
    }
    let curl = work.need("curl")?;
    let patience = &work.setup.patience;
    let mut tried = 0;
    loop {
        // Anything else than a file, such as a link that somebody put there, must not be written through.
        if size_of(part).is_none() {
            files::remove(part).map_err(Failure::io("cannot remove", part))?;
        }
        let before = size_of(part).unwrap_or(0);
        tried += 1;
        let (came, answer) = transfer(work, &curl, url, part).await?;
        match came {
            Came::Whole => {
                let found = digest(work, part).await?;
                let Some(pinned) = pinned.filter(|pinned| **pinned != found) else {
                    return Ok(found);
                };
                files::remove(part).map_err(Failure::io("cannot remove", part))?;
                // What was continued may have begun as something else; only a download in one piece proves the server wrong.
                if before == 0 {
                    return Err(Failure::refused(format!(
                        "it has the SHA-256 {found}, and tools.lock pins {pinned}"
                    )));
                }
            }
            Came::Unresumable if before > 0 => {
                files::remove(part).map_err(Failure::io("cannot remove", part))?;
            }
            Came::Final | Came::Unresumable => return Err(Failure::failed(answer.why)),
            Came::NoHost | Came::Transient => {
                // An address that does not resolve or answer now may do so in a second, but hardly later in the same run.
                let enough = if came == Came::NoHost { patience.tries.min(2) } else { patience.tries };
                let wait = answer.retry_after.unwrap_or_else(|| backoff(patience.backoff, tried));
                if tried >= enough || wait > patience.longest_wait {
                    if came == Came::NoHost {
                        work.setup.dead_hosts.add(url.host(), &answer.why);
                    }
                    let asked =
                        answer.retry_after.map(|wait| format!("; it asks to wait {} s", wait.as_secs()));
                    let tries = if tried == 1 { "1 try".to_owned() } else { format!("{tried} tries") };
                    return Err(Failure::failed(format!(
                        "{} ({tries}{})",
                        answer.why,
                        asked.unwrap_or_default()
                    )));
                }
                work.progress.line(Phase::Retrying, &answer.why);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = work.cancel.raised() => return Err(Failure::cancelled()),
                }
            }
        }
    }
}

/// `first`, doubled with each try, times something between 0.5 and 1.5.
fn backoff(first: Duration, tried: u32) -> Duration {
    let doubled = first * 2u32.saturating_pow(tried - 1);
    let thousandths = RandomState::new().hash_one(tried) % 1000;
    doubled / 2 + doubled * u32::try_from(thousandths).unwrap_or(500) / 1000
}

struct Answer {
    why: String,
    retry_after: Option<Duration>,
}

/// One run of curl, continuing what is there.
async fn transfer(work: &Work<'_>, curl: &Path, url: &Url, part: &Path) -> Result<(Came, Answer), Failure> {
    let patience = &work.setup.patience;
    let headers = part.with_extension("headers");
    files::remove(&headers).map_err(Failure::io("cannot remove", &headers))?;
    let schemes = if url.is_loopback() { "=http" } else { "=https" };
    let seconds = |time: Duration| time.as_secs().max(1).to_string();
    let mut args: Vec<OsString> = Vec::new();
    // First, because it must be: no ~/.curlrc, which could change anything.
    for arg in ["--disable", "--silent", "--show-error", "--fail", "--location", "--max-redirs", "5"] {
        args.push(arg.into());
    }
    for (name, value) in [
        ("--proto", schemes.to_owned()),
        ("--proto-redir", schemes.to_owned()),
        ("--connect-timeout", seconds(patience.connect)),
        ("--speed-limit", "1024".to_owned()),
        ("--speed-time", seconds(patience.stall)),
        ("--continue-at", "-".to_owned()),
        ("--write-out", "%{http_code}".to_owned()),
    ] {
        args.extend([name.into(), value.into()]);
    }
    args.push("--tlsv1.2".into());
    args.extend(["--dump-header".into(), headers.clone().into(), "--output".into(), part.into()]);
    args.extend(["--url".into(), url.as_str().into()]);

    let folder = part.parent().unwrap_or(Path::new("/"));
    let running = work.spawn(curl, &args, folder, &[], patience.download, |_| {});
    tokio::pin!(running);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = tick.tick() => {
                if let Some(done) = size_of(part) {
                    work.progress.bytes(Phase::Downloading, done, total(&read(&headers)));
                }
            }
        }
    };
    let answered = read(&headers);
    // It only matters while curl runs.
    let _ = files::remove(&headers);
    // If it died or was not done in time, that is not a word of the server's, and trying again would take as long again.
    let ran = ended?;
    let why = complaint(&ran.last_words).to_owned();
    if ran.code == 23 {
        return Err(Failure::failed(format!("cannot write {}: {why}", part.display())));
    }
    let status = ran.stdout.trim().parse::<u16>().ok().filter(|status| *status != 0);
    let retry_after =
        field(&answered, "retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Ok((judge(ran.code, status), Answer { why, retry_after }))
}

/// curl's complaint, without its own number.
fn complaint(said: &str) -> &str {
    let said = said.strip_prefix("curl: ").unwrap_or(said);
    if said.starts_with('(') { said.split_once(") ").map_or(said, |(_, rest)| rest) } else { said }
}

fn size_of(part: &Path) -> Option<u64> {
    fs::symlink_metadata(part).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
}

async fn digest(work: &Work<'_>, part: &Path) -> Result<Hex, Failure> {
    work.progress.phase(Phase::Checking);
    let part: PathBuf = part.to_owned();
    work.blocking(move || files::sha256_of_file(&part).map_err(Failure::io("cannot read", &part))).await
}

fn read(headers: &Path) -> String {
    fs::read(headers).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A field of the last answer in curl's dump of all answers, redirects included.
fn field<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let last = headers.rfind("HTTP/").map_or("", |at| &headers[at..]);
    last.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(field, value)| field.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
}

/// The size of the whole, by the headers of a part of it or of all of it.
fn total(headers: &str) -> Option<u64> {
    match field(headers, "content-range") {
        Some(range) => range.rsplit_once('/')?.1.parse().ok(),
        None => field(headers, "content-length")?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_try_may_mend_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(judge(22, Some(status)), Came::Transient, "{status}");
        }
        for status in [400, 401, 403, 404, 410, 451, 501] {
            assert_eq!(judge(22, Some(status)), Came::Final, "{status}");
        }
        assert_eq!(judge(22, Some(416)), Came::Unresumable);
        assert_eq!(judge(33, Some(200)), Came::Unresumable);
        assert_eq!(judge(6, None), Came::NoHost);
        assert_eq!(judge(18, Some(200)), Came::Transient);
        // 60: the certificate is not trusted. 1: a redirect to another scheme.
        assert_eq!(judge(60, None), Came::Final);
        assert_eq!(judge(1, Some(302)), Came::Final);
    }

    #[test]
    fn the_size_is_that_of_the_whole_file_in_the_last_answer() {
        let redirect = "HTTP/1.1 302 Found\r\nContent-Length: 7\r\nLocation: x\r\n\r\n";
        assert_eq!(total(&format!("{redirect}HTTP/2 200\r\ncontent-length: 1000\r\n\r\n")), Some(1000));
        let part =
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 990-999/1000\r\n\r\n";
        assert_eq!(total(&format!("{redirect}{part}")), Some(1000));
        assert_eq!(total("HTTP/1.1 206\r\nContent-Range: bytes 0-9/*\r\n"), None);
        assert_eq!(total(""), None);
    }

    #[test]
    fn each_wait_is_longer_than_the_one_before_could_have_been_on_average() {
        let first = Duration::from_millis(100);
        for tried in 1..6 {
            let wait = backoff(first, tried);
            let middle = first * 2u32.pow(tried - 1);
            assert!(wait >= middle / 2 && wait <= middle * 3 / 2, "{wait:?} after {tried}");
        }
    }
}
