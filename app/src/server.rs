//! The connection loop: accept within limits, stop accepting when told, let requests finish until a deadline.
//!
//! It knows nothing of routes or signals. `axum::serve` is not used because it bounds neither the request's
//! head nor the number of connections nor the drain.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What one listener may hold.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Open connections; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// How long a request's head may take to arrive. hyper applies it to an idle kept-alive connection as
    /// well, so it has to exceed the idle timeout of the load balancer in front (60 s on AWS): whoever closes
    /// first must be the balancer, or it sends a request into a closing connection and answers 502.
    pub head_time: Duration,
    /// Bytes of a request's head and of the read buffer.
    pub head_size: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { connections: 4096, head_time: Duration::from_secs(75), head_size: 16 * 1024 }
    }
}

/// How a listener came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the deadline and were cut.
    pub cut: usize,
}

/// A bound socket: from here on, the kernel queues connections.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds; port 0 asks the kernel for a free one.
    ///
    /// # Errors
    /// What the kernel says, with the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            Ok(Self { address: socket.local_addr()?, socket })
        };
        bound.await.map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })
    }

    /// The address in use, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop` resolves, then closes the socket and waits for open requests, at most for
    /// `deadline`.
    pub async fn serve(
        self,
        router: Router,
        limits: ConnectionLimits,
        stop: impl Future<Output = ()>,
        deadline: Duration,
    ) -> Drained {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.head_time).max_buf_size(limits.head_size);
        let service = TowerToHyperService::new(router);
        let graceful = GracefulShutdown::new();
        let mut open = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = open.join_next() => {}
                stream = accept(&self.socket), if open.len() < limits.connections => {
                    let connection = http.serve_connection(TokioIo::new(stream), service.clone());
                    let connection = graceful.watch(connection);
                    open.spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "connection ended early");
                        }
                    });
                }
            }
        }
        drop(self.socket);
        let finished = tokio::time::timeout(deadline, graceful.shutdown()).await;
        while open.try_join_next().is_some() {}
        Drained { cut: if finished.is_ok() { 0 } else { open.len() } }
    }
}

/// Accepts one connection; only ever fails by waiting.
async fn accept(socket: &TcpListener) -> TcpStream {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                // Answers are small and written at once; waiting for more to send only adds latency.
                let _best_effort = stream.set_nodelay(true);
                return stream;
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: the pending connection stays pending, so retrying at
                // once would spin.
                tracing::error!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
