//! `cargo xtask bench`: measures release builds; the arguments go to the bench program as they are.

use crate::Outcome;
use crate::step;

pub(crate) fn run(args: &[String]) -> Outcome {
    let build = ["build", "--release", "--package", "restow-cli"];
    let built = step::run("build for release", &mut step::cargo(build))?;
    if built != 0 {
        return Ok(built);
    }
    let bench = ["run", "--release", "--package", "restow-testkit", "--bin", "bench", "--"];
    step::run("bench", step::cargo(bench).args(args))
}
