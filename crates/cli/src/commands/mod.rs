//! The verbs, one file each, and what they share.

mod assess;
mod backup;
pub(crate) mod completions;
mod copy;
mod doctor;
mod migrate;
mod parts;
mod schema;
mod status;
mod verify;
mod weights;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restow::model::UnitId;
use restow::{
    Access, Address, Clock, Environment, Error, ErrorKind, Opened, Result, Stop, UnitFilter,
};

use crate::args::{Args, Command, Units};
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::out::Out;

/// Runs a verb.
pub(crate) async fn run(args: Args, out: &Out) -> Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match args.command {
        Command::Assess(args) => assess::run(&args, clock, out).await,
        Command::Copy(args) => copy::run(&args, clock, out).await,
        Command::Verify(args) => verify::run(&args, clock, out).await,
        Command::Status(args) => status::run(&args, clock, out).await,
        Command::Schema(args) => schema::run(&args, out).await,
        Command::Migrate(args) => migrate::run(&args, clock, out).await,
        Command::Backup(args) => backup::run(&args, clock, out).await,
        Command::Parts(args) => parts::run(&args, clock, out).await,
        Command::Doctor(args) => doctor::run(&args, clock, out).await,
        Command::Completions(args) => Ok(completions::run(&args)),
    }
}

/// Opens a store, taking what its address leaves out from the environment.
async fn open(address: &Address, access: Access) -> Result<Opened> {
    restow::open(address, access, &environment()).await
}

/// Returns the variables that name what an address leaves out.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Returns the units that a command is about.
fn units(args: &Units) -> Result<UnitFilter> {
    let Some(given) = &args.units else { return Ok(UnitFilter::All) };
    if !Path::new(given).is_file() {
        return Ok(UnitFilter::Glob(given.clone()));
    }
    let text = std::fs::read_to_string(given).map_err(|error| {
        let message = "the list of units cannot be read";
        Error::new(ErrorKind::Invalid, "read --units", message).with("file", given).because(error)
    })?;
    let names = text.lines().filter(|line| !line.is_empty()).map(UnitId::new);
    Ok(UnitFilter::List(names.collect::<BTreeSet<_>>()))
}

/// Returns where the account of a copy into a target is kept.
fn ledger_path(given: Option<&PathBuf>, target: &Address) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.clone());
    }
    restow::ledger_of(target, &environment()).ok_or_else(|| {
        let message = "neither XDG_STATE_HOME nor HOME says where to keep the account of a copy \
                       to a server; name a file with --ledger";
        Error::new(ErrorKind::Invalid, "find the ledger", message)
    })
}

/// Stops the work at the first Ctrl-C; the second ends the process at once.
fn stop_on_interrupt(stop: Stop) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        stop.stop();
        Out::new(false).note("restow: finishing the batch; press Ctrl-C again to end at once");
        if tokio::signal::ctrl_c().await.is_ok() {
            // Whatever is half done is rolled back by the stores when they are opened next.
            #[expect(clippy::exit, clippy::disallowed_methods, reason = "asked for twice")]
            std::process::exit(Exit::Interrupted as i32);
        }
    });
}
