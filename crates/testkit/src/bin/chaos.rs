//! Makes chaos: `chaos run --pair sqlite-postgres --seconds 60 --seed 1`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)]

use std::process::ExitCode;

use clap::Parser;
use restow_testkit::chaos::client::{self, Life};
use restow_testkit::chaos::conduct::{self, Plan};
use restow_testkit::chaos::mover;

/// Makes chaos, or is one process of it.
#[derive(Debug, Parser)]
enum Options {
    /// Starts everything, kills at random, and says whether the stores hold what was promised.
    Run(Plan),
    /// Reads, writes, fans out and deletes until its time is over.
    Client(Life),
    /// Moves units until its time is over.
    Mover(Life),
}

fn main() -> ExitCode {
    match Options::parse() {
        Options::Client(life) => alive(client::live(life)),
        Options::Mover(life) => alive(mover::live(life)),
        Options::Run(plan) => return run(&plan),
    }
    ExitCode::SUCCESS
}

fn alive(life: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(life);
}

fn run(plan: &Plan) -> ExitCode {
    let program = std::env::current_exe().expect("this program");
    println!("{}", conduct::command(plan));
    let Some(report) = conduct::run(plan, &program) else { return ExitCode::SUCCESS };
    print!("{report}");
    if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
