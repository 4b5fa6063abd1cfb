//! The Python package: built by maturin as a wheel, installed beside the official packages, tested.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::services::VARIABLES;
use crate::{Outcome, step};

const PACKAGE: &str = "bindings/python";
/// The example that the tests run too.
const EXAMPLE: &str = "examples/python/chat.py";

/// Builds, installs and tests the package; an example's failure is a failure.
pub(crate) fn test(interpreter: &Path, variables: &[(&str, String)], without: &str) -> Outcome {
    let target = step::target()?;
    let wheels = target.join("wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels)?;
    }
    let manifest = format!("{PACKAGE}/Cargo.toml");
    let mut build = Command::new(interpreter);
    // As the tests are built, so that nothing is built twice.
    build.args(["-m", "maturin", "build", "--quiet", "--profile", "dev", "--locked"]);
    build.args(["--manifest-path", &manifest, "--out"]).arg(&wheels);
    build.arg("--interpreter").arg(interpreter).env("CARGO_TARGET_DIR", &target);
    let code = step::run("python package", &mut build)?;
    if code != 0 {
        return Ok(code);
    }
    let wheel = fs::read_dir(&wheels)?.next().ok_or("maturin built no wheel")??.path();
    let mut install = Command::new(interpreter);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--no-deps", "--force-reinstall"]).arg(wheel);
    let code = step::code(step::status(&mut install)?);
    if code != 0 {
        return Ok(code);
    }
    // Whoever moves threads under the package's tests.
    let mut program = step::cargo(["build", "--package", "restow-cli"]);
    let code = step::code(step::status(&mut program)?);
    if code != 0 {
        return Ok(code);
    }
    let mut tests = Command::new(interpreter);
    tests.args(["-m", "unittest", "discover", "--start-directory"]);
    step::forget(tests.arg(format!("{PACKAGE}/tests")), &VARIABLES);
    tests.envs(variables.iter().map(|(name, value)| (name, value)));
    tests.env("RESTOW_TEST_WITHOUT", without);
    tests.env("RESTOW_TEST_CLI", target.join("debug").join("restow"));
    let code = step::run("the package's tests", &mut tests)?;
    if code != 0 {
        return Ok(code);
    }
    let mut example = Command::new(interpreter);
    example.arg(EXAMPLE).arg(target.join("chat.restow"));
    step::run("the package's example", &mut example)
}
