//! Development tasks of the workspace: `cargo xtask <command>`.
//!
//! Each command is a file of its name. Nothing here is part of the product.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a development tool talks to the terminal and reads its own environment"
)]

mod bench;
mod chaos;
mod docs;
mod package;
mod python;
mod services;
mod step;
mod test;
mod tidy;

use std::process::ExitCode;

/// What a command gives: the exit code of the process, or a failure of the tool itself.
type Outcome = Result<u8, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo xtask <command>

  tidy                               checks the tree's own rules
  test [--without NAME] [FILTER..]   everything that has to pass before a commit
  services [-- COMMAND..]            runs the servers of tests until Ctrl-C, or for a command
  bench [ARGS..]                     builds for release and measures
  chaos [--pair NAME] [--seconds N] [--seed N]
                                     kills what it can while units move, and looks for losses
  docs [--check]                     writes the generated documents again, or compares them
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Outcome {
    std::env::set_current_dir(step::root())?;
    let Some((command, rest)) = args.split_first() else {
        eprint!("{USAGE}");
        return Ok(2);
    };
    match command.as_str() {
        "tidy" if rest.is_empty() => tidy::run(),
        "test" => match test::Options::parse(rest) {
            Ok(options) => test::run(&options),
            Err(message) => usage(&message),
        },
        "services" if rest.is_empty() => services::run(&[]),
        "services" if rest.len() > 1 && rest[0] == "--" => services::run(&rest[1..]),
        "bench" => bench::run(rest),
        "chaos" => chaos::run(rest),
        "docs" if rest.is_empty() => docs::write(),
        "docs" if rest == ["--check"] => docs::check(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(0)
        }
        _ => usage(&format!("not understood: {}", args.join(" "))),
    }
}

fn usage(message: &str) -> Outcome {
    eprint!("xtask: {message}\n\n{USAGE}");
    Ok(2)
}
