//! Servers that speak as DynamoDB does: dynoxide, which is built once, and DynamoDB Local where
//! Maven brings it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::keeper::{Folder, Server, free_port, listens};
use super::{Running, Variable};
use crate::step;

/// Another SQLite than restow's is in it, so it is a program of its own and no dependency.
const CRATE: &str = "dynoxide-rs";
const VERSION: &str = "3.2.0";
const FEATURES: &str = "native-sqlite,http-server,cli";
/// What Maven is to bring.
const LOCAL: &str = "xtask/dynamodb-local.xml";
const LOCAL_MAIN: &str = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner";

/// Builds dynoxide where this version is not there yet, and gives the program's path.
fn install(target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let root = target.join("servers").join(format!("dynoxide-{VERSION}"));
    let program = root.join("bin").join("dynoxide");
    if program.is_file() {
        return Ok(program);
    }
    step::heading("dynoxide, the DynamoDB server of tests: built once");
    let build = root.join("build");
    let mut install = step::cargo(["install", CRATE, "--locked", "--no-default-features"]);
    install.args(["--version", VERSION, "--features", FEATURES, "--root"]).arg(&root);
    let status = step::status(install.env("CARGO_TARGET_DIR", &build))?;
    if !status.success() {
        let message = "dynoxide was not built; `cargo install` above says why, or do without: \
                       --without dynamodb";
        return Err(message.into());
    }
    fs::remove_dir_all(&build)?;
    Ok(program)
}

/// Starts dynoxide, and DynamoDB Local beside it where it can be had.
pub(super) fn start(target: &Path, running: &mut Running) -> Result<(), Box<dyn Error>> {
    let program = install(target)?;
    let port = free_port()?;
    let folder = Folder::make("dynoxide")?;
    let mut command = folder.command(&program);
    command.args(["serve", "--host", "127.0.0.1", "--port"]).arg(port.to_string());
    let server = Server::start(&folder, "KILL", &command)?;
    server.wait(|| listens(port))?;
    running.add(server, Variable("RESTOW_TEST_DYNAMODB", url(port)));
    match bring_local(target)? {
        Some(libraries) => start_local(&libraries, running),
        None => Ok(()),
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Has Maven bring DynamoDB Local, a second opinion; says so where it does not.
fn bring_local(target: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let folder = target.join("servers").join("dynamodb-local");
    let (libraries, stamp) = (folder.join("lib"), folder.join("project.xml"));
    let project = fs::read_to_string(LOCAL)?;
    if fs::read_to_string(&stamp).is_ok_and(|brought| brought == project) {
        return Ok(Some(libraries));
    }
    step::heading("DynamoDB Local, from Maven");
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file", LOCAL, "dependency:copy-dependencies"]);
    maven.arg(format!("-DoutputDirectory={}", libraries.display()));
    match maven.status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            println!("Maven does not bring it ({status}): dynoxide alone answers the tests");
            return Ok(None);
        }
        Err(error) => {
            println!("mvn does not start ({error}): dynoxide alone answers the tests");
            return Ok(None);
        }
    }
    fs::write(stamp, project)?;
    Ok(Some(libraries))
}

/// It knows no other place than every interface of the machine, and holds nothing but what tests
/// put there.
fn start_local(libraries: &Path, running: &mut Running) -> Result<(), Box<dyn Error>> {
    let port = free_port()?;
    let folder = Folder::make("dynamodb-local")?;
    let mut command = folder.command(Path::new("java"));
    command.arg(format!("-Djava.library.path={}", libraries.display())).arg("-cp");
    command.arg(libraries.join("*")).arg(LOCAL_MAIN);
    command.args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port"]).arg(port.to_string());
    let server = Server::start(&folder, "KILL", &command)?;
    server.wait(|| listens(port))?;
    running.add(server, Variable("RESTOW_TEST_DYNAMODB_LOCAL", url(port)));
    Ok(())
}
