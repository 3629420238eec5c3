//! The command line, by the real binary, in repositories made for the purpose. No external tool but git, sh and coreutils.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "these tests start the binary themselves")]

mod caching;
mod exit_codes;
mod no_engine;
mod repo;
mod showing;
mod stopping;
mod unreachable;
