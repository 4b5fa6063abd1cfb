//! `restow verify`: two stores compared record by record.

use std::sync::Arc;

use restow::{Access, Address, Clock, Progress, Result, SweepReport, VerifyOptions};
use serde_json::{Value, json};

use super::{ledger_path, stop_on_interrupt, units};
use crate::args::Verify;
use crate::exit::Exit;
use crate::out::Out;
use crate::progress;
use crate::words::{count, counted};

pub(super) async fn run(args: &Verify, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let (source_at, target_at) = (Address::parse(&args.source)?, Address::parse(&args.target)?);
    let source = super::open(&source_at, Access::Read).await?;
    let target = super::open(&target_at, Access::Read).await?;
    let ledger = match ledger_path(args.ledger.as_ref(), &target_at) {
        Ok(path) => restow::read_ledger(&path).await?,
        Err(_) => None,
    };
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let options = VerifyOptions { jobs, units: units(&args.units)?, ..VerifyOptions::default() };
    stop_on_interrupt(options.stop.clone());
    let counters = Arc::new(Progress::new());
    let shown = progress::show(counters.clone(), clock, out);
    let report = restow::verify(source.store, target.store, ledger, options, counters).await;
    drop(shown);
    let report = report?;
    let mut said = object(&report);
    said["event"] = json!("verify");
    out.object(&said);
    print(&report, out);
    Ok(match (report.interrupted, report.is_clean()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Unclean,
    })
}

/// Shows a comparison as text.
pub(super) fn print(report: &SweepReport, out: &Out) {
    let records = format!(
        "{} of the source against {} of the target",
        count(report.source_records),
        counted(report.target_records, "record", "records"),
    );
    if report.interrupted {
        out.line("verified nothing: it was stopped before the end");
        return;
    }
    let found = match (report.is_clean(), report.excused) {
        (true, 0) => "equal",
        (true, _) => "equal but for what is named above",
        (false, _) => "they differ",
    };
    out.line(format!("verified {records}: {found}"));
    for (what, n) in &report.counts {
        out.line(format!("  {:>9} {}", count(*n), what.word()));
    }
    out.first_of(report.counts.values().sum(), &report.findings, ToString::to_string);
    if !report.is_clean() && report.is_sound() {
        out.line("the source moved on meanwhile; run the copy again to follow it");
    }
    if !report.is_clean() && report.excused > 0 {
        out.line(format!("  {:>9} named above already", count(report.excused)));
    }
}

/// Returns a comparison as an object.
pub(super) fn object(report: &SweepReport) -> Value {
    let counts: serde_json::Map<_, _> =
        report.counts.iter().map(|(what, n)| (what.word().to_string(), json!(n))).collect();
    json!({
        "clean": report.is_clean(),
        "source_records": report.source_records,
        "target_records": report.target_records,
        "counts": counts,
        "extra_units": report.extra_units,
        "findings": report.findings.iter().map(|f| json!({
            "what": f.what.word(),
            "unit": f.unit.as_ref().map(|unit| unit.as_str()),
            "record": f.key.as_ref().map(ToString::to_string),
            "detail": f.detail,
        })).collect::<Vec<_>>(),
        "interrupted": report.interrupted,
    })
}
