//! The one explicit list: which address opens which store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use restow_model::Digest;
use restow_store::feed::blocking;
use restow_store::items::Items;
use restow_store::query::langgraph::LangGraphQuery;
use restow_store::{Address, Environment, Error, ErrorKind, Result, Store};
use rusqlite::Connection;

use crate::engine::postgres::{Server, Settings};
use crate::engine::sqlite::look_before;
use crate::engine::sqlite::source::Source;
#[cfg(feature = "dynamodb")]
use crate::layout::langgraph::dynamodb::LangGraphDynamoDb;
use crate::layout::langgraph::postgres::LangGraphPostgres;
use crate::layout::langgraph::sqlite::{Description, LangGraphSqlite, shape};
use crate::layout::parts::postgres::PartsPostgres;
use crate::layout::parts::query::{NewestFirst, PartsQuery};
use crate::layout::parts::sqlite::{PartsSqlite, schema};
#[cfg(feature = "dynamodb")]
use crate::layout::split::Split;

/// Every pair of layout and engine that can be opened.
pub const ADDRESSES: [&str; 6] = [
    "langgraph+sqlite:FILE",
    "langgraph+postgres://USER@HOST/DATABASE",
    "langgraph+dynamodb:TABLE",
    "parts+sqlite:FILE",
    "parts+postgres://USER@HOST/DATABASE",
    "split+dynamodb:TABLE",
];

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is only read, and nothing is left behind.
    Read,
    /// It is written to, and made where it is not there.
    Write,
}

/// A store, with the questions that it answers.
#[derive(Clone)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// LangGraph's questions to it.
    pub langgraph: Arc<dyn LangGraphQuery>,
    /// What a store tells of its items that keeps large records in parts, item by item.
    pub items: Option<Arc<dyn Items>>,
    /// What the application's own layout tells of itself; `None` for restow's.
    langgraph_sqlite: Option<LangGraphSqlite>,
}

impl Opened {
    /// Counts what the application's own layout holds; `None` for restow's.
    pub async fn describe(&self) -> Result<Option<Description>> {
        let Some(store) = self.langgraph_sqlite.clone() else { return Ok(None) };
        blocking("describe a store", move || store.describe()).await.map(Some)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({:?})", self.store)
    }
}

/// Opens a store; what an address of a server leaves out is taken from the environment.
pub async fn open(address: &Address, access: Access, environment: &Environment) -> Result<Opened> {
    let (address, environment) = (address.clone(), environment.clone());
    blocking("open a store", move || open_blocking(&address, access, &environment)).await
}

/// Returns the file of an address that names one.
pub fn file_of(address: &Address) -> Option<PathBuf> {
    match address.engine.as_deref() {
        None | Some("sqlite") => std::path::absolute(&*address.place).ok(),
        Some(_) => None,
    }
}

/// Returns where the account of copies into a store is kept: beside a file, or in the user's own
/// folder of state where the store is on a server; `None` where the environment names none.
pub fn ledger_of(address: &Address, environment: &Environment) -> Option<PathBuf> {
    if let Some(file) = file_of(address) {
        let mut name = file.into_os_string();
        name.push(".ledger");
        return Some(name.into());
    }
    let home = || Some(Path::new(environment.get("HOME")?).join(".local").join("state"));
    let state = environment.get("XDG_STATE_HOME").map(PathBuf::from).or_else(home)?;
    let shown = address.to_string();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+.-".contains(c) { c } else { '_' };
    let name: String = shown.chars().map(plain).take(80).collect();
    // Two addresses may look alike when what is unusual in them is left out.
    let digest = Digest::of(shown.as_bytes());
    Some(state.join("restow").join(format!("{name}-{digest:.8}.ledger")))
}

fn open_blocking(address: &Address, access: Access, environment: &Environment) -> Result<Opened> {
    if address.engine.as_deref() == Some("postgres") {
        return open_on_server(address, access, environment);
    }
    #[cfg(feature = "dynamodb")]
    if address.engine.as_deref() == Some("dynamodb") {
        return open_table(address, access, environment);
    }
    let path = std::path::absolute(&*address.place).map_err(|error| {
        Error::new(ErrorKind::Invalid, "open a store", "the path makes no sense").because(error)
    })?;
    if access == Access::Write {
        // A target is looked at before it is written to, and half a transaction shows nothing.
        crate::engine::sqlite::roll_back(&path)?;
    }
    let kind = match (address.layout.as_deref(), address.engine.as_deref()) {
        (Some("langgraph"), Some("sqlite")) => Kind::LangGraph,
        (Some("parts"), Some("sqlite")) => Kind::Parts,
        (None, _) => recognise(&path, access)?,
        _ => return Err(unknown(address)),
    };
    Ok(match (kind, access) {
        (Kind::LangGraph, Access::Read) => langgraph(LangGraphSqlite::source(&path)?),
        (Kind::LangGraph, Access::Write) => langgraph(LangGraphSqlite::target(&path, true)?),
        (Kind::Parts, Access::Read) => parts(PartsSqlite::source(&path)?),
        (Kind::Parts, Access::Write) => parts(PartsSqlite::target(&path, true)?),
    })
}

