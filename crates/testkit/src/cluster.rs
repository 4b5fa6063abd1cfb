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
    mounted: Option<PathBuf>,
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
        let this =
            Self { folder, programs: programs.into(), port: free_port(), owner, mounted: None };
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
        self.reload();
    }

    /// Makes of the server, while it is down, a replica that only reads.
    pub fn make_replica(&self) {
        self.write("data/standby.signal", "");
    }

    /// Makes an authority, and a certificate for the server that it signs; names are those of
    /// OpenSSL's `subjectAltName`. Returns the authority's file.
    pub fn encrypt(&self, names: &str) -> PathBuf {
        let (ca, key) = (self.path("ca.crt"), self.path("ca.key"));
        let mut command = request("ca", &ca, &key);
        succeed(&mut command);
        self.own(&ca);
        let (certificate, key) = self.certify("data/server", "server", names);
        self.own(&certificate);
        self.own(&key);
        self.admin(&format!("ALTER SYSTEM SET ssl_ca_file = '{}'", ca.display()));
        self.admin("ALTER SYSTEM SET ssl = on");
        self.reload();
        ca
    }

    /// Gives the server a certificate that it signed itself, as many have; returns its file.
    pub fn sign_itself(&self, names: &str) -> PathBuf {
        let (certificate, key) = (self.path("data/server.crt"), self.path("data/server.key"));
        let mut command = request("server", &certificate, &key);
        succeed(command.arg("-addext").arg(format!("subjectAltName={names}")));
        self.reload();
        certificate
    }

    /// Makes a certificate that the authority signs; returns its file and that of its key.
    pub fn certify(&self, file: &str, subject: &str, names: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) =
            (self.path(&format!("{file}.crt")), self.path(&format!("{file}.key")));
        let mut command = request(subject, &certificate, &key);
        command.args(["-addext", "basicConstraints=CA:FALSE", "-addext"]);
        command.arg(format!("subjectAltName={names}")).arg("-CA").arg(self.path("ca.crt"));
        succeed(command.arg("-CAkey").arg(self.path("ca.key")));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("protect a key");
        (certificate, key)
    }

    /// Mounts a small file system for the server; nothing where this run was told to do without.
    pub fn small_disk(&mut self, size: &str) -> Option<PathBuf> {
        if crate::servers::is_without("mount") {
            return None;
        }
        let folder = self.path("small");
        fs::create_dir(&folder).expect("make a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        assert!(mounted, "only root may mount; RESTOW_TEST_WITHOUT=mount does without");
        self.mounted = Some(folder.clone());
        self.own(&folder);
        Some(folder)
    }

    /// Runs a statement as the superuser, through the socket.
    pub fn admin(&self, sql: &str) {
        self.connect("postgres").batch_execute(sql).expect(sql);
    }

    /// Lets the server read its configuration again; whoever connects afterwards meets the new.
    fn reload(&self) {
        let loaded = || -> String {
            let row = self.connect("postgres").query_one("SELECT pg_conf_load_time()::text", &[]);
            row.expect("ask for a time").get(0)
        };
        let before = loaded();
        self.admin("SELECT pg_reload_conf()");
        while loaded() == before {
            std::thread::yield_now();
        }
    }

    /// Connects as the superuser, through the socket.
    pub fn connect(&self, database: &str) -> Client {
        let mut config = postgres::Config::new();
        config.host_path(self.folder.path()).port(self.port).user("postgres").dbname(database);
        config.connect(NoTls).expect("reach the cluster")
    }

    /// Returns the URL of the superuser, with the password.
    pub fn url(&self) -> String {
        format!("postgresql://postgres:secret@127.0.0.1:{}/postgres", self.port)
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
        if let Some(folder) = &self.mounted {
            let _ = Command::new("umount").arg(folder).output();
        }
    }
}

fn request(subject: &str, certificate: &Path, key: &Path) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
    command.arg(format!("/CN={subject}")).arg("-out").arg(certificate).arg("-keyout").arg(key);
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("start a program");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{words}", output.status);
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
