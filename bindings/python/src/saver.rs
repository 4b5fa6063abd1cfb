//! The saver. Every call lets other threads of Python run until it is done.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures::StreamExt;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use restow::langgraph::{
    self, CheckpointPut, CheckpointQuery, Place, Prune, Stored, Typed, WritesPut,
};
use restow::live::Migration;
use restow::{Address, Environment, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

use crate::clock::SystemClock;
use crate::errors::raise;
use crate::log;
use crate::values::{self, Given, History, Tuple};

/// Stores do their work on threads that may block; these only pass it on.
const WORKERS: usize = 2;

static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();

fn runtime() -> PyResult<&'static Runtime> {
    let made = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(WORKERS).thread_name("restow").enable_all().build()
    };
    let runtime = RUNTIME.get_or_init(made).as_ref();
    runtime.map_err(|error| PyOSError::new_err(format!("no thread can be started: {error}")))
}

/// Runs work to its end, while Python goes on elsewhere.
fn finish<T: Send>(py: Python<'_>, work: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
    let runtime = runtime()?;
    let done = py.detach(|| runtime.block_on(work));
    log::hand_over(py)?;
    done.map_err(|error| raise(py, &error))
}

/// What is not Unicode says nothing to a database.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// LangGraph's checkpointer over a store.
#[pyclass(frozen, module = "restow._native")]
#[derive(Debug)]
pub(crate) struct Saver(langgraph::Saver);

/// What is said of a checkpoint beside its content: thread, namespace, id, parent, metadata.
type About = (String, String, String, Option<String>, PyBackedBytes);

/// Which checkpoints to list: thread, namespace, id, and what id they lie before.
type Which = (Option<String>, Option<String>, Option<String>, Option<String>);

fn about((thread, namespace, id, parent, metadata): About) -> CheckpointPut {
    CheckpointPut {
        place: Place::new(&thread, &namespace, &id),
        parent: parent.map(Into::into),
        metadata: values::bytes(metadata),
        head: bytes::Bytes::new(),
        values: Vec::new(),
        unchanged: Vec::new(),
    }
}

#[pymethods]
impl Saver {
    #[staticmethod]
    fn open(py: Python<'_>, address: &str) -> PyResult<Self> {
        let address = Address::parse(address).map_err(|error| raise(py, &error))?;
        finish(py, langgraph::Saver::open(&address, &environment())).map(Self)
    }

    /// Opens the stores of the migration that a file describes.
    #[staticmethod]
    fn migration(py: Python<'_>, path: PathBuf, seed: &str) -> PyResult<Self> {
        log::keep();
        let migration = Migration::read(&path).map_err(|error| raise(py, &error))?;
        let (environment, clock) = (environment(), Arc::new(SystemClock::new()));
        let opened = langgraph::Saver::migration(&migration, &environment, clock, seed);
        finish(py, opened).map(Self)
    }

    #[pyo3(signature = (thread, namespace, id))]
    fn get(
        &self,
        py: Python<'_>,
        thread: &str,
        namespace: &str,
        id: Option<&str>,
    ) -> PyResult<Option<Tuple>> {
        let found = finish(py, self.0.get(thread, namespace, id))?;
        Ok(found.map(Tuple))
    }

    #[pyo3(signature = (which, metadata, limit))]
    fn list(
        &self,
        py: Python<'_>,
        which: Which,
        metadata: PyBackedBytes,
        limit: Option<usize>,
    ) -> PyResult<Tuples> {
        let (thread, namespace, id, before) = which;
        let metadata = values::bytes(metadata);
        let query = CheckpointQuery { thread, namespace, id, before, metadata, limit };
        finish(py, self.0.list(query)).map(|tuples| Tuples(Mutex::new(tuples)))
    }

    fn put(
        &self,
        py: Python<'_>,
        put: About,
        head: PyBackedBytes,
        values: Vec<Given>,
        unchanged: Vec<String>,
    ) -> PyResult<(bool, Vec<String>)> {
        let put = CheckpointPut {
            head: values::bytes(head),
            values: values::given(values),
            unchanged: unchanged.into_iter().map(Into::into).collect(),
            ..about(put)
        };
        Ok(match finish(py, self.0.put(put))? {
            Stored::Done => (true, Vec::new()),
            Stored::Missing(channels) => (false, channels.into_iter().map(String::from).collect()),
            Stored::Whole => (false, Vec::new()),
        })
    }

    fn put_whole(
        &self,
        py: Python<'_>,
        put: About,
        tag: &str,
        checkpoint: PyBackedBytes,
    ) -> PyResult<()> {
        let checkpoint = Typed::new(tag, values::bytes(checkpoint));
        finish(py, self.0.put_whole(about(put), checkpoint))
    }

    fn put_writes(
        &self,
        py: Python<'_>,
        place: (String, String, String),
        task: &str,
        path: &str,
        writes: Vec<Given>,
    ) -> PyResult<()> {
        let put = WritesPut {
            place: Place::new(&place.0, &place.1, &place.2),
            task: task.into(),
            path: path.into(),
            writes: values::given(writes),
        };
        finish(py, self.0.put_writes(put))
    }

    fn delete_thread(&self, py: Python<'_>, thread: &str) -> PyResult<()> {
        finish(py, self.0.delete_thread(thread))
    }

    fn delete_for_runs(&self, py: Python<'_>, runs: Vec<String>) -> PyResult<()> {
        finish(py, self.0.delete_for_runs(&runs))
    }

    fn copy_thread(&self, py: Python<'_>, from: &str, to: &str) -> PyResult<()> {
        finish(py, self.0.copy_thread(from, to))
    }

    fn prune(&self, py: Python<'_>, threads: Vec<String>, keep_latest: bool) -> PyResult<()> {
        let strategy = if keep_latest { Prune::KeepLatest } else { Prune::Delete };
        finish(py, self.0.prune(&threads, strategy))
    }

    #[pyo3(signature = (thread, namespace, id, channels))]
    fn history(
        &self,
        py: Python<'_>,
        thread: &str,
        namespace: &str,
        id: Option<&str>,
        channels: Vec<String>,
    ) -> PyResult<Option<Vec<History>>> {
        let found = finish(py, self.0.history(thread, namespace, id, &channels))?;
        Ok(found.map(|found| found.into_iter().map(History).collect()))
    }
}

/// Checkpoints, one by one.
#[pyclass(frozen, module = "restow._native")]
pub(crate) struct Tuples(Mutex<langgraph::Tuples>);

#[pymethods]
impl Tuples {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Tuple>> {
        let next = async { self.0.lock().await.next().await.transpose() };
        Ok(finish(py, next)?.map(Tuple))
    }
}
