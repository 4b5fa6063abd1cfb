//! `restow copy`: one store into another, every record checked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restow::store::wrap::throttle::{Rate, Throttle};
use restow::{
    Access, Address, Clock, CopyOptions, CopyReport, Error, ErrorKind, Failure, Ledger,
    OnUnsupported, Opened, Outcome, Progress, Result, Stop, Store,
};
use serde_json::json;

use super::{ledger_path, stop_on_interrupt, units};
use crate::args::{Copy, Extra, Pace, Unsupported};
use crate::exit::Exit;
use crate::out::Out;
use crate::progress;
use crate::words::{bytes, count, counted, place, span};

/// How many failures are printed; the ledger keeps all.
const SHOWN_MAX: usize = 20;

pub(super) async fn run(args: &Copy, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let (source_at, target_at) = (Address::parse(&args.source)?, Address::parse(&args.target)?);
    refuse_same_file(&source_at, &target_at)?;
    refuse_unconfirmed(args, &target_at)?;
    let options = options(args)?;
    let source = super::open(&source_at, Access::Read).await?;
    let (target, scratch) = target(&target_at, args.dry_run).await?;
    let (from, to) = (source.store.info().address.clone(), target.store.info().address.clone());
    if from == to {
        let message = "source and target are one store; name another target";
        return Err(Error::new(ErrorKind::Refused, "copy", message).with("store", from));
    }
    let ledger = ledger(&ledger_path(args.ledger.as_ref(), &target_at)?, args.dry_run).await?;
    if scratch.is_none() {
        out.line(format!("{}\n  → {}", place(&from), place(&to)));
    } else {
        out.line(format!("{}\n  → {target_at} (not there yet)", place(&from)));
    }
    let working = Working::begin(&args.pace, &options, &clock, out);
    let began = clock.monotonic();
    let (reading, counters) = (working.slowed(source.store.clone()), working.counters.clone());
    let report =
        restow::copy(reading, target.store.clone(), ledger, clock.clone(), options, counters).await;
    drop(working);
    let report = report?;
    if args.units.units.is_some() && !report.interrupted && is_about_nothing(&report) {
        let message = "no unit matches --units; nothing was copied";
        return Err(Error::new(ErrorKind::Invalid, "copy", message));
    }
    print(&report, clock.monotonic().saturating_sub(began), out);
    Ok(match report.outcome() {
        Outcome::Clean => Exit::Ok,
        Outcome::SetAside | Outcome::Incomplete => Exit::Unclean,
        Outcome::Interrupted => Exit::Interrupted,
    })
}

/// A copy that is under way: it can be stopped, it is shown, and it may be slowed down.
pub(super) struct Working {
    pub(super) counters: Arc<Progress>,
    rate: Option<Rate>,
    _shown: progress::Shown,
}

impl Working {
    pub(super) fn begin(
        pace: &Pace,
        options: &CopyOptions,
        clock: &Arc<dyn Clock>,
        out: &Out,
    ) -> Self {
        stop_on_interrupt(options.stop.clone());
        let counters = Arc::new(Progress::new());
        if pace.max_rate.is_some() {
            counters.set_throttled(Some("--max-rate".into()));
        }
        let rate = pace.max_rate.map(|rate| Rate::new(rate, clock.clone()));
        let shown = progress::show(counters.clone(), clock.clone(), out);
        Self { counters, rate, _shown: shown }
    }

    /// Returns a source that is read no faster than was asked for.
    pub(super) fn slowed(&self, source: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.rate {
            Some(rate) => Arc::new(Throttle::new(source, rate.clone())),
            None => source,
        }
    }
}

/// Says whether a run met no unit at all.
fn is_about_nothing(report: &CopyReport) -> bool {
    let units = &report.units;
    let met = units.copied + units.unchanged + units.adopted + units.updated + units.removed;
    let planned = report.planned.as_ref().map_or(0, |planned| planned.units);
    met + planned == 0 && report.failures.is_empty() && report.aside.is_empty()
}

/// Opens the account of a copy; a dry run only looks at it.
pub(super) async fn ledger(path: &Path, dry_run: bool) -> Result<Arc<dyn Ledger>> {
    match dry_run {
        true => Ok(restow::read_ledger(path).await?.unwrap_or_else(restow::memory_ledger)),
        false => restow::open_ledger(path).await,
    }
}

