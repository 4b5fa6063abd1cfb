//! `restow doctor`: whether a store does what an application needs of it.

use std::sync::Arc;

use restow::doctor::Trial;
use restow::{Address, Clock, Result};
use serde_json::json;

use super::environment;
use crate::args::Doctor;
use crate::exit::Exit;
use crate::out::Out;
use crate::words::span;

pub(super) async fn run(args: &Doctor, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let address = Address::parse(&args.address)?;
    let seed = u64::from(std::process::id()) ^ (clock.wall().as_micros() as u64);
    let Trial { steps, failed } = restow::doctor(&address, &environment(), clock, seed).await;
    let shown = steps.iter().map(|step| {
        json!({ "step": step.name, "said": step.said, "elapsed_ms": step.took.as_millis() as u64 })
    });
    out.object(&json!({
        "event": "doctor",
        "steps": shown.collect::<Vec<_>>(),
        "healthy": failed.is_none(),
    }));
    for step in &steps {
        out.line(format!("{:<21} {:>7}  {}", step.name, span(step.took), step.said));
    }
    match failed {
        Some(error) => Err(error),
        None => {
            out.line("all is well");
            Ok(Exit::Ok)
        }
    }
}
