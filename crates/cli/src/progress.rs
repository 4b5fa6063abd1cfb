//! Progress: a bar on a terminal, a plain line per interval elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use restow::{Clock, Progress, Snapshot};

use crate::out::Out;
use crate::words::{bytes, count, span};

/// How often a bar moves, and how soon a new phase is noticed.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
/// How often a plain line is printed.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// No rate is shown before a phase has lasted so long.
const RATE_TIME_MIN: Duration = Duration::from_secs(1);
/// No estimate of the time left is shown before so much of the work is done.
const ETA_SHARE_MIN: f64 = 0.02;

/// Shows progress until it is dropped.
pub(crate) struct Shown {
    task: tokio::task::JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Begins to show progress on standard error.
pub(crate) fn show(progress: Arc<Progress>, clock: Arc<dyn Clock>, out: &Out) -> Shown {
    let on_terminal = std::io::stderr().is_terminal() && !out.is_json();
    let bar = on_terminal.then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar
    });
    let shown = bar.clone();
    let json = out.is_json();
    let task = tokio::spawn(async move {
        let out = Out::new(json);
        let mut phase = (progress.snapshot().phase, clock.monotonic());
        let mut said = phase.1;
        loop {
            clock.sleep(BAR_INTERVAL).await;
            let now = clock.monotonic();
            let snapshot = progress.snapshot();
            if snapshot.phase != phase.0 {
                phase = (snapshot.phase, now);
            }
            if shown.is_none() && now.saturating_sub(said) < LINE_INTERVAL {
                continue;
            }
            said = now;
            let line = line(&snapshot, now.saturating_sub(phase.1));
            match &shown {
                Some(bar) => {
                    bar.set_message(line);
                    bar.tick();
                }
                None => out.note(line),
            }
        }
    });
    Shown { task, bar }
}

/// Says how far a phase has come after a time.
pub(crate) fn line(snapshot: &Snapshot, time: Duration) -> String {
    let is_told = time >= RATE_TIME_MIN;
    let rate = if is_told { snapshot.bytes as f64 / time.as_secs_f64() } else { 0.0 };
    let mut line = format!(
        "{} · {} units · {} records · {}",
        snapshot.phase.word(),
        count(snapshot.units),
        count(snapshot.records),
        bytes(snapshot.bytes),
    );
    if let Some(estimate) = snapshot.bytes_estimate {
        line += &format!(" of about {}", bytes(estimate));
        let share = snapshot.bytes as f64 / estimate as f64;
        if (ETA_SHARE_MIN..1.0).contains(&share) && rate > 0.0 {
            let left = (estimate - snapshot.bytes.min(estimate)) as f64 / rate;
            line += &format!(" · about {} left", span(Duration::from_secs_f64(left.min(1e9))));
        }
    }
    if is_told {
        line += &format!(" · {}/s", bytes(rate as u64));
    }
    if snapshot.failures > 0 {
        line += &format!(" · {} failed", count(snapshot.failures));
    }
    if let Some(reason) = &snapshot.throttled {
        line += &format!(" · throttled: {reason}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_time_left_only_where_they_mean_something() {
        let mut snapshot =
            Snapshot { units: 5, records: 1200, bytes: 1_000_000, ..Snapshot::default() };
        let text = line(&snapshot, Duration::from_secs(2));
        assert_eq!(text, "prepare · 5 units · 1,200 records · 1.00 MB · 500.0 kB/s");
        assert!(!line(&snapshot, Duration::ZERO).contains("/s"), "the phase has just begun");
        snapshot.bytes_estimate = Some(100_000_000);
        assert!(!line(&snapshot, Duration::from_secs(2)).contains("left"));
        snapshot.bytes_estimate = Some(10_000_000);
        snapshot.throttled = Some("--max-rate".into());
        let text = line(&snapshot, Duration::from_secs(2));
        assert!(text.contains("of about 10.0 MB · about 18.0 s left"), "{text}");
        assert!(text.ends_with("throttled: --max-rate"), "{text}");
    }
}
