//! `restow migrate status`: where all units are, once or until they are where they should be.

use std::sync::Arc;
use std::time::Duration;

use restow::live::{Config, Migration, Phase, Router, Standings};
use restow::{Clock, Error, Result, Stop};
use serde_json::{Value, json};

use super::{looked_at, router};
use crate::args::MigrateStatus;
use crate::commands::stop_on_interrupt;
use crate::exit::Exit;
use crate::out::Out;
use crate::words::{count, counted, place, span};

/// How often stores are looked at that change at every look.
const LOOKS_MAX: usize = 50;
/// How long it takes until they are looked at again.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(args: &MigrateStatus, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let migration = Migration::read(&args.at.config)?;
    let pair = looked_at(&migration, &clock).await?;
    let config = pair.config().await?.config;
    let router = router(pair, &config, &clock);
    if args.wait {
        return wait(&migration, &router, Duration::from_secs(args.every), clock, out).await;
    }
    let (config, standings) = look(&router, &clock).await?;
    print(&migration, &config, &standings, out);
    Ok(exit(&standings))
}

/// Looks where all units are; files that change meanwhile are looked at again.
async fn look(router: &Router, clock: &Arc<dyn Clock>) -> Result<(Arc<Config>, Standings)> {
    for _ in 1..LOOKS_MAX {
        let looked = async { Ok((router.refresh().await?, router.standings().await?)) }.await;
        match looked {
            Err(error) if Error::is_retryable(&error) => clock.sleep(LOOK_PAUSE).await,
            looked => return looked,
        }
    }
    Ok((router.refresh().await?, router.standings().await?))
}

fn exit(standings: &Standings) -> Exit {
    if standings.damaged == 0 { Exit::Ok } else { Exit::Unclean }
}

