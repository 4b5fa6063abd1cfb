//! Serialised values and checkpoints, on their way in and out.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use restow::langgraph::{self, ChannelHistory, Payload, PendingWrite, Typed};

/// A channel, a serializer's tag, and the bytes under it.
pub(crate) type Given = (String, String, PyBackedBytes);
/// A serializer's tag, and the bytes under it.
type Told<'t, 'py> = (Option<&'t str>, Bound<'py, PyBytes>);
/// A channel, a serializer's tag, and the bytes under it.
type ToldValue<'t, 'py> = (&'t str, Option<&'t str>, Bound<'py, PyBytes>);
/// A task, a channel, a serializer's tag, and the bytes under it.
type ToldWrite<'t, 'py> = (&'t str, &'t str, Option<&'t str>, Bound<'py, PyBytes>);

/// Takes bytes over without copying them.
pub(crate) fn bytes(given: PyBackedBytes) -> Bytes {
    Bytes::from_owner(given)
}

/// Takes values over.
pub(crate) fn given(values: Vec<Given>) -> Vec<(Box<str>, Typed)> {
    let value = |(channel, tag, value): Given| (channel.into(), Typed::new(&tag, bytes(value)));
    values.into_iter().map(value).collect()
}

fn told<'t, 'py>(py: Python<'py>, typed: &'t Typed) -> Told<'t, 'py> {
    (typed.tag.as_deref(), PyBytes::new(py, &typed.bytes))
}

fn told_value<'t, 'py>(py: Python<'py>, channel: &'t str, typed: &'t Typed) -> ToldValue<'t, 'py> {
    let (tag, bytes) = told(py, typed);
    (channel, tag, bytes)
}

fn writes<'t, 'py>(py: Python<'py>, writes: &'t [PendingWrite]) -> Vec<ToldWrite<'t, 'py>> {
    let write = |PendingWrite { task, channel, value }: &'t PendingWrite| {
        let (tag, bytes) = told(py, value);
        (&**task, &**channel, tag, bytes)
    };
    writes.iter().map(write).collect()
}

/// A checkpoint as it was stored, with what waits for it.
#[pyclass(frozen, module = "restow._native")]
#[derive(Debug)]
pub(crate) struct Tuple(pub(crate) langgraph::Tuple);

#[pymethods]
impl Tuple {
    #[getter]
    fn thread(&self) -> &str {
        self.0.thread.as_str()
    }

    #[getter]
    fn namespace(&self) -> &str {
        &self.0.namespace
    }

    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    #[getter]
    fn parent(&self) -> Option<&str> {
        self.0.parent.as_deref()
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.metadata)
    }

    /// The checkpoint without the values of its channels; `None` where it is whole.
    #[getter]
    fn head<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        match &self.0.payload {
            Payload::Open { head, .. } => Some(PyBytes::new(py, head)),
            Payload::Whole(_) => None,
        }
    }

    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> Vec<ToldValue<'_, 'py>> {
        let Payload::Open { values, .. } = &self.0.payload else { return Vec::new() };
        values.iter().map(|(channel, typed)| told_value(py, channel, typed)).collect()
    }

    /// The whole checkpoint, under one tag.
    #[getter]
    fn whole<'py>(&self, py: Python<'py>) -> Option<Told<'_, 'py>> {
        match &self.0.payload {
            Payload::Open { .. } => None,
            Payload::Whole(typed) => Some(told(py, typed)),
        }
    }

    #[getter]
    fn writes<'py>(&self, py: Python<'py>) -> Vec<ToldWrite<'_, 'py>> {
        writes(py, &self.0.writes)
    }
}

/// What a channel is rebuilt from.
#[pyclass(frozen, module = "restow._native")]
#[derive(Debug)]
pub(crate) struct History(pub(crate) ChannelHistory);

#[pymethods]
impl History {
    /// Writes, oldest first.
    #[getter]
    fn writes<'py>(&self, py: Python<'py>) -> Vec<ToldWrite<'_, 'py>> {
        writes(py, &self.0.writes)
    }

    /// The nearest value that is stored.
    #[getter]
    fn seed<'py>(&self, py: Python<'py>) -> Option<Told<'_, 'py>> {
        self.0.seed.as_ref().map(|seed| told(py, seed))
    }
}
