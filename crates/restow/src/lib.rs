//! Moves the state of AI applications between storage engines and layouts, verified record by
//! record.
//!
//! This crate is the whole public interface: the command line and the bindings use nothing else.
//!
//! ```no_run
//! # async fn copy(clock: std::sync::Arc<dyn restow::Clock>) -> restow::Result<()> {
//! use std::sync::Arc;
//! use restow::{Access, Address, CopyOptions, Environment, Progress};
//!
//! let environment = Environment::default();
//! let source = restow::open(&Address::parse("agent.db")?, Access::Read, &environment).await?;
//! let target = Address::parse("agent.restow")?;
//! let target = restow::open(&target, Access::Write, &environment).await?;
//! let ledger = restow::open_ledger("agent.restow.ledger".as_ref()).await?;
//! let (options, progress) = (CopyOptions::default(), Arc::new(Progress::new()));
//! let report =
//!     restow::copy(source.store, target.store, ledger, clock, options, progress).await?;
//! assert!(report.is_clean());
//! # Ok(()) }
//! ```

pub mod backup;
pub mod doctor;
pub mod langgraph;
mod migration;

use std::path::Path;
use std::sync::Arc;

/// Moving units while an application reads and writes them.
pub mod live {
    pub use crate::migration::Migration;
    pub use restow_live::config::{Acknowledge, Config, Held, Phase};
    pub use restow_live::protocol::LAP_RECORDS_MAX;
    pub use restow_live::{
        AtRisk, Change, Cleaned, Compared, Errand, Finished, Gate, GateOptions, Limits, Listed,
        Moved, Pair, Router, RouterOptions, Rule, Rules, Shadowed, Side, Standings, Step, Swept,
        Unwatched, Watch, Written,
    };
}

pub use doctor::doctor;
pub use restow_migrate::copy::Planned;
pub use restow_migrate::{
    Assessment, CopyOptions, CopyReport, Extra, OnUnsupported, Outcome, Phase, Progress, Relation,
    Snapshot, Stop, SweepReport, UnitFilter, VerifyOptions, assess, copy, verify,
};
pub use restow_model as model;
pub use restow_store as store;
#[cfg(feature = "failpoints")]
pub use restow_store::failpoint;
pub use restow_store::items;
pub use restow_store::ledger::{Failure, Ledger, Summary};
pub use restow_store::memory::MemoryStore;
pub use restow_store::{Address, Clock, Environment, Error, ErrorKind, Result, Store};
pub use restow_stores::layout::langgraph::sqlite::Description;
pub use restow_stores::registry::{ADDRESSES, Access, Opened, file_of, ledger_of, open};

/// LangGraph's tables in PostgreSQL: making, checking, counting and removing them.
pub mod schema {
    pub use restow_stores::engine::postgres::Server;
    pub use restow_stores::layout::langgraph::postgres::schema::{
        Size, Status, Up, Verified, down, server, status, up, verify,
    };
}

/// Opens the account of a copy for an attempt, making it where there is none.
///
/// Refused, with the context `held by`, while another process holds it.
pub async fn open_ledger(path: &Path) -> Result<Arc<dyn Ledger>> {
    if let Some(folder) = path.parent() {
        // One that cannot be made is told by what cannot be made inside.
        let _ = std::fs::create_dir_all(folder);
    }
    let ledger = restow_stores::ledger::sqlite::SqliteLedger::open(path).await?;
    Ok(Arc::new(ledger))
}

/// Opens the account of a copy to look at it; `None` where there is none.
pub async fn read_ledger(path: &Path) -> Result<Option<Arc<dyn Ledger>>> {
    let ledger = restow_stores::ledger::sqlite::SqliteLedger::read_only(path).await?;
    Ok(ledger.map(|ledger| Arc::new(ledger) as Arc<dyn Ledger>))
}

/// Returns how many bytes restow's compression makes of a piece, to estimate sizes by.
pub fn compressed_len(piece: &[u8]) -> usize {
    let codec = restow_store::parts::part::Codec::new();
    let packed = codec.and_then(|mut codec| codec.pack(piece));
    packed.map_or(piece.len(), |packed| packed.len())
}

/// Returns an account that is kept in memory and lost with the process, for dry runs.
pub fn memory_ledger() -> Arc<dyn Ledger> {
    Arc::new(restow_store::ledger_memory::MemoryLedger::default())
}
