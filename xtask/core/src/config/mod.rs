//! `pipeline.yaml` and the environment. Strict on the way in, resolved on the way out ([`Pipeline`]); nothing else in the product
//! reads the file or a variable.
//!
//! The way of a file: [`load`] finds and reads it, `raw`, `value` and `text` say what may stand in it, `resolve` fills in `defaults` and
//! looks up `paths`. Whatever is wrong becomes one [`ConfigError`]: `explain` puts the YAML library's errors into words, `trail`
//! remembers where `resolve` is, `outline` knows where that stands in the text, `examples` knows what would be right.
//!
//! `pipeline.schema.json` in the root is generated from `raw`; `schema` compares it, and `UPDATE_SCHEMA=1 cargo test -p xtask-core
//! schema` writes it again.

mod defaults;
mod env;
mod error;
mod examples;
mod explain;
mod load;
mod outline;
mod paths;
mod raw;
mod resolve;
mod resolved;
#[cfg(test)]
mod schema;
mod text;
mod trail;
mod value;

pub use env::{Ambient, BASE, GitHub, NotText};
pub use error::ConfigError;
pub use load::{FILE_NAME, Found, MINIMAL, Start, find, load};
pub use resolved::*;