/// Says how far it is at every interval, until no unit is elsewhere than wanted.
async fn wait(
    migration: &Migration,
    router: &Router,
    every: Duration,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<Exit> {
    let stop = Stop::new();
    stop_on_interrupt(stop.clone());
    let mut before = None;
    loop {
        let (config, standings) = look(router, &clock).await?;
        let (now, left) = (clock.monotonic(), left(&standings));
        out.object(&object(migration, &config, &standings));
        out.line(line(&migration.name, &config, &standings, rate(before, (now, left))));
        if left == 0 {
            return Ok(exit(&standings));
        }
        before = Some((now, left));
        tokio::select! {
            () = clock.sleep(every) => {}
            () = stop.stopped() => return Ok(Exit::Interrupted),
        }
    }
}

/// Returns how many units are still to be dealt with.
fn left(standings: &Standings) -> u64 {
    standings.misplaced + standings.sealed
}

/// Returns how many units a second have come to their place between two moments.
fn rate(before: Option<(Duration, u64)>, (now, left): (Duration, u64)) -> Option<f64> {
    let (then, was) = before?;
    let seconds = now.saturating_sub(then).as_secs_f64();
    let moved = was.checked_sub(left).filter(|moved| *moved > 0)?;
    (seconds > 0.0).then(|| moved as f64 / seconds)
}

/// Says in one line how far a migration is.
fn line(name: &str, config: &Config, standings: &Standings, rate: Option<f64>) -> String {
    let Standings { units, at_source, at_target, .. } = *standings;
    let mut line = format!(
        "{name} · {} · {}: {} at the source, {} at the target",
        phase(config),
        counted(units, "unit", "units"),
        count(at_source),
        count(at_target),
    );
    if left(standings) > 0 {
        line += &format!(" · {} to move", count(left(standings)));
    }
    if let Some(rate) = rate {
        let time = Duration::from_secs_f64((left(standings) as f64 / rate).min(1e9));
        line += &format!(" · {rate:.1} units/s");
        if left(standings) > 0 {
            line += &format!(" · about {} left", span(time));
        }
    }
    if config.paused {
        line += " · paused";
    }
    if standings.damaged > 0 {
        line += &format!(" · {} damaged", count(standings.damaged));
    }
    match (config.phase.ends_at(), standings.rollback_ready()) {
        (Some(_), _) => line + " · ended",
        (None, true) => line + " · rollback_ready",
        (None, false) if standings.mirror_lag == 0 => line,
        (None, false) => line + &format!(" · mirror_lag {}", count(standings.mirror_lag)),
    }
}

fn phase(config: &Config) -> String {
    match config.phase {
        Phase::Move => format!("move {} %", f64::from(config.share) / 100.0),
        phase => phase.name().to_string(),
    }
}

/// Returns where all units are as an object.
fn object(migration: &Migration, config: &Config, standings: &Standings) -> Value {
    json!({
        "event": "migration",
        "migration": migration.name,
        "phase": config.phase.name(),
        "share": config.share,
        "epoch": config.epoch,
        "paused": config.paused,
        "lost": config.lost,
        "units": standings.units,
        "at_source": standings.at_source,
        "at_target": standings.at_target,
        "sealed": standings.sealed,
        "staging": standings.staging,
        "misplaced": standings.misplaced,
        "uncopied": standings.uncopied,
        "mirror_lag": standings.mirror_lag,
        "damaged": standings.damaged,
        "damaged_units": standings.damaged_units.iter().map(|(unit, why)| json!({
            "unit": unit.as_str(), "why": why,
        })).collect::<Vec<_>>(),
        "rollback_ready": standings.rollback_ready(),
    })
}

/// Shows where all units are.
pub(super) fn print(migration: &Migration, config: &Config, standings: &Standings, out: &Out) {
    let Standings { units, at_source, at_target, sealed, staging, .. } = *standings;
    out.object(&object(migration, config, standings));
    let (source, target) = (migration.source.to_string(), migration.target.to_string());
    let paused = if config.paused { ", paused" } else { "" };
    let lost = if config.lost { ", the target is lost" } else { "" };
    out.line(format!(
        "{}: phase {}, epoch {}{paused}{lost}",
        migration.name,
        phase(config),
        config.epoch
    ));
    out.line(format!("{}\n  → {}", place(&source), place(&target)));
    let moving = sealed + staging;
    out.line(format!(
        "{}: {} at the source, {} at the target, {} on their way",
        counted(units, "unit", "units"),
        count(at_source),
        count(at_target),
        count(moving),
    ));
    if config.phase == Phase::Shadow {
        let copied = standings.units - standings.uncopied;
        out.line(format!("{} copied ahead", counted(copied, "unit", "units")));
    }
    if standings.misplaced > 0 {
        out.line(format!("{} still to move", counted(standings.misplaced, "unit", "units")));
    }
    match (config.phase.ends_at(), standings.rollback_ready()) {
        (Some(at), _) => out.line(format!("ended: every unit stays at the {at}")),
        (None, true) => {
            out.line("rollback_ready: all that is at the target is at the source as well");
        }
        (None, false) if standings.mirror_lag == 0 => {}
        (None, false) => out.line(format!("mirror_lag: {}", count(standings.mirror_lag))),
    }
    if standings.damaged > 0 {
        out.line(format!("damaged: {}", counted(standings.damaged, "unit", "units")));
    }
    out.first_of(standings.damaged, &standings.damaged_units, |(unit, why)| {
        format!("{unit}: {why}")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let config = Config { phase: Phase::Move, share: 3750, ..Config::default() };
        let mut standings = Standings {
            units: 1900,
            at_source: 1400,
            at_target: 500,
            misplaced: 200,
            ..Standings::default()
        };
        let text = line("agent", &config, &standings, None);
        let head = "agent · move 37.5 % · 1,900 units: 1,400 at the source, 500 at the target";
        assert_eq!(text, format!("{head} · 200 to move · rollback_ready"));
        let text = line("agent", &config, &standings, Some(10.0));
        assert!(text.contains("· 10.0 units/s · about 20.0 s left ·"), "{text}");
        (standings.mirror_lag, standings.damaged, standings.misplaced) = (3, 1, 0);
        let paused = Config { paused: true, ..config };
        let text = line("agent", &paused, &standings, None);
        assert_eq!(text, format!("{head} · paused · 1 damaged · mirror_lag 3"));
    }

    #[test]
    fn a_rate_is_of_what_came_to_its_place() {
        let at = Duration::from_secs;
        assert_eq!(rate(None, (at(1), 5)), None);
        assert_eq!(rate(Some((at(1), 25)), (at(3), 5)), Some(10.0));
        assert_eq!(rate(Some((at(1), 5)), (at(3), 5)), None);
        assert_eq!(rate(Some((at(1), 5)), (at(3), 9)), None);
    }
}
