//! No secret leaves the service: not in a reply, a metric, a log line or an error, in no encoding, at no level.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;

use app::secret::MAX_BYTES;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::app;
use crate::volume::Volume;
use crate::wire::{connect, get, read_to_close, until};

/// What each content of the file is recognized by. With characters that every encoding changes.
const MARKERS: [&str; 4] = ["Zq7+first/\"=?&9", "Zq7+second/\"=?&9", "Zq7+broken/\"=?&9", "Zq7+large/\"=?&9"];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The characters of base64 that depend on `secret` alone, when `before` bytes precede it.
fn base64(secret: &str, before: usize) -> String {
    let bits: Vec<bool> =
        secret.bytes().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    // A character has six bits: skip those that it shares with what precedes.
    let shared = (6 - before * 8 % 6) % 6;
    let characters = bits[shared..].chunks_exact(6);
    characters
        .map(|six| char::from(BASE64[six.iter().fold(0, |sum, &bit| sum << 1 | usize::from(bit))]))
        .collect()
}

fn each_byte(secret: &str, write: impl Fn(u8) -> String) -> String {
    secret.bytes().map(write).collect()
}

/// The forms in which a secret gets into texts, by name.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let mut forms = vec![
        ("raw", secret.to_owned()),
        ("escaped", secret.escape_debug().to_string()),
        ("escaped twice", secret.escape_debug().to_string().escape_debug().to_string()),
        ("hex", each_byte(secret, |byte| format!("{byte:02x}"))),
        ("HEX", each_byte(secret, |byte| format!("{byte:02X}"))),
        ("percent", each_byte(secret, |byte| format!("%{byte:02X}"))),
        (
            "percent where needed",
            each_byte(secret, |byte| match byte {
                b if b.is_ascii_alphanumeric() => char::from(b).into(),
                b => format!("%{b:02X}"),
            }),
        ),
        ("markup", secret.replace('&', "&amp;").replace('"', "&quot;")),
        ("numbers", each_byte(secret, |byte| format!("{byte}, "))),
    ];
    for (name, before) in [("base64", 0), ("base64 behind one", 1), ("base64 behind two", 2)] {
        let text = base64(secret, before);
        forms.push((name, text.replace('+', "-").replace('/', "_")));
        forms.push((name, text));
    }
    forms
}

/// In which forms `secret` is found in `text`.
fn traces(text: &str, secret: &str) -> Vec<&'static str> {
    forms(secret).iter().filter(|(_, form)| text.contains(form.as_str())).map(|(name, _)| *name).collect()
}

#[test]
fn a_secret_in_any_form_would_be_found() {
    let secret = MARKERS[0];
    let whole = [
        r#"log: Zq7+first/"=?&9."#,
        r#"{"error":"Zq7+first/\"=?&9"}"#,
        "5a71372b66697273742f223d3f2639",
        "5A71372B66697273742F223D3F2639",
        "%5A%71%37%2B%66%69%72%73%74%2F%22%3D%3F%26%39",
        "token=Zq7%2Bfirst%2F%22%3D%3F%269&x",
        "<b>Zq7+first/&quot;=?&amp;9</b>",
        "[90, 113, 55, 43, 102, 105, 114, 115, 116, 47, 34, 61, 63, 38, 57, 10]",
        // By coreutils' base64, of the marker alone, behind "a:" and behind "a", with a line end after it.
        "WnE3K2ZpcnN0LyI9PyY5Cg==",
        "YTpacTcrZmlyc3QvIj0/JjkK",
        "YVpxNytmaXJzdC8iPT8mOQo=",
        "YTpacTcrZmlyc3QvIj0_JjkK",
    ];
    for text in whole {
        assert!(!traces(text, secret).is_empty(), "{text}");
    }
    assert!(traces("nothing of it: Zq7+second first 5a71372b", secret).is_empty());
}

struct Watched {
    child: std::process::Child,
    address: SocketAddr,
    metrics: SocketAddr,
    folder: tempfile::TempDir,
    /// All that was received.
    received: String,
}

