//! `cargo xtask services`: the servers that tests need, started from what is installed.
//!
//! A keeper, a small shell, starts the servers and ends them when its input closes. So they end
//! with this tool however it ends, and their folder goes with them.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::step;

/// Folders of programs that are not in everybody's path.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/pgsql/bin"];
const DEBIAN: &str = "/usr/lib/postgresql";

const KEEPER: &str = r#"
trap '' INT TERM HUP
"$1" -D "$3/data" >"$3/postgres.log" 2>&1 & server=$!
"$2" "$3/pgbouncer.ini" >"$3/pgbouncer.log" 2>&1 & pooler=$!
read -r _
kill -TERM "$pooler" 2>/dev/null
kill -INT "$server" 2>/dev/null
wait
rm -rf -- "$3"
"#;

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
    pg_isready: PathBuf,
    pgbouncer: PathBuf,
}

impl Programs {
    /// Looks for everything; says how to install what is missing.
    pub(crate) fn find() -> Result<Self, Box<dyn Error>> {
        let folders = folders();
        let find = |name: &str| {
            let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
            found.ok_or_else(|| {
                format!(
                    "{name} is not installed; Debian has it in the packages postgresql and \
                     pgbouncer (apt-get install), or do without: --without postgres"
                )
            })
        };
        Ok(Self {
            initdb: find("initdb")?,
            postgres: find("postgres")?,
            pg_isready: find("pg_isready")?,
            pgbouncer: find("pgbouncer")?,
        })
    }
}

/// The path, then the newest PostgreSQL that Debian's packages brought.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let installed = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut installed: Vec<_> = installed.map(|entry| entry.path().join("bin")).collect();
    installed.sort_by_key(|path| {
        let version = path.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        std::cmp::Reverse(version.and_then(|version| version.parse::<u32>().ok()))
    });
    folders.extend(installed);
    folders.extend(FOLDERS.map(PathBuf::from));
    folders
}

/// Servers that run until this is dropped.
#[derive(Debug)]
pub(crate) struct Services {
    keeper: Child,
    port: u16,
    pooler: u16,
}

impl Services {
    /// Starts a PostgreSQL that trusts everybody on this machine, and a pooler before it.
    pub(crate) fn start(programs: &Programs) -> Result<Self, Box<dyn Error>> {
        let (port, pooler) = (free_port()?, free_port()?);
        let name = format!("restow-services-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let owner = owner(&folder)?;
        give(&folder, owner)?;
        // From here on the keeper clears up.
        let made = configure(programs, &folder, owner, port, pooler);
        let mut keeper = as_owner(Path::new("/bin/sh"), owner, &folder);
        keeper.args(["-c", KEEPER, "keeper"]).arg(&programs.postgres).arg(&programs.pgbouncer);
        keeper.arg(&folder).stdin(Stdio::piped());
        let mut this = Self { keeper: keeper.spawn()?, port, pooler };
        made?;
        this.wait(programs, &folder)?;
        Ok(this)
    }

    /// Returns what tests have to be told.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let url = |port| format!("postgresql://postgres@127.0.0.1:{port}/postgres");
        [("RESTOW_TEST_POSTGRES", url(self.port)), ("RESTOW_TEST_PGBOUNCER", url(self.pooler))]
    }

    /// Waits until the keeper ends, which it does when this process does.
    fn stay(&mut self) -> std::io::Result<()> {
        let _held = self.keeper.stdin.take();
        self.keeper.wait().map(|_| ())
    }

    fn wait(&mut self, programs: &Programs, folder: &Path) -> Result<(), Box<dyn Error>> {
        for port in [self.port, self.pooler] {
            let mut attempts = 0;
            let mut ask = Command::new(&programs.pg_isready);
            ask.args(["--quiet", "--host=127.0.0.1", "--username=postgres", "--dbname=postgres"]);
            ask.arg(format!("--port={port}"));
            while !step::status(&mut ask)?.success() {
                attempts += 1;
                if attempts > 600 {
                    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
                    let logs = read("postgres.log") + &read("pgbouncer.log");
                    return Err(format!("a server does not answer on port {port}\n{logs}").into());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn configure(
    programs: &Programs,
    folder: &Path,
    owner: Option<Owner>,
    port: u16,
    pooler: u16,
) -> Result<(), Box<dyn Error>> {
    let mut initdb = as_owner(&programs.initdb, owner, folder);
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]);
    let output = initdb.arg("-D").arg(folder.join("data")).output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("initdb did not make a cluster: {words}").into());
    }
    let file = folder.join("data").join("postgresql.conf");
    let text = fs::read_to_string(&file)?;
    let shown = folder.display();
    // No test is about a machine that loses its power.
    let ours = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{shown}'\n\
         max_connections = 200\nfsync = off\n"
    );
    fs::write(file, format!("{text}\n{ours}"))?;
    let users = folder.join("users.txt");
    fs::write(&users, "\"postgres\" \"\"\n")?;
    give(&users, owner)?;
    let ini = folder.join("pgbouncer.ini");
    fs::write(
        &ini,
        format!(
            "[databases]\n* = host={shown} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {pooler}\nunix_socket_dir = {shown}\nauth_type = trust\n\
             auth_file = {shown}/users.txt\npool_mode = transaction\ndefault_pool_size = 1\n\
             max_client_conn = 200\n"
        ),
    )?;
    Ok(give(&ini, owner)?)
}

/// User and group that servers run as.
type Owner = (u32, u32);

/// PostgreSQL does not run as root: then somebody else owns the servers.
fn owner(folder: &Path) -> Result<Option<Owner>, Box<dyn Error>> {
    if fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = find("postgres").or_else(|| find("nobody"));
    found.map(Some).ok_or_else(|| "there is no user postgres to run a server as".into())
}

fn give(path: &Path, owner: Option<Owner>) -> std::io::Result<()> {
    owner.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)))
}

fn as_owner(program: &Path, owner: Option<Owner>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Starts the servers and stays, or runs a command with them.
pub(crate) fn run(command: &[String]) -> Outcome {
    let mut services = Services::start(&Programs::find()?)?;
    let Some((program, args)) = command.split_first() else {
        for (name, value) in services.variables() {
            println!("export {name}={value}");
        }
        step::heading("the servers run until Ctrl-C");
        services.stay()?;
        return Ok(0);
    };
    let mut command = Command::new(program);
    command.args(args).envs(services.variables());
    Ok(step::code(step::status(&mut command)?))
}
