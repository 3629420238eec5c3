//! The service from outside: through its sockets ([`http`]) and as a process ([`process`]).

mod http;
mod process;
mod wire;
