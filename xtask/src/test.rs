//! `cargo xtask test`: everything that has to pass before a commit; CI runs nothing else.
//!
//! The first step that fails ends the run with its own exit code, and its output is the last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::{python, step, tidy};

const JUDGES_TESTS: &str = "tests/official/test_judge.py";
const FEATURES: [&str; 3] = ["--workspace", "--features", "restow-cli/failpoints"];

/// A step that needs nothing but the tree.
type Check = fn() -> Outcome;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    without_python: bool,
    filters: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--without" => match args.next().map(String::as_str) {
                    Some("python") => options.without_python = true,
                    Some(other) => return Err(format!("cannot test without {other}")),
                    None => return Err("--without needs a name: python".to_owned()),
                },
                "--without=python" => options.without_python = true,
                flag if flag.starts_with('-') => return Err(format!("no such option: {flag}")),
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let checks: [(&str, Check); 4] =
        [("tidy", tidy::run), ("fmt", fmt), ("clippy", clippy), ("doc", doc)];
    for (title, check) in checks {
        step::heading(title);
        let code = check()?;
        if code != 0 {
            return Ok(code);
        }
    }
    if options.without_python {
        let code = tests(options, None)?;
        println!("\nnot run, because of --without python:");
        println!("  {JUDGES_TESTS}");
        println!("  every test that asks official software (RESTOW_TEST_WITHOUT=python)");
        return Ok(code);
    }
    step::heading("python environment");
    let interpreter = python::prepare(&step::target()?)?;
    let code = judges(&interpreter)?;
    if code != 0 {
        return Ok(code);
    }
    tests(options, Some(interpreter))
}

fn fmt() -> Outcome {
    cargo(&mut step::cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Outcome {
    let mut command = step::cargo(["clippy", "--all-targets"]);
    cargo(command.args(FEATURES).args(["--", "-D", "warnings"]))
}

fn doc() -> Outcome {
    let mut command = step::cargo(["doc", "--workspace", "--no-deps"]);
    cargo(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn cargo(command: &mut Command) -> Outcome {
    Ok(step::code(step::status(command)?))
}

/// The judges say whether official software accepts our stores; first they are judged themselves.
fn judges(interpreter: &Path) -> Outcome {
    let path = Path::new(JUDGES_TESTS);
    if !path.exists() {
        return Ok(0);
    }
    if !fs::read_to_string(path)?.contains("__main__") {
        return Err(format!("{JUDGES_TESTS} runs nothing by itself; call unittest.main()").into());
    }
    step::run("the judges' own tests", Command::new(interpreter).arg(JUDGES_TESTS))
}

fn tests(options: &Options, interpreter: Option<PathBuf>) -> Outcome {
    let mut command = step::cargo(["test"]);
    command.args(FEATURES);
    if !options.filters.is_empty() {
        command.arg("--").args(&options.filters);
    }
    match interpreter {
        Some(path) => command.env("RESTOW_TEST_PYTHON", path).env_remove("RESTOW_TEST_WITHOUT"),
        None => command.env("RESTOW_TEST_WITHOUT", "python").env_remove("RESTOW_TEST_PYTHON"),
    };
    step::run("test", &mut command)
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn filters_and_what_to_leave_out() {
        let options = parse(&["round_trip", "--without", "python", "damage"]).unwrap();
        assert!(options.without_python);
        assert_eq!(options.filters, ["round_trip", "damage"]);
        assert_eq!(parse(&[]), Ok(Options::default()));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse(&["--without"]).is_err());
        assert!(parse(&["--without", "postgres"]).is_err());
        assert!(parse(&["--nocapture"]).is_err());
    }
}
