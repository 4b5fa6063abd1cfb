//! `restow backup`: a whole store in one file, checked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restow::backup::{
    self, Backup as Opened, CheckOptions, CheckReport, Created, Fault, Manifest, Origin, Restored,
    Retain, Subject, Verdict,
};
use restow::live::{Migration, Router, RouterOptions};
use restow::store::Error;
use restow::{Access, Address, Clock, CopyOptions, ErrorKind, Progress, Result, Stop};
use serde_json::{Value, json};

use super::copy::{self, Working, failure_object, jobs, on_unsupported};
use super::migrate::{looked_at, seed};
use super::{environment, ledger_path, stop_on_interrupt};
use crate::args::{
    Backup, BackupCheck, BackupCreate, BackupList, BackupPrune, BackupRestore, Pace,
};
use crate::exit::Exit;
use crate::out::Out;
use crate::progress;
use crate::words::{bytes, count, counted, moment, place};

/// How many faults are printed.
const SHOWN_MAX: usize = 20;

pub(super) async fn run(args: &Backup, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    match args {
        Backup::Create(args) => create(args, clock, out).await,
        Backup::List(args) => list(args, out).await,
        Backup::Check(args) => check(args, clock, out).await,
        Backup::Restore(args) => restore(args, clock, out).await,
        Backup::Prune(args) => prune(args, clock, out).await,
    }
}

async fn create(args: &BackupCreate, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let (subject, file) = match (&args.config, &args.places[..]) {
        (None, [source, file]) => {
            let opened = super::open(&Address::parse(source)?, Access::Read).await?;
            (Subject::store(opened.store), Path::new(file))
        }
        (Some(config), [file]) => (of_migration(config, &clock).await?, Path::new(file)),
        (Some(_), _) => return Err(misnamed("with --config, name the file to make alone")),
        (None, _) => return Err(misnamed("name the store to read, and then the file to make")),
    };
    out.line(format!("{}\n  → {}", place(subject.address()), file.display()));
    let options = options(&args.pace, args.dry_run);
    let stop = options.stop.clone();
    let working = Working::begin(&args.pace, &options, &clock, out);
    let began = clock.monotonic();
    let subject = subject.through(|store| working.slowed(store));
    let counters = working.counters.clone();
    let created = backup::create(subject, file, clock.clone(), options, counters).await;
    drop(working);
    let created = created?;
    print_created(&created, file, clock.monotonic().saturating_sub(began), out);
    Ok(match (created.report.interrupted || stop.is_stopped(), created.is_complete()) {
        (true, _) if created.manifest.is_none() => Exit::Interrupted,
        (_, true) => Exit::Ok,
        (_, false) => Exit::Unclean,
    })
}

fn misnamed(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, "make a backup", message)
}

fn options(pace: &Pace, dry_run: bool) -> CopyOptions {
    CopyOptions { jobs: jobs(pace), dry_run, stop: Stop::new(), ..CopyOptions::default() }
}

/// Takes the units of a migration, to read each at its home.
async fn of_migration(config: &Path, clock: &Arc<dyn Clock>) -> Result<Subject> {
    let migration = Migration::read(config)?;
    let pair = looked_at(&migration, clock).await?;
    let config = pair.config().await?.config;
    let options = RouterOptions::new(seed(clock), clock.clone());
    Ok(Subject::migration(Arc::new(Router::with_config(pair, config, options))))
}

fn print_created(created: &Created, file: &Path, time: Duration, out: &Out) {
    let Created { report, manifest } = created;
    let mut object = copy::object("backup", report, time);
    object["file"] = json!(file.display().to_string());
    object["manifest"] = manifest.as_ref().map_or(Value::Null, manifest_object);
    out.object(&object);
    copy::print_copied(report, time, out);
    let Some(manifest) = manifest else {
        if report.interrupted {
            out.line("interrupted; nothing was kept, and the same command begins again");
        }
        return;
    };
    if let Some(swept) = &report.swept {
        match swept.is_clean() {
            true => super::verify::print(swept, out),
            false => {
                let units = counted(swept.counts.values().sum(), "difference", "differences");
                let read = counted(swept.target_records, "record", "records");
                out.line(format!("read back {read}; the source went on meanwhile: {units}"));
            }
        }
    }
    out.line(format!("backup   {}, checked{}", holds(manifest), lacks(manifest)));
}

fn holds(manifest: &Manifest) -> String {
    format!(
        "{}, {}, {}",
        counted(manifest.units, "unit", "units"),
        counted(manifest.records, "record", "records"),
        bytes(manifest.bytes),
    )
}

fn lacks(manifest: &Manifest) -> String {
    match manifest.lacking {
        0 => String::new(),
        n => format!("; it lacks {} of its source", counted(n, "unit", "units")),
    }
}

