//! `pipeline.yaml` and the environment. Strict on the way in ([`raw`]), resolved on the way out ([`resolved`]); nothing else in
//! the product reads the file or a variable.

mod resolved;

pub use resolved::*;
