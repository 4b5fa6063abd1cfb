//! PostgreSQL servers of a test's own, where it has to stop one, forbid something or encrypt.
//!
//! They are made of the same programs as the server that `cargo xtask test` started.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use postgres::{Client, NoTls};
use tempfile::TempDir;

/// A server in a folder of its own, on a port and a socket of its own; it ends with the test.
///
/// Its superuser is `postgres`, whose password is `secret` wherever one is asked for: over TCP.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
}

impl Cluster {
    /// Makes and starts a server with lines of `postgresql.conf`; nothing where this run was told
    /// to do without.
    pub fn start(configuration: &str) -> Option<Self> {
        let server = crate::postgres::server()?;
        let mut client = Client::connect(&server, NoTls).expect("reach the test server");
        let sql = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
        let programs: String = client.query_one(sql, &[]).expect("ask for programs").get(0);
        let folder = TempDir::with_prefix("restow-pg-").expect("make a folder");
        // PostgreSQL does not run as root.
        let is_root = folder.path().metadata().expect("look at a folder").uid() == 0;
        let owner = is_root.then(nobody);
        let this = Self { folder, programs: programs.into(), port: free_port(), owner };
        this.own(this.folder.path());
        this.write("password", "secret");
        let password = this.path("password");
        let data = this.path("data");
        let options = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"];
        let mut initdb = this.program("initdb");
        initdb.args(options).args(["--encoding=UTF8", "--locale=C", "--no-sync", "--pwfile"]);
        succeed(initdb.arg(&password).arg("-D").arg(&data));
        let file = data.join("postgresql.conf");
        let given = fs::read_to_string(&file).expect("read postgresql.conf");
        let folder = this.folder.path().display();
        let ours = format!("port = {}\nunix_socket_directories = '{folder}'\n", this.port);
        fs::write(file, format!("{given}\n{ours}{configuration}")).expect("configure");
        this.up();
        Some(this)
    }

    /// Starts the server after [`Cluster::kill`], and waits until it accepts connections.
    pub fn up(&self) {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.arg("-D").arg(self.path("data")).arg("-l").arg(self.path("log"));
        succeed(pg_ctl.args(["-w", "-s", "start"]));
    }

    /// Ends the server as a crash would.
    pub fn kill(&self) {
        succeed(&mut self.stop());
    }

    /// Replaces `pg_hba.conf`, and lets the server read its configuration again.
    pub fn allow(&self, lines: &str) {
        self.write("data/pg_hba.conf", &format!("local all all trust\n{lines}\n"));
        self.admin("SELECT pg_reload_conf()");
    }

    /// Makes of the server, while it is down, a replica that only reads.
    pub fn make_replica(&self) {
        self.write("data/standby.signal", "");
    }

    /// Makes an authority, and a certificate for the server that it signs; names are those of
    /// OpenSSL's `subjectAltName`. Returns the authority's file.
    pub fn encrypt(&self, names: &str) -> PathBuf {
        let (ca, ca_key) = (self.path("ca.crt"), self.path("ca.key"));
        let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let mut command = openssl(&request);
        succeed(command.args(["-subj", "/CN=ca", "-keyout"]).arg(&ca_key).arg("-out").arg(&ca));
        let (certificate, key) = (self.path("data/server.crt"), self.path("data/server.key"));
        let mut command = openssl(&request);
        command.args(["-subj", "/CN=server", "-addext", "basicConstraints=CA:FALSE", "-addext"]);
        command.arg(format!("subjectAltName={names}")).arg("-CA").arg(&ca);
        command.arg("-CAkey").arg(&ca_key).arg("-keyout").arg(&key).arg("-out");
        succeed(command.arg(&certificate));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("protect a key");
        self.own(&certificate);
        self.own(&key);
        self.admin("ALTER SYSTEM SET ssl = on");
        self.admin("SELECT pg_reload_conf()");
        ca
    }

    /// Runs a statement as the superuser, through the socket.
    pub fn admin(&self, sql: &str) {
        let mut config = postgres::Config::new();
        config.host_path(self.folder.path()).port(self.port).user("postgres").dbname("postgres");
        config.connect(NoTls).expect("reach the cluster").batch_execute(sql).expect(sql);
    }

    /// Returns the folder of the socket, which is also a place for files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the port, of 127.0.0.1 and of the socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write a file");
        self.own(&self.path(name));
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("give a file away");
        }
    }

    fn stop(&self) -> Command {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.arg("-D").arg(self.path("data")).args(["-w", "-s", "-m", "immediate", "stop"]);
        pg_ctl
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path());
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop().output();
    }
}

fn openssl(args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(args);
    command
}

/// Runs a program that leaves a server behind, so nobody waits for its output to be closed.
fn succeed(command: &mut Command) {
    let quiet = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let status = quiet.status().expect("start a program");
    assert!(status.success(), "{command:?}: {status}");
}

/// Returns the user and group of somebody who is not root.
fn nobody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("read the users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("a user other than root")
}

/// Returns a port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind a port");
    listener.local_addr().expect("an address").port()
}
