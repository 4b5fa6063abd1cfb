//! Writes a LangGraph SQLite file: `generate agent --threads 100 --turns 20 agent.sqlite`.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, Subcommand};
use restow_testkit::generate::{self, Figures};

/// Writes a LangGraph SQLite file; the same arguments write the same bytes.
#[derive(Debug, Parser)]
struct Options {
    /// What to imitate.
    #[command(subcommand)]
    kind: Kind,
    /// Determines everything.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// Mark the file as in WAL mode, as the official saver leaves it.
    #[arg(long, global = true)]
    wal: bool,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Agents with tools, a sub-graph and questions to a person.
    Agent(Turns),
    /// Plain chats.
    Chat(Turns),
    /// Chats in which earlier messages change.
    Edits(Turns),
    /// Chats that keep their newest messages.
    Window(Turns),
    /// Lists that double every turn.
    Doubling(Turns),
    /// Very many threads of one or two checkpoints.
    Tiny {
        #[arg(long, default_value_t = 1_000_000)]
        threads: u64,
        out: PathBuf,
    },
    /// A few very large values.
    Large {
        #[arg(long, default_value_t = 16 << 20)]
        value_bytes: usize,
        #[arg(long, default_value_t = 3)]
        count: u64,
        out: PathBuf,
    },
    /// One chat of so many bytes.
    Long {
        #[arg(long, default_value_t = 2_000_000_000)]
        bytes: u64,
        out: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Turns {
    #[arg(long)]
    threads: u64,
    #[arg(long)]
    turns: u64,
    out: PathBuf,
}

impl Turns {
    fn write(&self, with: fn(&Path, u64, u64, u64) -> Figures, seed: u64) -> Figures {
        with(&self.out, self.threads, self.turns, seed)
    }

    fn path(&self) -> &Path {
        &self.out
    }
}

fn main() {
    let Options { kind, seed, wal } = Options::parse();
    let start = Instant::now();
    let figures = match &kind {
        Kind::Agent(turns) => turns.write(generate::agent, seed),
        Kind::Chat(turns) => turns.write(generate::chat, seed),
        Kind::Edits(turns) => turns.write(generate::edits, seed),
        Kind::Window(turns) => turns.write(generate::window, seed),
        Kind::Doubling(turns) => turns.write(generate::doubling, seed),
        Kind::Tiny { threads, out } => generate::tiny(out, *threads, seed),
        Kind::Large { value_bytes, count, out } => {
            generate::large_values(out, *value_bytes, *count, seed)
        }
        Kind::Long { bytes, out } => generate::long_thread(out, *bytes, seed),
    };
    let out = match &kind {
        Kind::Agent(turns)
        | Kind::Chat(turns)
        | Kind::Edits(turns)
        | Kind::Window(turns)
        | Kind::Doubling(turns) => turns.path(),
        Kind::Tiny { out, .. } | Kind::Large { out, .. } | Kind::Long { out, .. } => out,
    };
    if wal {
        generate::mark_write_ahead(out);
    }
    println!("{figures}, {:.1} s", start.elapsed().as_secs_f64());
}
