//! `restow migrate plan`: what a migration would do, and what comes next.

use std::path::Path;
use std::sync::Arc;

use restow::live::{Migration, Phase};
use restow::{Access, Clock, CopyOptions, CopyReport, Result};
use serde_json::json;

use super::{router, status};
use crate::args::MigratePlan;
use crate::commands::copy::{self, Working, jobs};
use crate::commands::environment;
use crate::exit::Exit;
use crate::out::Out;
use crate::words::place;

/// A step that is still to be taken: how, and what it does.
type Step = (String, &'static str);

pub(super) async fn run(args: &MigratePlan, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let migration = Migration::read(&args.at.config)?;
    let begun = match migration.look(&environment()).await? {
        Some(pair) => {
            let config = pair.config().await?.config;
            (config.phase > Phase::Off).then_some((pair, config))
        }
        None => None,
    };
    let Some((pair, config)) = begun else {
        let report = dry_run(args, &migration, clock, out).await?;
        steps(&all(&migration, &args.at.config), out);
        return Ok(match (report.interrupted, report.is_clean()) {
            (true, _) => Exit::Interrupted,
            (false, true) => Exit::Ok,
            (false, false) => Exit::Unclean,
        });
    };
    let standings = router(pair, &config, &clock).standings().await?;
    status::print(&migration, &config, &standings, out);
    let all = all(&migration, &args.at.config);
    let done = match config.phase {
        Phase::Cleanup | Phase::Cancelled => all.len() - 1,
        Phase::Settled => 3,
        _ => 2,
    };
    steps(&all[done..], out);
    Ok(if standings.damaged == 0 { Exit::Ok } else { Exit::Unclean })
}

/// Reads the whole source, and says what of it the target could not hold.
async fn dry_run(
    args: &MigratePlan,
    migration: &Migration,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<CopyReport> {
    let source = crate::commands::open(&migration.source, Access::Read).await?;
    let (target, _scratch) = copy::target(&migration.target, true).await?;
    let (from, to) = (migration.source.to_string(), migration.target.to_string());
    out.line(format!("{}: not begun", migration.name));
    out.line(format!("{}\n  → {}", place(&from), place(&to)));
    let options = CopyOptions { dry_run: true, jobs: jobs(&args.pace), ..CopyOptions::default() };
    let working = Working::begin(&args.pace, &options, &clock, out);
    let began = clock.monotonic();
    let (reading, counters) = (working.slowed(source.store), working.counters.clone());
    let ledger = restow::memory_ledger();
    let report =
        restow::copy(reading, target.store, ledger, clock.clone(), options, counters).await;
    drop(working);
    let (report, time) = (report?, clock.monotonic().saturating_sub(began));
    out.object(&copy::object("plan", &report, time));
    copy::print_copied(&report, time, out);
    Ok(report)
}

/// Returns every step of a migration, in order.
fn all(migration: &Migration, config: &Path) -> Vec<Step> {
    let name = &migration.name;
    let with = match config == Path::new("restow.toml") {
        true => String::new(),
        false => format!(" --config {}", config.display()),
    };
    let config = config.display();
    vec![
        (
            "let every client read and write through restow".into(),
            "what another one writes is lost when its unit moves",
        ),
        (
            format!("restow migrate start --confirm {name}{with}"),
            "clients write control records; nothing moves",
        ),
        (
            format!("restow migrate rollout PERCENT{with}"),
            "that share of the units moves, and more when it is raised to 100; rollback at any \
             time",
        ),
        (
            format!("restow backup create --config {config} FILE"),
            "each unit from its home; checked, as completing asks for it",
        ),
        (
            format!("restow migrate complete --backup FILE --confirm {name}{with}"),
            "the source is retired; there is no way back",
        ),
        (
            format!("restow migrate cleanup --confirm {name}{with}"),
            "what the retired store holds is removed, once no client goes through restow",
        ),
    ]
}

fn steps(steps: &[Step], out: &Out) {
    out.object(&json!({
        "event": "steps",
        "steps": steps.iter().map(|(how, what)| json!({ "how": how, "what": what }))
            .collect::<Vec<_>>(),
    }));
    out.line("next");
    for (n, (how, what)) in steps.iter().enumerate() {
        out.line(format!("  {}. {how}\n     {what}", n + 1));
    }
}
