//! What all benches are told on their command lines.

use std::path::PathBuf;

/// What to measure, beside what, and how often.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {
    /// The `restow` to measure; the one beside this program by default.
    #[arg(long)]
    restow: Option<PathBuf>,
    /// A Python with the official savers, to measure a loop over them too.
    #[arg(long, env = "RESTOW_TEST_PYTHON")]
    pub python: Option<PathBuf>,
    /// The script that loops over the official savers.
    #[arg(long, default_value = "tests/official/judge.py")]
    pub judge: PathBuf,
    /// How many rounds; each figure is a median.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Sources of a tenth of the turns, to try the bench itself.
    #[arg(long)]
    quick: bool,
}

impl BenchOptions {
    /// Finds the `restow` to measure, and prints how it is measured.
    pub fn begin(&self) -> PathBuf {
        let beside = || std::env::current_exe().expect("this program").with_file_name("restow");
        let restow = self.restow.clone().unwrap_or_else(beside);
        assert!(restow.exists(), "build it first, or name it with --restow: {}", restow.display());
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores, warm cache, medians of {} rounds", self.rounds);
        restow
    }

    /// Returns how many turns a source has that ordinarily has so many.
    pub fn turns(&self, ordinarily: u64) -> u64 {
        if self.quick { ordinarily / 10 } else { ordinarily }
    }
}