fn manifest_object(manifest: &Manifest) -> Value {
    json!({
        "source": manifest.source,
        "application": manifest.application,
        "made_ms": manifest.made_ms,
        "made": moment(manifest.made_ms),
        "tool": manifest.tool,
        "units": manifest.units,
        "records": manifest.records,
        "bytes": manifest.bytes,
        "lacking": manifest.lacking,
        "migration": manifest.origin.as_ref().map(|origin| json!({
            "name": origin.migration, "epoch": origin.epoch, "phase": origin.phase,
        })),
    })
}

async fn list(args: &BackupList, out: &Out) -> Result<Exit> {
    let mut exit = Exit::Ok;
    for given in &args.places {
        let shelf = backup::list(given).await?;
        for opened in &shelf.backups {
            print_listed(opened, out);
        }
        for (file, error) in &shelf.unread {
            exit = Exit::Unclean;
            out.object(&json!({ "event": "unread", "file": file.display().to_string(),
                "why": error.to_string() }));
            out.line(format!("{}: cannot be read\n  {error}", file.display()));
        }
        for draft in &shelf.drafts {
            out.object(&json!({ "event": "draft", "folder": draft.display().to_string() }));
            out.line(format!("{}: being made, or its making died", draft.display()));
        }
        if shelf.backups.is_empty() && shelf.unread.is_empty() {
            out.line(format!("{}: no backup", given.display()));
        }
    }
    Ok(exit)
}

fn print_listed(opened: &Opened, out: &Out) {
    let Opened { file, file_bytes, manifest, .. } = opened;
    let mut object = manifest_object(manifest);
    object["event"] = json!("backup");
    object["file"] = json!(file.display().to_string());
    object["file_bytes"] = json!(file_bytes);
    out.object(&object);
    out.line(format!("{}: a file of {}", file.display(), bytes(*file_bytes)));
    out.line(format!("  made   {} of {}", moment(manifest.made_ms), place(&manifest.source)));
    out.line(format!("  holds  {}{}", holds(manifest), lacks(manifest)));
    if let Some(Origin { migration, epoch, phase }) = &manifest.origin {
        out.line(format!("  is of  migration {migration}, phase {phase}, epoch {epoch}"));
    }
}

async fn check(args: &BackupCheck, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let mut options = CheckOptions::default();
    options.share = args.share.unwrap_or(options.share);
    stop_on_interrupt(options.stop.clone());
    let counters = Arc::new(Progress::new());
    let shown = progress::show(counters.clone(), clock, out);
    let checked = backup::check(&args.file, &options, counters).await;
    drop(shown);
    let (manifest, report) = checked?;
    print_checked(&args.file, manifest.as_ref(), &report, out);
    Ok(match (report.interrupted, report.is_whole()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Unclean,
    })
}

fn print_checked(file: &Path, manifest: Option<&Manifest>, report: &CheckReport, out: &Out) {
    out.object(&json!({
        "event": "checked",
        "file": file.display().to_string(),
        "whole": report.is_whole(),
        "units": report.units,
        "read_units": report.read_units,
        "read_records": report.read_records,
        "faults": report.faults.iter().map(fault_object).collect::<Vec<_>>(),
        "faults_all": report.faults_all,
        "interrupted": report.interrupted,
        "manifest": manifest.map(manifest_object),
    }));
    if report.interrupted {
        out.line("checked nothing: it was stopped before the end");
        return;
    }
    let read = match report.read_units == report.units {
        true => counted(report.units, "unit", "units"),
        false => {
            let units = counted(report.units, "unit", "units");
            format!("{} of {units}", count(report.read_units))
        }
    };
    let records = counted(report.read_records, "record", "records");
    let found = if report.is_whole() { "whole" } else { "damaged" };
    out.line(format!("checked {read}, {records}: {found}"));
    fault_lines(&report.faults, report.faults_all, out);
}

fn fault_lines(faults: &[Fault], all: u64, out: &Out) {
    out.first_of(all, faults.iter().take(SHOWN_MAX), |fault| {
        let unit = fault.unit.as_ref().map_or_else(String::new, |unit| format!("{unit}: "));
        format!("damaged · {unit}{}", fault.why)
    });
}

fn fault_object(fault: &Fault) -> Value {
    json!({ "unit": fault.unit.as_ref().map(|unit| unit.as_str()), "why": fault.why })
}

