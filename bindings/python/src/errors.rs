//! Errors become exceptions of the module `restow.errors`, one class a kind, with the same words.

use std::error::Error as _;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use restow::{Error, ErrorKind};

/// Turns an error into an exception, and its causes into the exception's.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let raised = exception(py, error).unwrap_or_else(|failed| failed);
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(PyRuntimeError::new_err(cause.to_string()));
        source = cause.source();
    }
    let chain = |cause: Option<PyErr>, above: PyErr| {
        above.set_cause(py, cause);
        Some(above)
    };
    raised.set_cause(py, causes.into_iter().rev().fold(None, chain));
    raised
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = py.import("restow.errors")?.getattr(class(error.kind()))?;
    Ok(PyErr::from_value(class.call1((error.to_string(),))?))
}

fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "Invalid",
        ErrorKind::NotFound => "NotFound",
        ErrorKind::Unsupported => "Unsupported",
        ErrorKind::Damaged => "Damaged",
        ErrorKind::Refused => "Refused",
        ErrorKind::Retired => "Retired",
        ErrorKind::Unavailable => "Unavailable",
        ErrorKind::Credentials => "Credentials",
        ErrorKind::Failed => "Failed",
    }
}
