//! restow in Python. Types, errors and streams are translated here, and nothing is decided.

#![allow(
    clippy::needless_pass_by_value,
    reason = "what Python hands over is extracted into values of its own"
)]

mod clock;
mod errors;
mod log;
mod saver;
mod values;

/// The native half of the package `restow`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::saver::{Saver, Tuples};
    #[pymodule_export]
    use super::values::{History, Tuple};
}