async fn restore(args: &BackupRestore, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let opened = backup::open(&args.file).await?;
    let target_at = Address::parse(&args.target)?;
    let (target, scratch) = copy::target(&target_at, args.dry_run).await?;
    let ledger =
        copy::ledger(&ledger_path(args.ledger.as_ref(), &target_at)?, args.dry_run).await?;
    let shown = match scratch {
        None => place(&target.store.info().address),
        Some(_) => format!("{target_at} (not there yet)"),
    };
    out.line(format!("{}\n  → {shown}", args.file.display()));
    let unsupported = on_unsupported(args.unsupported);
    let options = CopyOptions { unsupported, ..options(&args.pace, args.dry_run) };
    let working = Working::begin(&args.pace, &options, &clock, out);
    let began = clock.monotonic();
    let reading = Opened { archive: working.slowed(opened.archive.clone()), ..opened.clone() };
    let (store, counters) = (target.store.clone(), working.counters.clone());
    let restored = backup::restore(&reading, store, ledger, clock.clone(), options, counters).await;
    drop(working);
    let restored = restored?;
    let time = clock.monotonic().saturating_sub(began);
    print_restored(&restored, &opened.manifest, time, out);
    Ok(match (restored.report.interrupted, restored.is_whole()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Unclean,
    })
}

fn print_restored(restored: &Restored, manifest: &Manifest, time: Duration, out: &Out) {
    let Restored { report, faults } = restored;
    let mut object = copy::object("restored", report, time);
    object["manifest"] = manifest_object(manifest);
    object["faults"] = json!(faults.iter().map(fault_object).collect::<Vec<_>>());
    object["failures"] = json!(report.failures.iter().map(failure_object).collect::<Vec<_>>());
    out.object(&object);
    copy::print_copied(report, time, out);
    fault_lines(faults, faults.len() as u64, out);
    if let Some(swept) = &report.swept {
        super::verify::print(swept, out);
    }
    if manifest.lacking > 0 {
        let lacking = counted(manifest.lacking, "unit", "units");
        out.line(format!("the backup was made without {lacking} of its source"));
    }
    if report.interrupted {
        copy::print_interrupted(report, out);
    }
}

async fn prune(args: &BackupPrune, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let shelf = backup::list(&args.folder).await?;
    let ended = match &args.config {
        Some(config) => ended(config).await?,
        None => None,
    };
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    let retain = Retain { newest: args.keep, within: args.older_than.map(days) };
    let manifests: Vec<&Manifest> = shelf.backups.iter().map(|b| &b.manifest).collect();
    let is_open = |origin: &Origin| ended.as_ref() != Some(&origin.migration);
    let verdicts = retain.judge(&manifests, clock.wall(), is_open);
    let is_going = !args.dry_run && verdicts.contains(&Verdict::Goes);
    let refused = is_going.then(|| unconfirmed(args)).flatten();
    let is_removing = is_going && refused.is_none();
    let (mut goes, all) = (0, shelf.backups.len() as u64);
    for (opened, verdict) in shelf.backups.into_iter().zip(verdicts) {
        goes += u64::from(verdict == Verdict::Goes);
        print_verdict(&opened, verdict, is_removing, out);
        if is_removing && verdict == Verdict::Goes {
            backup::remove(opened).await?;
        }
    }
    for (file, error) in &shelf.unread {
        out.line(format!("stays    {}: it cannot be read: {error}", file.display()));
    }
    let is_asked = args.dry_run || refused.is_some();
    let done = if is_asked { "would be removed" } else { "removed" };
    out.object(&json!({ "event": "pruned", "backups": all, "removed": goes,
        "is_done": is_removing }));
    out.line(format!("{} of {} {done}", count(goes), counted(all, "backup", "backups")));
    refused.map_or(Ok(Exit::Ok), Err)
}

/// Returns the name of a file's migration, where it has ended.
async fn ended(config: &Path) -> Result<Option<String>> {
    let migration = Migration::read(config)?;
    let phase = match migration.look(&environment()).await? {
        Some(pair) => Some(pair.config().await?.config.phase),
        None => None,
    };
    Ok((!phase.is_some_and(backup::pins)).then_some(migration.name))
}

fn print_verdict(opened: &Opened, verdict: Verdict, is_removing: bool, out: &Out) {
    let (word, why) = match verdict {
        Verdict::Pinned => {
            let why = "its migration may be open; --config with its file tells that it has ended";
            ("stays", why)
        }
        Verdict::Newest => ("stays", "it is one of the newest of its source"),
        Verdict::Young => ("stays", "it is not old enough"),
        Verdict::Goes if is_removing => ("removed", "no rule keeps it"),
        Verdict::Goes => ("goes", "no rule keeps it"),
    };
    let file = opened.file.display().to_string();
    let made = moment(opened.manifest.made_ms);
    out.object(&json!({ "event": "judged", "file": file, "made": made, "stays":
        verdict != Verdict::Goes, "why": why }));
    out.line(format!("{word:<8} {file}, made {made}: {why}"));
}

/// Refuses to remove what was not confirmed.
fn unconfirmed(args: &BackupPrune) -> Option<Error> {
    let folder = args.folder.canonicalize().unwrap_or_else(|_| args.folder.clone());
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| folder.display().to_string());
    if args.confirm.as_deref() == Some(&*name) {
        return None;
    }
    let message = format!("what is removed is gone; add --confirm {name} to say so");
    Some(Error::new(ErrorKind::Refused, "prune backups", message))
}
