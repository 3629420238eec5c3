//! The command line, by the real binary, in repositories made for the purpose. No external tool but git, sh and coreutils.

mod caching;
mod exit_codes;
mod repo;
mod showing;
mod stopping;
mod unreachable;
