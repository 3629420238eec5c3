//! What one request, one connection and one stop may cost, through a real socket, in this process.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::http::{Outcome, Server, Setup, ask_held, held_route};
use crate::wire::{Reply, connect, get, read_reply, read_to_close, send, until};
use app::routes::RequestLimits;
use app::server::{ConnectionLimits, Drained};
use axum::Router;
use axum::body::Bytes;
use axum::routing::{get as on_get, post};

#[test]
fn a_body_above_the_limit_is_refused_unread() -> Outcome {
    let server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    let reply = send(&mut stream, "POST /healthz HTTP/1.1\r\nhost: test\r\ncontent-length: 65537\r\n\r\n")?;
    assert_eq!(reply.status, 413);
    Ok(())
}

#[test]
fn a_head_above_the_limit_is_refused() -> Outcome {
    let server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    let request = format!("GET / HTTP/1.1\r\nhost: test\r\nx-padding: {}\r\n\r\n", "x".repeat(20_000));
    // The server stops reading, so the client may see its own writing fail first.
    let reply = send(&mut stream, &request);
    assert!(matches!(reply, Ok(Reply { status: 431, .. }) | Err(_)), "{reply:?}");
    assert_eq!(get(server.address, "/livez")?.status, 200);
    Ok(())
}

#[test]
fn a_head_that_never_ends_is_given_up() -> Outcome {
    let connection = ConnectionLimits { head_time: Duration::from_millis(20), ..ConnectionLimits::default() };
    let server = Setup { connection, ..Setup::default() }.start()?;
    let mut stream = connect(server.address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: te")?;
    assert_eq!(read_to_close(&mut stream)?, "");
    Ok(())
}

#[test]
fn a_handler_that_takes_too_long_is_answered_for() -> Outcome {
    let extra = Router::new().route("/stuck", on_get(std::future::pending::<&str>));
    let request = RequestLimits { time: Duration::from_millis(20), ..RequestLimits::default() };
    let server = Setup { extra, request, ..Setup::default() }.start()?;
    assert_eq!(get(server.address, "/stuck")?.status, 503);
    server
        .wait_for(r#"http_request_duration_seconds_count{method="GET",route="/stuck",status="503"}"#, 1.0)?;
    Ok(())
}

#[test]
fn a_panic_costs_one_request_and_tells_the_client_nothing() -> Outcome {
    async fn panics() -> &'static str {
        panic!("the details")
    }
    let extra = Router::new().route("/panics", on_get(panics));
    let server = Setup { extra, ..Setup::default() }.start()?;
    let mut stream = connect(server.address)?;
    let reply = send(&mut stream, "GET /panics HTTP/1.1\r\nhost: test\r\n\r\n")?;
    assert_eq!((reply.status, reply.body.as_str()), (500, r#"{"error":"Internal Server Error"}"#));
    // Not even the connection is lost.
    assert_eq!(send(&mut stream, "GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")?.status, 200);
    server
        .wait_for(r#"http_request_duration_seconds_count{method="GET",route="/panics",status="500"}"#, 1.0)?;
    server.wait_for("http_requests_in_flight", 0.0)?;
    Ok(())
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() -> Outcome {
    let (extra, entries, release) = held_route();
    let connection = ConnectionLimits { connections: 1, ..ConnectionLimits::default() };
    let server = Setup { extra, connection, ..Setup::default() }.start()?;
    let mut first = ask_held(server.address)?;
    entries.recv().unwrap();
    let mut second = ask_held(server.address)?;
    release.send(true).unwrap();
    assert_eq!(read_reply(&mut first)?.body, "finished\n");
    // The first connection is still open, so the second request has not entered.
    assert!(entries.try_recv().is_err());
    drop(first);
    assert_eq!(read_reply(&mut second)?.body, "finished\n");
    Ok(())
}

#[test]
fn a_request_still_open_at_the_deadline_is_cut_and_counted() -> Outcome {
    let (extra, entries, _release) = held_route();
    let mut server =
        Setup { extra, drain_deadline: Some(Duration::from_millis(20)), ..Setup::default() }.start()?;
    let mut stream = ask_held(server.address)?;
    entries.recv().unwrap();
    server.stop();
    assert_eq!(read_to_close(&mut stream)?, "");
    assert_eq!(server.drained()?, Drained { cut: 1 });
    Ok(())
}

#[test]
fn a_connection_that_never_asked_does_not_delay_stopping() -> Outcome {
    let mut server = Server::with_defaults()?;
    let mut silent = connect(server.address)?;
    // Accepted in order: once the later one is answered, the silent one is being served.
    assert_eq!(get(server.address, "/livez")?.status, 200);
    server.stop();
    assert_eq!(read_to_close(&mut silent)?, "");
    assert_eq!(server.drained()?, Drained { cut: 0 });
    Ok(())
}

#[test]
fn stopping_lets_a_request_in_flight_finish_and_accepts_no_other() -> Outcome {
    let (extra, entries, release) = held_route();
    let mut server = Setup { extra, ..Setup::default() }.start()?;
    let mut stream = ask_held(server.address)?;
    entries.recv().unwrap();
    server.stop();
    until("connections refused", || connect(server.address).is_err())?;
    release.send(true).unwrap();
    let reply = read_reply(&mut stream)?;
    assert_eq!((reply.status, reply.body.as_str()), (200, "finished\n"));
    assert_eq!(server.drained()?, Drained { cut: 0 });
    Ok(())
}

#[test]
fn stopping_closes_idle_connections_at_once() -> Outcome {
    let mut server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    assert_eq!(send(&mut stream, "GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")?.status, 200);
    server.stop();
    assert_eq!(read_to_close(&mut stream)?, "");
    assert_eq!(server.drained()?, Drained { cut: 0 });
    Ok(())
}

/// A route that reads the whole body and says how long it is.
fn reading_route() -> Router {
    Router::new().route("/read", post(|body: Bytes| async move { body.len().to_string() }))
}

#[test]
fn a_body_up_to_the_limit_is_read_and_one_in_chunks_is_stopped_above_it() -> Outcome {
    let request = RequestLimits { body: 1000, ..RequestLimits::default() };
    let server = Setup { extra: reading_route(), request, ..Setup::default() }.start()?;
    for (length, status) in [(0, 200), (1000, 200), (1001, 413)] {
        let head = format!("POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
        let reply = send(&mut connect(server.address)?, &(head + &"x".repeat(length)))?;
        assert_eq!(reply.status, status, "{length}");
    }
    // Nothing announces how much is to come.
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let head = "POST /read HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    let reply = send(&mut connect(server.address)?, &format!("{head}{chunk}0\r\n\r\n"))?;
    assert_eq!((reply.status, reply.body.as_str()), (200, "600"));
    let reply = send(&mut connect(server.address)?, &format!("{head}{chunk}{chunk}0\r\n\r\n"))?;
    assert_eq!(reply.status, 413);
    Ok(())
}

#[test]
fn a_body_that_never_ends_is_given_up() -> Outcome {
    let request = RequestLimits { time: Duration::from_millis(20), ..RequestLimits::default() };
    let server = Setup { extra: reading_route(), request, ..Setup::default() }.start()?;
    let mut stream = connect(server.address)?;
    let reply = send(&mut stream, "POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nx")?;
    assert_eq!(reply.status, 503);
    Ok(())
}

/// Sends one byte after the other, and never an end, until the server has had enough.
fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> Outcome {
    let mut endless = bytes.iter().cycle();
    until("closed", || endless.next().is_some_and(|byte| stream.write_all(&[*byte]).is_err()))
}

#[test]
fn a_head_that_trickles_in_is_given_up_although_every_byte_is_in_time() -> Outcome {
    let connection =
        ConnectionLimits { head_time: Duration::from_millis(200), ..ConnectionLimits::default() };
    let server = Setup { connection, ..Setup::default() }.start()?;
    let mut stream = connect(server.address)?;
    stream.write_all(b"GET / HTTP/1.1\r\n")?;
    let started = Instant::now();
    trickle(&mut stream, b"a: b\r\n")?;
    // The size of a head would have ended it only after 16384 bytes, each at least a millisecond apart.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    Ok(())
}

#[test]
fn slow_heads_do_not_keep_others_out() -> Outcome {
    let server = Server::with_defaults()?;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(server.address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: te")?;
        slow.push(stream);
    }
    assert_eq!(get(server.address, "/livez")?.status, 200);
    Ok(())
}

#[test]
fn a_head_of_too_many_lines_is_refused() -> Outcome {
    let server = Server::with_defaults()?;
    let request = format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(send(&mut connect(server.address)?, &request)?.status, 431);
    Ok(())
}

#[test]
fn what_is_not_http_costs_its_own_connection_only() -> Outcome {
    let server = Server::with_defaults()?;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    ] {
        let mut stream = connect(server.address)?;
        stream.write_all(bytes)?;
        let answer = read_to_close(&mut stream)?;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(get(server.address, "/livez")?.status, 200);
    Ok(())
}

#[test]
fn a_head_half_sent_is_cut_at_the_deadline() -> Outcome {
    let mut server = Setup { drain_deadline: Some(Duration::from_millis(20)), ..Setup::default() }.start()?;
    let mut half = connect(server.address)?;
    half.write_all(b"GET / HTTP/1.1\r\nhost: te")?;
    // Accepted in order: once the later one is answered, the half one is being served.
    assert_eq!(get(server.address, "/livez")?.status, 200);
    server.stop();
    assert_eq!(read_to_close(&mut half)?, "");
    server.drained().map(drop)
}