fn open_on_server(address: &Address, access: Access, environment: &Environment) -> Result<Opened> {
    let server = || Ok(Server::new(Settings::parse_in(address, environment)?));
    Ok(match (address.layout.as_deref(), access) {
        (Some("langgraph"), Access::Read) => tables(LangGraphPostgres::source(server()?)?),
        (Some("langgraph"), Access::Write) => tables(LangGraphPostgres::target(server()?)?),
        (Some("parts"), Access::Read) => parts(PartsPostgres::source(server()?)?),
        (Some("parts"), Access::Write) => parts(PartsPostgres::target(server()?)?),
        _ => return Err(unknown(address)),
    })
}

#[cfg(feature = "dynamodb")]
fn open_table(address: &Address, access: Access, environment: &Environment) -> Result<Opened> {
    Ok(match (address.layout.as_deref(), access) {
        (Some("langgraph"), Access::Read) => {
            parts(LangGraphDynamoDb::source(address, environment)?)
        }
        (Some("langgraph"), Access::Write) => {
            parts(LangGraphDynamoDb::target(address, environment)?)
        }
        (Some("split"), Access::Read) => split(Split::source(address, environment)?),
        (Some("split"), Access::Write) => split(Split::target(address, environment)?),
        _ => return Err(unknown(address)),
    })
}

#[cfg(feature = "dynamodb")]
fn split(store: Split) -> Opened {
    Opened { items: Some(Arc::new(store.clone())), ..parts(store) }
}

#[derive(Clone, Copy)]
enum Kind {
    LangGraph,
    Parts,
}

fn langgraph(store: LangGraphSqlite) -> Opened {
    Opened {
        store: Arc::new(store.clone()),
        langgraph: Arc::new(store.clone()),
        items: None,
        langgraph_sqlite: Some(store),
    }
}

fn tables(store: LangGraphPostgres) -> Opened {
    let (store, langgraph) = (Arc::new(store.clone()), Arc::new(store));
    Opened { store, langgraph, items: None, langgraph_sqlite: None }
}

fn parts(store: impl NewestFirst) -> Opened {
    let store = Arc::new(store);
    let langgraph = Arc::new(PartsQuery::new(store.clone()));
    Opened { store, langgraph, items: None, langgraph_sqlite: None }
}

/// Tells what a bare path is: by looking inside, or by its ending where nothing is there yet.
fn recognise(path: &Path, access: Access) -> Result<Kind> {
    const OPERATION: &str = "recognise a path";
    let say = |kind, message: &str| {
        Err(Error::new(kind, OPERATION, message).with("path", path.display().to_string()))
    };
    let is_there = path.metadata().is_ok_and(|about| about.len() > 0 || about.is_dir());
    let is_named = path.extension().is_some_and(|ending| ending == "restow");
    if !is_there {
        return match access {
            Access::Write if is_named => Ok(Kind::Parts),
            Access::Write => say(
                ErrorKind::Invalid,
                "the file is not there yet and its ending does not tell what it is to be; name a \
                 file that ends in .restow, or write langgraph+sqlite: in front of the path",
            ),
            Access::Read => say(ErrorKind::NotFound, "there is no such file, or it is empty"),
        };
    }
    let look = |connection: &Connection| {
        let found = schema::find(connection);
        let found = found.map_err(|e| crate::engine::sqlite::failed(OPERATION, path, e))?;
        match found {
            schema::Found::Ours | schema::Found::Format(_) => return Ok(Kind::Parts),
            // Another process has opened it, and is about to make its tables.
            schema::Found::Empty if is_named && access == Access::Write => return Ok(Kind::Parts),
            schema::Found::Empty | schema::Found::Other => {}
        }
        let shape = shape::recognise(connection);
        match shape.map_err(|e| e.with("file", path.display().to_string()))? {
            Some(_) => Ok(Kind::LangGraph),
            None => say(
                ErrorKind::Unsupported,
                "the file is an SQLite database of no application that restow knows",
            ),
        }
    };
    match access {
        Access::Write => look_before(path, look),
        Access::Read => look(Source::open(path)?.connect()?.connection()),
    }
}

fn unknown(address: &Address) -> Error {
    let message = "no store of this layout on this engine is known";
    Error::new(ErrorKind::Unsupported, "open a store", message)
        .with("address", address.to_string())
        .with("known", ADDRESSES.join(" "))
}
