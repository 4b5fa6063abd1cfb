//! `cargo xtask chaos`: makes chaos on pairs of stores; the arguments go to the program as they
//! are. Without `--pair` each pair has its turn.

use crate::Outcome;
use crate::services::{Running, Wanted};
use crate::step;

const PAIRS: [&str; 4] = ["sqlite-postgres", "postgres-parts", "sqlite-parts", "sqlite-split"];

pub(crate) fn run(args: &[String]) -> Outcome {
    let build = ["build", "--release", "--package", "restow-testkit", "--bin", "chaos"];
    let built = step::run("build for release", &mut step::cargo(build))?;
    if built != 0 {
        return Ok(built);
    }
    // The server that is killed is another one, made of the same programs.
    let wanted = Wanted::find(|name| ["postgres", "dynamodb"].contains(&name))?;
    let services = Running::start(&wanted, None)?;
    let is_named = args.iter().any(|arg| arg == "--pair" || arg.starts_with("--pair="));
    let pairs: Vec<&str> = if is_named { vec![""] } else { PAIRS.to_vec() };
    for pair in pairs {
        let program = ["run", "--quiet", "--release", "--package", "restow-testkit"];
        let mut command = step::cargo(program);
        command.args(["--bin", "chaos", "--", "run"]).args(args).envs(services.variables());
        if !pair.is_empty() {
            command.args(["--pair", pair]);
        }
        let code = step::run("chaos", &mut command)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}
