//! `cargo xtask bench`: measures release builds; the arguments go to the bench program as they are.
//! With `postgres` in front it is the one for PostgreSQL, with `live` the one for writes while a
//! thread moves, with `router` the one for a migration at rest; all on the server of
//! RESTOW_TEST_POSTGRES.

use crate::Outcome;
use crate::step;

pub(crate) fn run(args: &[String]) -> Outcome {
    let build = ["build", "--release", "--package", "restow-cli"];
    let built = step::run("build for release", &mut step::cargo(build))?;
    if built != 0 {
        return Ok(built);
    }
    let (program, args) = match args.split_first() {
        Some((first, rest)) if first == "postgres" => ("bench_postgres", rest),
        Some((first, rest)) if first == "live" => ("bench_live", rest),
        Some((first, rest)) if first == "router" => ("bench_router", rest),
        // Cargo's own separator, which comes along where it is written.
        Some((first, rest)) if first == "--" => ("bench", rest),
        _ => ("bench", args),
    };
    let bench = ["run", "--release", "--package", "restow-testkit", "--bin", program, "--"];
    step::run("bench", step::cargo(bench).args(args))
}
