//! Masking of secrets.