/// Opens the target; a dry run makes nothing, so it looks at an empty store in its place.
pub(super) async fn target(
    address: &Address,
    dry_run: bool,
) -> Result<(Opened, Option<tempfile::TempDir>)> {
    let access = match restow::file_of(address) {
        Some(path) if dry_run && path.exists() => Some(Access::Read),
        Some(_) if dry_run => None,
        // A server is not written to before it is prepared, which a dry run does not do.
        _ => Some(Access::Write),
    };
    if let Some(access) = access {
        return Ok((super::open(address, access).await?, None));
    }
    let failed = |error: std::io::Error| {
        let message = "no temporary folder can be made";
        Error::new(ErrorKind::Failed, "prepare a dry run", message).because(error)
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let name = restow::file_of(address).and_then(|p| p.file_name().map(ToOwned::to_owned));
    let place = folder.path().join(name.unwrap_or_default()).display().to_string();
    let inside = Address { place: place.into(), ..address.clone() };
    let opened = super::open(&inside, Access::Write).await?;
    opened.store.prepare(restow::store::Role::CopyTarget, "").await?;
    Ok((opened, Some(folder)))
}

fn options(args: &Copy) -> Result<CopyOptions> {
    Ok(CopyOptions {
        jobs: jobs(&args.pace),
        units: units(&args.units)?,
        extra: match args.extra {
            Extra::Keep => restow::Extra::Keep,
            Extra::Delete => restow::Extra::Delete,
        },
        unsupported: on_unsupported(args.unsupported),
        dry_run: args.dry_run,
        plan_first: false,
        stop: Stop::new(),
    })
}

/// Returns how many workers copy at once.
pub(super) fn jobs(pace: &Pace) -> usize {
    let usual = || std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    pace.jobs.map_or_else(usual, usize::from)
}

pub(super) fn on_unsupported(asked: Unsupported) -> OnUnsupported {
    match asked {
        Unsupported::Refuse => OnUnsupported::Refuse,
        Unsupported::Aside => OnUnsupported::Aside,
    }
}

fn refuse_same_file(source: &Address, target: &Address) -> Result<()> {
    let file = |address| restow::file_of(address).and_then(|path| path.canonicalize().ok());
    match (file(source), file(target)) {
        (Some(a), Some(b)) if a == b || is_linked(&a, &b) => {
            let message = "source and target are one file; name another target";
            let error = Error::new(ErrorKind::Refused, "copy", message);
            Err(error.with("file", a.display().to_string()))
        }
        _ => Ok(()),
    }
}

/// Says whether two names are hard links to one file.
#[cfg(unix)]
fn is_linked(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| path.metadata().map(|about| (about.dev(), about.ino())).ok();
    inode(a).is_some_and(|a| inode(b) == Some(a))
}

/// Says whether two names are hard links to one file; other systems do not tell.
#[cfg(not(unix))]
fn is_linked(_: &Path, _: &Path) -> bool {
    false
}

fn refuse_unconfirmed(args: &Copy, target: &Address) -> Result<()> {
    let name = target.masked_place();
    if args.extra == Extra::Keep || args.dry_run || args.confirm.as_deref() == Some(&*name) {
        return Ok(());
    }
    let message = format!(
        "--extra delete removes units that only the target holds; add --confirm {name} to say so"
    );
    Err(Error::new(ErrorKind::Refused, "copy", message))
}

fn print(report: &CopyReport, time: Duration, out: &Out) {
    out.object(&object("copy", report, time));
    print_copied(report, time, out);
    if let Some(swept) = &report.swept {
        super::verify::print(swept, out);
    }
    if report.interrupted {
        print_interrupted(report, out);
    }
}

/// Returns what a copy did as an object, an event of a name.
pub(super) fn object(event: &str, report: &CopyReport, time: Duration) -> serde_json::Value {
    json!({
        "event": event,
        "outcome": report.outcome().word(),
        "seconds": time.as_secs_f64(),
        "units": {
            "copied": report.units.copied,
            "unchanged": report.units.unchanged,
            "adopted": report.units.adopted,
            "updated": report.units.updated,
            "removed": report.units.removed,
            "extra_removed": report.units.extra_removed,
        },
        "records": report.records,
        "bytes": report.bytes,
        "failures": report.failures.iter().map(failure_object).collect::<Vec<_>>(),
        "aside": report.aside.iter().map(failure_object).collect::<Vec<_>>(),
        "planned": report.planned.as_ref().map(|p| json!({
            "units": p.units, "records": p.records, "bytes": p.bytes, "new": p.new,
            "unchanged": p.unchanged, "equal": p.adopted, "source_moved": p.source_moved,
            "target_moved": p.target_moved, "both_moved": p.both_moved,
            "unrelated": p.unrelated, "unfit": p.unfit, "gone": p.gone,
            "gone_refused": p.gone_refused,
        })),
        "sweep": report.swept.as_ref().map(super::verify::object),
        "warnings": report.warnings,
    })
}

/// Shows what a copy did, but for its sweep.
pub(super) fn print_copied(report: &CopyReport, time: Duration, out: &Out) {
    if !out.is_json() {
        report.warnings.iter().for_each(|warning| out.note(format!("restow: warning: {warning}")));
    }
    if let Some(planned) = &report.planned {
        plan_lines(planned, out);
    } else {
        copied_lines(report, time, out);
    }
    failure_lines("not copied", &report.failures, out);
    failure_lines("set aside", &report.aside, out);
}

/// Says what becomes of a copy that was stopped.
pub(super) fn print_interrupted(report: &CopyReport, out: &Out) {
    out.line(match &report.planned {
        None => "interrupted; run the same command again to go on from here",
        Some(_) => "stopped before the end; the numbers are of a part",
    });
}

fn copied_lines(report: &CopyReport, time: Duration, out: &Out) {
    let units = &report.units;
    let parts = [
        (units.copied, "copied"),
        (units.updated, "brought up to date"),
        (units.adopted, "equal already"),
        (units.unchanged, "unchanged"),
        (units.removed, "removed, gone from the source"),
        (units.extra_removed, "removed, only at the target"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, w)| format!("{} {w}", count(*n))).collect();
    let said = if said.is_empty() { "none".into() } else { said.join(", ") };
    out.line(format!("units    {said}"));
    let rate = report.bytes as f64 / time.as_secs_f64().max(0.001);
    out.line(format!(
        "records  {}, {} in {} ({}/s)",
        count(report.records),
        bytes(report.bytes),
        span(time),
        bytes(rate as u64),
    ));
}

fn plan_lines(planned: &restow::Planned, out: &Out) {
    out.line(format!(
        "dry run  {}, {}, {}; nothing was written",
        counted(planned.units, "unit", "units"),
        counted(planned.records, "record", "records"),
        bytes(planned.bytes)
    ));
    let lines = [
        (planned.new, "would be copied"),
        (planned.source_moved, "would be brought up to date"),
        (planned.adopted, "equal already"),
        (planned.unchanged, "unchanged"),
        (planned.gone, "would be removed: gone from the source"),
        (planned.target_moved, "would be refused: the target moved on"),
        (planned.both_moved, "would be refused: both sides moved on"),
        (planned.unrelated, "would be refused: the target holds others of their names"),
        (planned.gone_refused, "would be refused: gone from the source, but not as it was copied"),
        (planned.unfit, "would fail: damaged, or more than the target can hold"),
    ];
    for (n, words) in lines.iter().filter(|(n, _)| *n > 0) {
        out.line(format!("  {:>9} {words}", count(*n)));
    }
    for (unit, unsupported) in &planned.unsupported {
        out.line(format!("  unit {unit}: {unsupported}"));
    }
    for (unit, relation) in &planned.refusals {
        out.line(format!("  unit {unit}: {}", relation.refusal().unwrap_or("refused")));
    }
    for unit in &planned.removals {
        out.line(format!("  unit {unit}: would be removed"));
    }
}

fn failure_lines(heading: &str, failures: &[Failure], out: &Out) {
    if failures.is_empty() {
        return;
    }
    out.line(format!("{heading}: {}", counted(failures.len() as u64, "unit", "units")));
    for failure in failures.iter().take(SHOWN_MAX) {
        let unit = failure.unit.as_ref().map_or_else(String::new, |unit| format!("{unit}: "));
        out.line(format!("  {} · {unit}{}", failure.what, failure.why));
    }
    if failures.len() > SHOWN_MAX {
        out.line(format!(
            "  … and {} more; `restow status` lists them",
            failures.len() - SHOWN_MAX
        ));
    }
}

pub(super) fn failure_object(failure: &Failure) -> serde_json::Value {
    json!({
        "unit": failure.unit.as_ref().map(|unit| unit.as_str()),
        "what": &*failure.what,
        "why": &*failure.why,
    })
}
