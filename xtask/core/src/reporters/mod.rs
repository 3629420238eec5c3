//! The only place that writes to the terminal. Each reporter turns the event stream or a report into bytes.
