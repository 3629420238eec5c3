//! The service from outside: through its sockets ([`http`], [`exposition`]) and as a process ([`process`]).

mod exposition;
mod http;
mod process;
mod wire;
