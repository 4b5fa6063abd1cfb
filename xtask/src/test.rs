//! `cargo xtask test`: everything that has to pass before a commit; CI runs nothing else.
//!
//! The first step that fails ends the run with its own exit code, and its output is the last.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::services::{self, Running, Wanted};
use crate::{package, python, step, tidy};

const JUDGES_TESTS: &str = "tests/official/test_judge.py";
/// How many tests of a program run side by side, as Rust's own harness takes it.
const PYTHON: &str = "RESTOW_TEST_PYTHON";
const THREADS: &str = "RUST_TEST_THREADS";
const FEATURES: [&str; 3] = ["--workspace", "--features", "restow-cli/failpoints"];

/// What a run may do without, and what is then not run.
const WITHOUT: [(&str, &str); 5] = [
    ("dynamodb", "every test that asks a DynamoDB server"),
    ("mount", "the test that fills a disk, which mounts one as root"),
    ("postgres", "every test that asks a PostgreSQL server"),
    (
        "python",
        "every test that asks official software, tests/official/test_judge.py, and the Python \
         package",
    ),
    ("s3", "every test that asks an S3 server"),
];

/// A step that needs nothing but the tree.
type Check = fn() -> Outcome;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    without: Vec<&'static str>,
    filters: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.strip_prefix("--without") {
                Some("") => options.leave_out(args.next().map_or("", String::as_str))?,
                Some(names) if names.starts_with('=') => options.leave_out(&names[1..])?,
                _ if arg.starts_with('-') => return Err(format!("no such option: {arg}")),
                _ => options.filters.push(arg.to_owned()),
            }
        }
        Ok(options)
    }

    fn leave_out(&mut self, names: &str) -> Result<(), String> {
        for name in names.split(',') {
            let known = WITHOUT.iter().find(|(known, _)| *known == name);
            let known = known.ok_or_else(|| {
                let names = WITHOUT.map(|(known, _)| known).join(", ");
                format!("--without needs names: {names}")
            })?;
            self.without.push(known.0);
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        !self.without.contains(&name)
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    // What is missing is told before anything is built.
    let wanted = Wanted::find(|name| options.has(name))?;
    let checks: [(&str, Check); 4] =
        [("tidy", tidy::run), ("fmt", fmt), ("clippy", clippy), ("doc", doc)];
    for (title, check) in checks {
        step::heading(title);
        let code = check()?;
        if code != 0 {
            return Ok(code);
        }
    }
    let mut interpreter = None;
    if options.has("python") || wanted.needs_python() {
        step::heading("python environment");
        interpreter = Some(python::prepare(&step::target()?)?);
    }
    let services = Running::start(&wanted, interpreter.as_deref())?;
    let mut variables = services.variables();
    if let Some(interpreter) = interpreter.filter(|_| options.has("python")) {
        variables.push((PYTHON, interpreter.display().to_string()));
        let interpreter = &interpreter;
        let code = judges(interpreter, options, &variables)?;
        if code != 0 {
            return Ok(code);
        }
        let code = package::test(interpreter, &variables, &options.without.join(","))?;
        if code != 0 {
            return Ok(code);
        }
    }
    let code = tests(options, variables)?;
    if !options.without.is_empty() {
        println!("\nnot run, because of --without {}:", options.without.join(","));
        for (_, what) in WITHOUT.iter().filter(|(name, _)| !options.has(name)) {
            println!("  {what}");
        }
    }
    Ok(code)
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
fn judges(interpreter: &Path, options: &Options, variables: &[(&str, String)]) -> Outcome {
    let path = Path::new(JUDGES_TESTS);
    if !path.exists() {
        return Ok(0);
    }
    if !fs::read_to_string(path)?.contains("__main__") {
        return Err(format!("{JUDGES_TESTS} runs nothing by itself; call unittest.main()").into());
    }
    let mut command = Command::new(interpreter);
    step::forget(command.arg(JUDGES_TESTS), &services::VARIABLES);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.env("RESTOW_TEST_WITHOUT", options.without.join(","));
    step::run("the judges' own tests", &mut command)
}

fn tests(options: &Options, variables: Vec<(&str, String)>) -> Outcome {
    let mut command = step::cargo(["test"]);
    command.args(FEATURES);
    if !options.filters.is_empty() {
        command.arg("--").args(&options.filters);
    }
    // A variable of the terminal's must not stand for what this run does without.
    step::forget(&mut command, &services::VARIABLES).env_remove(PYTHON);
    command.envs(variables).env("RESTOW_TEST_WITHOUT", options.without.join(","));
    if std::env::var_os(THREADS).is_none() {
        // Most tests wait for disks, servers and other programs more than they compute.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(THREADS, (2 * cores).to_string());
    }
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
        let options = parse(&["round_trip", "--without", "python,postgres", "damage"]).unwrap();
        assert!(!options.has("python") && !options.has("postgres") && options.has("mount"));
        assert_eq!(options.filters, ["round_trip", "damage"]);
        assert_eq!(parse(&[]), Ok(Options::default()));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse(&["--without"]).is_err());
        assert!(parse(&["--without=sqlite"]).is_err());
        assert!(parse(&["--nocapture"]).is_err());
    }
}
