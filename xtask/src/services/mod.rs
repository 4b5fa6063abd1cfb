//! `cargo xtask services`: the servers that tests need, started from what is installed.

mod dynamodb;
mod keeper;
mod postgres;
mod s3;

use std::error::Error;
use std::path::Path;

use crate::Outcome;
use crate::{python, step};
use keeper::Server;

/// Every variable that names a server.
pub(crate) const VARIABLES: [&str; 5] = [
    "RESTOW_TEST_POSTGRES",
    "RESTOW_TEST_PGBOUNCER",
    "RESTOW_TEST_DYNAMODB",
    "RESTOW_TEST_DYNAMODB_LOCAL",
    "RESTOW_TEST_S3",
];

/// What is to run, as far as it can be said before anything is built.
#[derive(Debug)]
pub(crate) struct Wanted {
    postgres: Option<postgres::Programs>,
    dynamodb: bool,
    s3: bool,
}

impl Wanted {
    /// Looks for what has to be installed already; says how to install what is missing.
    pub(crate) fn find(has: impl Fn(&str) -> bool) -> Result<Self, Box<dyn Error>> {
        let postgres = has("postgres").then(postgres::Programs::find).transpose()?;
        Ok(Self { postgres, dynamodb: has("dynamodb"), s3: has("s3") })
    }

    /// Whether the Python environment is needed, from which a server starts.
    pub(crate) fn needs_python(&self) -> bool {
        self.s3
    }
}

/// Servers that run until this is dropped, and what tests have to be told of them.
#[derive(Debug, Default)]
pub(crate) struct Running {
    servers: Vec<Server>,
    variables: Vec<(&'static str, String)>,
}

/// A variable of the environment, and its value.
struct Variable(&'static str, String);

impl Running {
    /// Starts what is wanted; what is not there yet is built and installed first.
    pub(crate) fn start(
        wanted: &Wanted,
        interpreter: Option<&Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut this = Self::default();
        if wanted.dynamodb {
            dynamodb::start(&step::target()?, &mut this)?;
        }
        if let Some(programs) = &wanted.postgres {
            postgres::start(programs, &mut this)?;
        }
        if wanted.s3 {
            let interpreter = interpreter.ok_or("the S3 server needs the Python environment")?;
            s3::start(interpreter, &mut this)?;
        }
        Ok(this)
    }

    /// Returns what tests have to be told.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        self.variables.clone()
    }

    fn add(&mut self, server: Server, Variable(name, value): Variable) {
        self.servers.push(server);
        self.variables.push((name, value));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Who stands before another server ends before it.
        while self.servers.pop().is_some() {}
    }
}

/// Starts the servers and stays, or runs a command with them.
pub(crate) fn run(command: &[String]) -> Outcome {
    let wanted = Wanted::find(|_| true)?;
    let interpreter = python::prepare(&step::target()?)?;
    let mut running = Running::start(&wanted, Some(&interpreter))?;
    let Some((program, args)) = command.split_first() else {
        for (name, value) in running.variables() {
            println!("export {name}={value}");
        }
        step::heading("the servers run until Ctrl-C");
        for server in &mut running.servers {
            server.stay()?;
        }
        return Ok(0);
    };
    let mut command = std::process::Command::new(program);
    command.args(args).envs(running.variables());
    Ok(step::code(step::status(&mut command)?))
}
