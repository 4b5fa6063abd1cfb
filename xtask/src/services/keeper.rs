//! A server and its keeper, a small shell that starts the server and ends it when its own input
//! closes. So servers end with this tool however it ends, and their folders go with them.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KEEPER: &str = r#"
trap '' INT TERM HUP
folder=$1 signal=$2
shift 2
"$@" >"$folder/log" 2>&1 & server=$!
read -r _
kill -s "$signal" "$server" 2>/dev/null
wait
rm -rf -- "$folder"
"#;
const LOG: &str = "log";
const WAIT: Duration = Duration::from_millis(100);
/// How often a server is asked whether it answers, before it is given up.
const ATTEMPTS_MAX: u32 = 1200;

/// User and group that a server runs as.
pub(super) type Owner = (u32, u32);

/// A folder of a server's own, which its keeper removes.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    owner: Option<Owner>,
}

impl Folder {
    pub(super) fn make(server: &str) -> io::Result<Self> {
        let name = format!("restow-services-{}-{server}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(Self { path, owner: None })
    }

    /// Makes somebody else the owner, who runs the server then.
    pub(super) fn belongs_to(mut self, owner: Option<Owner>) -> io::Result<Self> {
        self.owner = owner;
        self.give(&self.path)?;
        Ok(self)
    }

    /// Writes a file that the server may read.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text)?;
        self.give(&path)
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        self.owner.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)))
    }

    /// A program that runs in the folder, as whoever owns it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    keeper: Child,
    log: PathBuf,
}

impl Server {
    /// Starts what a command says, with its arguments and variables; `signal` ends it.
    pub(super) fn start(folder: &Folder, signal: &str, command: &Command) -> io::Result<Self> {
        let mut keeper = folder.command(Path::new("/bin/sh"));
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder.path).arg(signal);
        keeper.arg(command.get_program()).args(command.get_args()).stdin(Stdio::piped());
        keeper.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ok(Self { keeper: keeper.spawn()?, log: folder.path.join(LOG) })
    }

    /// Waits until the server answers; its log tells why it does not.
    pub(super) fn wait(
        &self,
        mut answers: impl FnMut() -> io::Result<bool>,
    ) -> Result<(), Box<dyn Error>> {
        for _ in 0..ATTEMPTS_MAX {
            if answers()? {
                return Ok(());
            }
            std::thread::sleep(WAIT);
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Err(format!("a server does not answer\n{log}").into())
    }

    /// Waits until the keeper ends, which it does when this process does.
    pub(super) fn stay(&mut self) -> io::Result<()> {
        let _held = self.keeper.stdin.take();
        self.keeper.wait().map(|_| ())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Says whether somebody listens on a port of this machine's.
pub(super) fn listens(port: u16) -> io::Result<bool> {
    Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
}

pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
