//! A mover: a process that sweeps all units to where they are to live, again and again.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use restow::live::{Errand, Side};

use super::client::{Life, may_pass, report, told};
use super::clock::now_ns;
use super::history::{Asked, Came, Recorder};
use crate::generate::random::Random;

/// So many units a mover moves at once.
const WORKERS: usize = 3;

/// Lives one life of a mover.
pub async fn live(life: Life) {
    let recorder = Recorder::new(&life.folder, &life.name);
    let numbers = AtomicU64::new(1);
    let Some(router) = life.router().await else { return };
    let mut random = Random::new(life.seed);
    while now_ns() < life.until {
        let errand = if random.once_in(4) { Errand::Copy(Side::Target) } else { Errand::Place };
        let swept = match router.refresh().await {
            Ok(_) => router.sweep(errand, WORKERS, &AtomicBool::new(false)).await,
            Err(error) => Err(error),
        };
        match swept {
            Ok(swept) => {
                for (unit, error) in swept.failures {
                    let number = unit.as_str().rsplit('-').next().and_then(|n| n.parse().ok());
                    report(&recorder, &numbers, number.expect("a number"), Err(error));
                }
            }
            Err(error) if may_pass(&error) => {}
            Err(error) => {
                recorder.ask(0, "all", Asked::Read);
                recorder.answer(0, &Came::Broken(told(&error)));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
