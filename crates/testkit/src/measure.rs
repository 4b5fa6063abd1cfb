//! Measuring: medians of runs that take turns, so that a slow minute is shared by all.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::cli::{Outcome, Running};

/// What one run of a measure gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// How long it took.
    pub seconds: f64,
    /// The most memory that a child held, in bytes; 0 where there was none.
    pub peak_memory: u64,
    /// The size of what it made, in bytes; 0 where it made nothing.
    pub made: u64,
}

/// A thing to measure, and what it gave so far.
pub struct Measure<'a> {
    /// What it is, as the table names it.
    pub name: &'static str,
    /// What was run, for whoever wants to run it again.
    pub command: String,
    run: Box<dyn Fn() -> Sample + 'a>,
    samples: Vec<Sample>,
}

impl<'a> Measure<'a> {
    /// Names a measure; nothing runs yet.
    pub fn new(name: &'static str, command: String, run: impl Fn() -> Sample + 'a) -> Self {
        Self { name, command, run: Box::new(run), samples: Vec::new() }
    }

    /// Returns the medians of the samples, each figure on its own.
    pub fn median(&self) -> Sample {
        let of = |figure: fn(&Sample) -> f64| {
            let mut figures: Vec<f64> = self.samples.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Sample {
            seconds: of(|sample| sample.seconds),
            peak_memory: of(|sample| sample.peak_memory as f64) as u64,
            made: of(|sample| sample.made as f64) as u64,
        }
    }

    /// Returns the shortest and the longest time.
    pub fn range(&self) -> (f64, f64) {
        let seconds = || self.samples.iter().map(|sample| sample.seconds);
        (seconds().fold(f64::INFINITY, f64::min), seconds().fold(0.0, f64::max))
    }
}

impl std::fmt::Debug for Measure<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measure").field("name", &self.name).field("samples", &self.samples).finish()
    }
}

/// Runs all measures so many times, each round in the same order.
pub fn take_turns(measures: &mut [Measure<'_>], rounds: usize) {
    for _ in 0..rounds {
        for measure in measures.iter_mut() {
            let sample = (measure.run)();
            measure.samples.push(sample);
        }
    }
}

/// Reads a file once from end to end, and says how long that took.
pub fn read_once(path: &Path) -> Sample {
    let start = Instant::now();
    let mut file = File::open(path).expect("open the file to read");
    let mut piece = vec![0u8; 1 << 20];
    let mut held = 0u8;
    while let Ok(count @ 1..) = file.read(&mut piece) {
        // So that the reading is not left out.
        held ^= std::hint::black_box(&piece[..count]).last().copied().unwrap_or(0);
    }
    std::hint::black_box(held);
    Sample { seconds: start.elapsed().as_secs_f64(), ..Sample::default() }
}

/// Runs a child to its end, which must be a success.
pub fn child(command: Command) -> (Outcome, Sample) {
    let start = Instant::now();
    let shown = format!("{command:?}");
    let outcome = Running::start(command).finish();
    let seconds = start.elapsed().as_secs_f64();
    assert!(outcome.code == Some(0), "{shown}\n{}{}", outcome.out, outcome.err);
    let sample = Sample { seconds, peak_memory: outcome.peak_memory, made: 0 };
    (outcome, sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn measures_take_turns_and_give_medians() {
        let order = RefCell::new(Vec::new());
        let run = &|name: &'static str| {
            order.borrow_mut().push(name);
            Sample { seconds: [3.0, 9.0, 5.0][(order.borrow().len() - 1) / 2], ..Sample::default() }
        };
        let mut measures = ["a", "b"].map(|n| Measure::new(n, String::new(), move || run(n)));
        take_turns(&mut measures, 3);
        assert_eq!(*order.borrow(), ["a", "b", "a", "b", "a", "b"]);
        assert_eq!(measures[0].median().seconds, 5.0);
        assert_eq!(measures[1].range(), (3.0, 9.0));
    }
}
