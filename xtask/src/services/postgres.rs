//! A PostgreSQL that trusts everybody on this machine, and a pooler before it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::keeper::{Folder, Owner, Server, free_port};
use super::{Running, Variable};
use crate::step;

/// Folders of programs that are not in everybody's path.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/pgsql/bin"];
const DEBIAN: &str = "/usr/lib/postgresql";

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
    pg_isready: PathBuf,
    pgbouncer: PathBuf,
}

impl Programs {
    /// Looks for everything; says how to install what is missing.
    pub(super) fn find() -> Result<Self, Box<dyn Error>> {
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

/// Starts both, the pooler last, so that it is the first to end.
pub(super) fn start(programs: &Programs, running: &mut Running) -> Result<(), Box<dyn Error>> {
    let url = |port| format!("postgresql://postgres@127.0.0.1:{port}/postgres");

    let port = free_port()?;
    let folder = Folder::make("postgres")?;
    let owner = owner(&folder.path)?;
    let folder = folder.belongs_to(owner)?;
    let mut server = folder.command(&programs.postgres);
    server.arg("-D").arg(folder.path.join("data"));
    let made = make_cluster(programs, &folder, port);
    // From here on the keeper clears up, be it after a server that had nothing to start with.
    let server = Server::start(&folder, "INT", &server)?;
    let started = made.and_then(|()| server.wait(|| answers(programs, port)));
    running.add(server, Variable("RESTOW_TEST_POSTGRES", url(port)));
    started?;

    let pooler_port = free_port()?;
    let pooler_folder = Folder::make("pgbouncer")?.belongs_to(owner)?;
    let made = configure_pooler(&pooler_folder, pooler_port, &folder.path, port);
    let mut pooler = pooler_folder.command(&programs.pgbouncer);
    pooler.arg(pooler_folder.path.join("pgbouncer.ini"));
    let pooler = Server::start(&pooler_folder, "TERM", &pooler)?;
    made?;
    pooler.wait(|| answers(programs, pooler_port))?;
    running.add(pooler, Variable("RESTOW_TEST_PGBOUNCER", url(pooler_port)));
    Ok(())
}

fn answers(programs: &Programs, port: u16) -> io::Result<bool> {
    let mut ask = std::process::Command::new(&programs.pg_isready);
    ask.args(["--quiet", "--host=127.0.0.1", "--username=postgres", "--dbname=postgres"]);
    Ok(step::status(ask.arg(format!("--port={port}")))?.success())
}

fn make_cluster(programs: &Programs, folder: &Folder, port: u16) -> Result<(), Box<dyn Error>> {
    let mut initdb = folder.command(&programs.initdb);
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]);
    let output = initdb.arg("-D").arg(folder.path.join("data")).output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("initdb did not make a cluster: {words}").into());
    }
    let file = folder.path.join("data").join("postgresql.conf");
    let text = fs::read_to_string(&file)?;
    let shown = folder.path.display();
    // No test is about a machine that loses its power.
    let ours = format!(
        "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{shown}'\n\
         max_connections = 200\nfsync = off\n"
    );
    Ok(fs::write(file, format!("{text}\n{ours}"))?)
}

fn configure_pooler(folder: &Folder, port: u16, server: &Path, behind: u16) -> io::Result<()> {
    folder.write("users.txt", "\"postgres\" \"\"\n")?;
    let (shown, server) = (folder.path.display(), server.display());
    folder.write(
        "pgbouncer.ini",
        &format!(
            "[databases]\n* = host={server} port={behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir = {shown}\nauth_type = trust\n\
             auth_file = {shown}/users.txt\npool_mode = transaction\ndefault_pool_size = 1\n\
             max_client_conn = 200\n"
        ),
    )
}

/// PostgreSQL does not run as root: then somebody else owns the servers.
fn owner(made: &Path) -> Result<Option<Owner>, Box<dyn Error>> {
    if fs::metadata(made)?.uid() != 0 {
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