impl Watched {
    fn start(level: &str, secrets: &str, port: u16) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| File::create(folder.path().join(name));
        // At most levels the log does not say which ports the kernel chose. A loopback address that belongs
        // to this process alone leaves no choice.
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let on = |port: u16| SocketAddr::from(([127, 128 | high, middle, low], port));
        let (address, metrics) = (on(port), on(port + 1000));
        let vars = [("LOG_LEVEL", level), ("APP_SECRETS_DIR", secrets), ("DRAIN_SETTLE_SECONDS", "0")];
        let mut command = app(&vars);
        command.env("LISTEN_ADDR", address.to_string()).env("METRICS_ADDR", metrics.to_string());
        let child = command.stdout(file("out")?).stderr(file("err")?).spawn()?;
        let started = Self { child, address, metrics, folder, received: String::new() };
        until("listening", || connect(address).is_ok())?;
        Ok(started)
    }

    fn written(&self) -> io::Result<String> {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name));
        Ok(read("out")? + &read("err")?)
    }

    /// Sends `request` and keeps every byte that comes back.
    fn exchange(&mut self, address: SocketAddr, request: &str) -> io::Result<()> {
        let mut stream = connect(address)?;
        stream.write_all(request.as_bytes())?;
        self.received += &read_to_close(&mut stream)?;
        Ok(())
    }

    fn scrape_has(&mut self, metrics: SocketAddr, series: &str) -> bool {
        let Ok(reply) = get(metrics, "/metrics") else { return false };
        self.received += &reply.body;
        reply.body.contains(series)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

/// Every route and every refusal, with the token where it belongs and where it does not.
fn drive(app: &mut Watched, address: SocketAddr, metrics: SocketAddr, token: &str) -> io::Result<()> {
    let close = "host: test\r\nconnection: close\r\n";
    for path in ["/", "/healthz", "/readyz", "/livez", "/version", "/private", "/nowhere"] {
        for method in ["GET", "HEAD", "POST", "ODD"] {
            for scheme in ["Bearer", "Basic"] {
                let request =
                    format!("{method} {path} HTTP/1.1\r\n{close}authorization: {scheme} {token}\r\n\r\n");
                app.exchange(address, &request)?;
            }
        }
    }
    let misplaced = token.replace('"', "%22");
    app.exchange(address, &format!("GET /nowhere/{misplaced}?t={misplaced} HTTP/1.1\r\n{close}\r\n"))?;
    app.exchange(
        address,
        &format!("GET / HTTP/1.1\r\n{close}x-request-id: {token}\r\ntraceparent: {token}\r\n\r\n"),
    )?;
    app.exchange(address, &format!("GET / HTTP/9.9\r\n{close}authorization: {token}\r\n\r\n"))?;
    app.exchange(address, &format!("{token}\r\n\r\n"))?;
    let length = "content-length: 99999999";
    app.exchange(address, &format!("POST / HTTP/1.1\r\n{close}{length}\r\nauthorization: {token}\r\n\r\n"))?;
    app.exchange(metrics, &format!("GET /metrics HTTP/1.1\r\n{close}authorization: Bearer {token}\r\n\r\n"))?;
    app.exchange(metrics, &format!("GET /nowhere HTTP/1.1\r\n{close}authorization: Bearer {token}\r\n\r\n"))
}

#[test]
fn no_reply_no_metric_and_no_log_line_at_any_level_holds_a_secret() {
    // Side by side, because each waits for the folder to be looked at several times.
    std::thread::scope(|scope| {
        for (port, level) in (8080..).zip(["error", "warn", "info", "debug", "trace"]) {
            scope.spawn(move || watch_for_secrets(level, port).unwrap());
        }
    });
}

fn watch_for_secrets(level: &str, port: u16) -> io::Result<()> {
    let [first, second, broken, large] = MARKERS;
    let mut volume = Volume::new(&[("api-token", first.as_bytes())])?;
    let mut app = Watched::start(level, volume.text(), port)?;
    let (address, metrics) = (app.address, app.metrics);
    drive(&mut app, address, metrics, first)?;

    volume.replace(&[("api-token", second.as_bytes())])?;
    until("reloaded", || app.scrape_has(metrics, r#"reloads_total{secret="api-token"} 1"#))?;
    drive(&mut app, address, metrics, second)?;

    let broken = [broken.as_bytes(), b"\xff"].concat();
    for (bad, error) in [(&broken, "not text"), (&large.repeat(MAX_BYTES / 8).into_bytes(), "too large")] {
        volume.replace(&[("api-token", bad)])?;
        // Two more than now: at least one of these attempts has begun after the change.
        let seen = errors(metrics)?;
        until(error, || errors(metrics).is_ok_and(|now| now >= seen + 2))?;
        drive(&mut app, address, metrics, second)?;
    }
    let pid = Pid::from_child(&app.child);
    kill_process(pid, Signal::TERM)?;
    assert_eq!(app.child.wait()?.code(), Some(0));

    let all = app.written()? + &app.received;
    assert!(all.contains(r#"{"authorized":true}"#) && all.contains(r#"age_seconds{secret="api-token"}"#));
    if level == "trace" {
        assert!(all.contains("it is not UTF-8 text") && all.contains("it is larger than"), "{all}");
    }
    for marker in MARKERS {
        assert_eq!(traces(&all, marker), [""; 0], "{marker} at {level}");
    }
    Ok(())
}

fn errors(metrics: SocketAddr) -> io::Result<u64> {
    let text = get(metrics, "/metrics")?.body;
    let series = r#"app_secret_reload_errors_total{secret="api-token"} "#;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.parse().ok());
    value.ok_or_else(|| io::Error::other(text))
}

#[test]
fn refusing_a_secret_at_start_does_not_show_it() -> io::Result<()> {
    let [.., broken, large] = MARKERS;
    let broken = [broken.as_bytes(), b"\xff"].concat();
    for bad in [broken, large.repeat(MAX_BYTES / 8).into_bytes()] {
        let volume = Volume::new(&[("api-token", &bad)])?;
        let output = app(&[("LOG_LEVEL", "trace"), ("APP_SECRETS_DIR", volume.text())]).output()?;
        assert_eq!(output.status.code(), Some(2));
        let all = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(all.contains("api-token"), "{all}");
        for marker in MARKERS {
            assert_eq!(traces(&all, marker), [""; 0], "{all}");
        }
    }
    Ok(())
}
