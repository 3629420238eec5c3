//! The reference service: what a team copies when it starts a service of its own.
//!
//! It answers a handful of small routes, and does properly what every service in a cluster has to do:
//! configuration from the environment ([`config`]), secrets from files ([`secret`]), health and draining
//! ([`lifecycle`], [`server`]), one metric and one log line per request ([`observe`], [`metrics`],
//! [`process`]), limits and panic isolation ([`routes`]), and a probe that needs no shell in the image
//! ([`healthcheck`]).
//!
//! It must not grow business logic: whatever is added here is deployed by everybody who starts from it.

pub mod config;
#[cfg(feature = "faults")]
pub mod faults;
pub mod healthcheck;
pub mod lifecycle;
pub mod metrics;
pub mod observe;
pub mod process;
pub mod routes;
pub mod secret;
pub mod server;
