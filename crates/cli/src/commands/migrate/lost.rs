//! `restow migrate rollback --target-lost`: the source goes on alone, from the copies that it has.

use std::sync::Arc;

use restow::live::{AtRisk, Config, Migration, Phase};
use restow::store::RegisterName;
use restow::{Access, Clock, Error, ErrorKind, Result};
use serde_json::json;

use super::{not_begun, router, seed, stop_on_interrupt};
use crate::args::Rollback;
use crate::commands::environment;
use crate::exit::Exit;
use crate::out::Out;
use crate::words::counted;

pub(super) async fn rollback(args: &Rollback, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let migration = Migration::read(&args.mover.at.config)?;
    if !has_begun(&migration).await? {
        return Err(not_begun(&migration));
    }
    let pair = migration.open_alone(&environment(), &seed(&clock)).await?;
    let held = pair.config().await?;
    let was = held.config.clone();
    if was.phase == Phase::Off {
        return Err(not_begun(&migration));
    }
    if was.phase.ends_at().is_some() {
        let message = "the migration was completed or cancelled; restore a backup";
        let error = Error::new(ErrorKind::Refused, "give up the target", message);
        return Err(error.with("phase", was.phase.name()));
    }
    let router = router(pair, &was, &clock);
    print_at_risk(&router.at_risk().await?, out);
    if args.confirm.as_deref() != Some(&*migration.name) {
        let message = format!(
            "what the target alone holds is given up; stop every client, then add --confirm {}",
            migration.name
        );
        return Err(Error::new(ErrorKind::Refused, "give up the target", message));
    }
    if !was.lost {
        let lost = Config { lost: true, phase: Phase::Move, share: 0, paused: false, ..was };
        router.pair().configure(&held, lost).await?;
    }
    let stop = stop_on_interrupt();
    let forced = router.force(&stop).await?;
    let left = router.at_risk().await?.len() as u64;
    out.object(&json!({ "event": "forced", "migration": migration.name, "units": forced,
        "left": left }));
    out.line(format!("{} live at the source again", counted(forced, "unit", "units")));
    if left > 0 {
        out.line(format!("{left} left; run the same command again"));
        let is_stopped = stop.load(std::sync::atomic::Ordering::Relaxed);
        return Ok(if is_stopped { Exit::Interrupted } else { Exit::Unclean });
    }
    out.line("clients may begin again; `migrate cancel` ends the migration");
    Ok(Exit::Ok)
}

/// Says of every unit that lived elsewhere what the source holds of it.
fn print_at_risk(units: &[AtRisk], out: &Out) {
    out.line(match units.len() {
        0 => "every unit lives at the source: nothing is at risk".to_owned(),
        n => format!(
            "at risk: {}; what was written at the target later than this is lost, unless policy \
             both answered it",
            counted(n as u64, "unit", "units")
        ),
    });
    for AtRisk { unit, holds } in units {
        out.object(&json!({ "event": "at risk", "unit": unit.as_str(),
            "term": holds.map(|holds| holds.term), "seq": holds.map(|holds| holds.seq) }));
        out.line(match holds {
            Some(holds) => format!("  {unit}: up to write {}", holds.seq),
            None => format!("  {unit}: damaged; it stays as it is"),
        });
    }
}

/// Says whether a migration's source was made ready for one, without changing anything.
pub(super) async fn has_begun(migration: &Migration) -> Result<bool> {
    let source = restow::open(&migration.source, Access::Read, &environment()).await?.store;
    Ok(source.register_read(RegisterName::store()).await?.is_some())
}
