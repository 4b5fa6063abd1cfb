//! `restow status`: what a ledger knows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restow::{Address, Clock, Error, ErrorKind, Result, Summary};
use serde_json::json;

use super::{copy::failure_object, ledger_path};
use crate::args::Status;
use crate::exit::Exit;
use crate::out::Out;
use crate::words::{count, counted, place, span};

pub(super) async fn run(args: &Status, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let given = PathBuf::from(&args.target);
    let path = match given.extension().is_some_and(|ending| ending == "ledger") {
        true => given,
        false => ledger_path(None, &Address::parse(&args.target)?)?,
    };
    let ledger = restow::read_ledger(&path).await?.ok_or_else(|| {
        let message = "nothing was ever copied there, or its ledger is elsewhere; name the ledger";
        let error = Error::new(ErrorKind::NotFound, "read the ledger", message);
        error.with("file", path.display().to_string())
    })?;
    let summaries = ledger.summaries().await?;
    let mut exit = Exit::Ok;
    for summary in &summaries {
        if !summary.failures.is_empty() {
            exit = Exit::Unclean;
        }
        print(summary, clock.wall(), out);
    }
    Ok(exit)
}

fn print(summary: &Summary, now: Duration, out: &Out) {
    out.object(&json!({
        "event": "status",
        "source": summary.source,
        "target": summary.target,
        "units": summary.units,
        "segments": { "done": summary.segments.0, "all": summary.segments.1 },
        "attempts": summary.attempts.iter().map(|(began, ended, outcome)| json!({
            "began_ms": began, "ended_ms": ended, "outcome": outcome,
        })).collect::<Vec<_>>(),
        "failures": summary.failures.iter().map(failure_object).collect::<Vec<_>>(),
    }));
    out.line(format!("{}\n  → {}", place(&summary.source), place(&summary.target)));
    out.line(format!("verified {}", counted(summary.units, "unit", "units")));
    let (done, all) = summary.segments;
    if done < all {
        out.line(format!("unfinished: {done} of {all} shares of the source are done"));
    }
    for (began, ended, outcome) in summary.attempts.iter().rev().take(5) {
        let ago = span(now.saturating_sub(Duration::from_millis(*began)));
        let how = match (ended, outcome) {
            (Some(ended), Some(outcome)) => {
                let took = Duration::from_millis(ended.saturating_sub(*began));
                format!("{outcome}, took {}", span(took))
            }
            _ => "running, or it died".into(),
        };
        out.line(format!("attempt  {ago} ago: {how}"));
    }
    if !summary.failures.is_empty() {
        out.line(format!("not copied: {}", count(summary.failures.len() as u64)));
    }
    for failure in &summary.failures {
        let unit = failure.unit.as_ref().map_or_else(String::new, |unit| format!("{unit}: "));
        out.line(format!("  {} · {unit}{}", failure.what, failure.why));
    }
}
