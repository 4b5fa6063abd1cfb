//! A server that speaks as S3 does, conditional writes included: ministack, from the Python
//! environment.

use std::error::Error;
use std::path::Path;

use super::keeper::{Folder, Server, free_port, listens};
use super::{Running, Variable};

pub(super) fn start(interpreter: &Path, running: &mut Running) -> Result<(), Box<dyn Error>> {
    let port = free_port()?;
    let folder = Folder::make("s3")?;
    let mut command = folder.command(&interpreter.with_file_name("ministack"));
    // By itself it would listen on every interface, for every service that it knows.
    command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
    command.env("SERVICES", "s3").env("SFTP_ENABLED", "0").env("IOT_MTLS_ENABLED", "0");
    command.env("LOG_LEVEL", "WARNING").env("TMPDIR", &folder.path);
    let server = Server::start(&folder, "KILL", &command)?;
    server.wait(|| listens(port))?;
    running.add(server, Variable("RESTOW_TEST_S3", format!("http://127.0.0.1:{port}")));
    Ok(())
}
