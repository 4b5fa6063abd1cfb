//! `restow migrate shadow`, `rollout`, `rollback`, `pause` and `resume`: which units live at the
//! target, and of which there are copies.

use std::collections::BTreeSet;
use std::sync::Arc;

use restow::live::{Config, Errand, GateOptions, Phase, Side};
use restow::{Clock, Error, ErrorKind, Result};

use super::{Begun, print_swept, status, stop_on_interrupt};
use crate::args::{MigrateAt, Mover};
use crate::exit::Exit;
use crate::out::Out;

/// The share that all units are of, in basis points.
const ALL: u16 = 10_000;

/// Changes how many buckets live at the target, and moves what is elsewhere.
pub(super) async fn set(
    (share, gate): (u16, GateOptions),
    args: &Mover,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<Exit> {
    let mut begun = Begun::open(&args.at, &clock).await?;
    refuse_resting(&begun, "change the share")?;
    let was = begun.config().clone();
    let phase = if share == ALL { Phase::Full } else { Phase::Move };
    let is_so = match was.phase {
        Phase::Full | Phase::Settled => share == ALL,
        before => (before, was.share) == (phase, share),
    };
    if !is_so {
        if share > was.share {
            begun.router.gate(&gate).await?.pass(&gate)?;
        }
        begun.configure(Config { phase, share, ..was }).await?;
    }
    // Behind the moves, what a rollback would lack: writes whose mirror did not follow.
    let mirrors = begun.config().mirrors.then_some(Errand::Copy(Side::Source));
    let errands = [Some(Errand::Place), mirrors];
    sweep(&begun, errands.into_iter().flatten(), args, out).await
}

/// Copies every unit ahead, and keeps the copies up; the units stay at the source.
pub(super) async fn shadow(args: &Mover, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    const OPERATION: &str = "copy units ahead";
    let mut begun = Begun::open(&args.at, &clock).await?;
    refuse_resting(&begun, OPERATION)?;
    let was = begun.config().clone();
    if was.phase > Phase::Shadow {
        let message = "units move already; `migrate rollout` copies those that it moves";
        let error = Error::new(ErrorKind::Refused, OPERATION, message);
        return Err(error.with("phase", was.phase.name()));
    }
    if was.phase != Phase::Shadow {
        begun.configure(Config { phase: Phase::Shadow, mirrors: true, ..was }).await?;
    }
    sweep(&begun, [Errand::Copy(Side::Target)], args, out).await
}

fn refuse_resting(begun: &Begun, operation: &'static str) -> Result<()> {
    begun.refuse_ended(operation)?;
    if !begun.config().paused {
        return Ok(());
    }
    let message = "the migration is paused; let it go on with `migrate resume`";
    let error = Error::new(ErrorKind::Refused, operation, message);
    Err(error.with("migration", &begun.migration.name))
}

/// Does errands for every unit, and says where all are by then.
async fn sweep(
    begun: &Begun,
    errands: impl IntoIterator<Item = Errand>,
    args: &Mover,
    out: &Out,
) -> Result<Exit> {
    let stop = stop_on_interrupt();
    let workers = usize::from(args.jobs.unwrap_or(2));
    let (mut stopped, mut failed) = (false, 0);
    let mut told = BTreeSet::new();
    for errand in errands {
        let mut swept = begun.router.sweep(errand, workers, &stop).await?;
        // What is in the way of one errand is mostly in the way of the next as well.
        let named = swept.failures.len();
        swept.failures.retain(|(unit, _)| told.insert(unit.clone()));
        swept.failed -= (named - swept.failures.len()) as u64;
        if errand == Errand::Place || swept.moved + swept.failed > 0 {
            print_swept(errand, &swept, out);
        }
        (stopped, failed) = (stopped | swept.stopped, failed + swept.failed);
    }
    if begun.router.config().phase == Phase::Full && !stopped && failed == 0 {
        let swept = begun.router.settle(workers, &stop).await?;
        if swept.moved + swept.failed > 0 {
            print_swept(Errand::Place, &swept, out);
        }
        (stopped, failed) = (swept.stopped, swept.failed);
    }
    let standings = begun.router.standings().await?;
    status::print(&begun.migration, &begun.router.config(), &standings, out);
    Ok(match (stopped, failed + standings.damaged) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::Ok,
        (false, _) => Exit::Unclean,
    })
}

/// Lets movers rest, or go on; clients read and write all the while.
pub(super) async fn pause(
    at: &MigrateAt,
    paused: bool,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<Exit> {
    let mut begun = Begun::open(at, &clock).await?;
    begun.refuse_ended("pause a migration")?;
    if begun.config().paused != paused {
        let was = begun.config().clone();
        begun.configure(Config { paused, ..was }).await?;
    }
    let standings = begun.router.standings().await?;
    status::print(&begun.migration, begun.config(), &standings, out);
    match paused {
        true => out.line("movers stop behind the unit that they are at; clients go on"),
        false => out.line("movers may go on: run `migrate rollout` or `migrate rollback` again"),
    }
    Ok(Exit::Ok)
}
