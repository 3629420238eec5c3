//! The service from outside: through its sockets ([`http`], [`limits`], [`exposition`]) and as a process
//! ([`process`], [`secrets`], [`silence`], [`rolling`]). With the feature `faults` also what a drill does
//! ([`faults`]), what a release must not hold ([`release`]), and what README.md must name ([`readme`]).

mod exposition;
#[cfg(feature = "faults")]
mod faults;
mod http;
mod limits;
mod process;
#[cfg(feature = "faults")]
mod readme;
#[cfg(feature = "faults")]
mod release;
mod rolling;
mod secrets;
mod silence;
mod volume;
mod wire;
