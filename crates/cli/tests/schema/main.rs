//! `restow schema` as a person and a machine see it, on a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

#[path = "../common/mod.rs"]
mod common;
mod many;
mod text;

use restow_testkit::cli::Cli;
use restow_testkit::postgres::Database;

use common::{RESTOW, folded};

/// A database, and the program that is pointed to it.
struct Served {
    cli: Cli,
    database: Database,
}

impl Served {
    /// Makes an empty database; nothing where this run was told to do without a server.
    fn new() -> Option<Self> {
        Some(Self { cli: Cli::new(RESTOW), database: Database::create()? })
    }

    fn sql(&self, sql: &str) {
        self.database.connect().batch_execute(sql).unwrap();
    }

    /// Runs `restow schema` and returns what a person sees; names and sizes are replaced.
    fn transcript(&self, verb: &str, options: &[&str]) -> String {
        let address = self.database.address("langgraph");
        let args = [&["schema", verb, &address], options].concat();
        self.settled(&self.cli.transcript(&args))
    }

    fn settled(&self, text: &str) -> String {
        let place = self.database.address("langgraph");
        let place = place.split_once(':').expect("an address").1;
        let text = text.replace(place, "//me@host/app").replace(self.database.name(), "app");
        folded(&sizes(&text))
    }
}

/// Hides sizes, which are the server's own business.
fn sizes(text: &str) -> String {
    let line = |line: &str| {
        let (Some(at), true) = (line.find(" = rows "), line.contains(" large values ")) else {
            return line.to_owned();
        };
        let name: Vec<&str> = line[..at].split_whitespace().collect();
        let name = name[..name.len() - 2].join(" ");
        format!("{name} [size] = rows [size] + indexes [size] + large values [size]")
    };
    let object = |line: &str| {
        let mut pieces = line.split("_bytes\":").map(str::to_owned).collect::<Vec<_>>();
        for piece in pieces.iter_mut().skip(1) {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            piece.replace_range(..digits, "[size]");
        }
        pieces.join("_bytes\":")
    };
    text.lines().map(|text| object(&line(text)) + "\n").collect()
}
