//! Arguments and the environment: flags first, then variables.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::words::{parse_bytes, parse_share, parse_span};

/// Moves the state of AI applications between storage engines and layouts, verified record by
/// record.
///
/// An address is `<layout>+<engine>:<place>`, such as `langgraph+sqlite:agent.db` or
/// `parts+sqlite:agent.restow`. A bare path is recognised by looking inside it; one that does not
/// exist yet goes by its ending (`.restow` is `parts+sqlite`).
///
/// Exit codes: 0 ok · 1 failed · 2 usage · 3 finished, with units that did not match, failed or
/// were skipped · 10 migration not found · 11 held by another attempt · 12 credentials · 13 refused
/// by a precondition, or unconfirmed · 130 interrupted, can be resumed.
#[derive(Debug, Parser)]
#[command(name = "restow", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Common {
    /// Print one JSON object per line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say on standard error what is being done in detail.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Arm a named point, for crash tests: NAME[:N][=kill|error], or count.
    #[cfg(feature = "failpoints")]
    #[arg(long, global = true, hide = true, env = "RESTOW_FAILPOINT")]
    pub(crate) failpoint: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a store holds, how large it is, and what any target would make of it.
    Assess(Assess),
    /// Copy a store into another, checking every record; run again to bring it up to date.
    Copy(Copy),
    /// Compare two stores record by record and name what differs.
    Verify(Verify),
    /// Show what a ledger knows: progress, attempts, failures.
    Status(Status),
    /// Make, check, count or remove LangGraph's tables in PostgreSQL.
    #[command(subcommand)]
    Schema(Schema),
    /// Move units while the application reads and writes them, a share at a time, and back.
    #[command(subcommand)]
    Migrate(Migrate),
    /// Keep a whole store in one file: make backups, check, restore and prune them.
    #[command(subcommand)]
    Backup(Backup),
    /// Remove parts that nothing points at, or write records whole again where they fit.
    #[command(subcommand)]
    Parts(Parts),
    /// Try a store: read an old record, write a large one, list and delete it, with times.
    Doctor(Doctor),
    /// Print a completion script for a shell.
    Completions(Completions),
}

/// Arguments of `assess`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Assess {
    /// The store to look at.
    pub(crate) store: String,
    /// Up to which size a DynamoDB table is to keep records whole.
    #[arg(long, value_name = "BYTES", env = "CHECKPOINT_MAX_SIZE_THRESHOLD")]
    #[arg(value_parser = parse_bytes, default_value = "358400")]
    pub(crate) threshold: u64,
    /// What a million write units of DynamoDB cost, in US dollars.
    #[arg(long, value_name = "USD", default_value_t = 0.625)]
    pub(crate) write_price: f64,
    /// How many write units a second the table takes; a new one takes 4,000.
    #[arg(long, value_name = "UNITS", default_value_t = 4000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) write_rate: u64,
}

/// Which units a command is about.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Units {
    /// Only these units: a file with one name a line, or a pattern with `*` and `?`.
    #[arg(long, value_name = "FILE|PATTERN")]
    pub(crate) units: Option<String>,
}

/// How fast a copy goes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Pace {
    /// How many workers copy at once.
    #[arg(long, env = "RESTOW_JOBS", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,
    /// How many bytes a second to read at most, such as 50MB.
    #[arg(long, env = "RESTOW_MAX_RATE", value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) max_rate: Option<u64>,
}

/// Arguments of `copy`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Copy {
    /// The store to read; it is never written to.
    pub(crate) source: String,
    /// The store to fill; made if it is not there.
    pub(crate) target: String,
    /// Report everything that would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
    #[command(flatten)]
    pub(crate) units: Units,
    /// What to do with units at the target that the source does not hold and no copy put there.
    #[arg(long, value_enum, default_value_t = Extra::Keep)]
    pub(crate) extra: Extra,
    /// The target's name, to confirm what deletes (`--extra delete`).
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// What to do with units that the target cannot hold or that are damaged.
    #[arg(long, value_enum, default_value_t = Unsupported::Refuse)]
    pub(crate) unsupported: Unsupported,
    /// Where to keep the account of the copy; beside a target file by default.
    #[arg(long, value_name = "PATH", env = "RESTOW_LEDGER")]
    pub(crate) ledger: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    /// The one store.
    pub(crate) source: String,
    /// The other.
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) units: Units,
    /// The account of the copy, to tell what moved on from what is damaged.
    #[arg(long, value_name = "PATH", env = "RESTOW_LEDGER")]
    pub(crate) ledger: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Status {
    /// The target of a copy, or its ledger.
    pub(crate) target: String,
}

/// What to do with LangGraph's tables.
#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Show threads, checkpoints, blobs, writes, the version, and sizes by table.
    Status(SchemaAt),
    /// Make the tables at version 9, or lift older ones as LangGraph's own setup does.
    Up(SchemaAt),
    /// Remove the tables with all that they hold; says what goes, and wants it confirmed.
    Down(SchemaDown),
    /// Compare the tables with LangGraph's own; exits with 3 where they differ.
    Verify(SchemaAt),
}

/// Where LangGraph's tables are.
#[derive(Debug, ClapArgs)]
pub(crate) struct SchemaAt {
    /// The database, such as `langgraph+postgres://user@host/database`.
    pub(crate) address: String,
}

/// Arguments of `schema down`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SchemaDown {
    #[command(flatten)]
    pub(crate) at: SchemaAt,
    /// The database's name, to confirm that all goes.
    #[arg(long, value_name = "DATABASE")]
    pub(crate) confirm: Option<String>,
}

/// What to do with a migration.
#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Show what would be done, in order, and what the target could not hold; changes nothing.
    Plan(MigratePlan),
    /// Begin: from now on every client reads and writes through restow; nothing moves yet.
    Start(Start),
    /// Show where all units are, and whether a rollback would lack anything.
    Status(MigrateStatus),
    /// Copy every unit ahead to the target and keep the copies up; all stay at the source.
    Shadow(Mover),
    /// Move units until so many per cent of them live at the target; run again to go on.
    Rollout(Rollout),
    /// Let movers rest; clients go on.
    Pause(MigrateAt),
    /// Let movers go on.
    Resume(MigrateAt),
    /// Move all units back to the source, with everything that was written meanwhile.
    Rollback(Rollback),
    /// Keep every unit at the target for good, and retire the source; wants a backup.
    Complete(Complete),
    /// Keep every unit at the source for good, and retire the target.
    Cancel(Cancel),
    /// Remove what the retired store holds, and what the migration kept beside the units.
    Cleanup(CleanUp),
}

/// Which migration.
#[derive(Debug, ClapArgs)]
pub(crate) struct MigrateAt {
    /// The file that names the migration and its stores.
    #[arg(long, value_name = "FILE", default_value = "restow.toml", env = "RESTOW_CONFIG")]
    pub(crate) config: PathBuf,
}

/// Arguments of `migrate start`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) at: MigrateAt,
    /// The migration's name, to confirm that every client goes through restow.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Arguments of whatever moves units.
#[derive(Debug, ClapArgs)]
pub(crate) struct Mover {
    #[command(flatten)]
    pub(crate) at: MigrateAt,
    /// How many units move at once.
    #[arg(long, env = "RESTOW_JOBS", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,
}

/// Arguments of `migrate plan`.
#[derive(Debug, ClapArgs)]
pub(crate) struct MigratePlan {
    #[command(flatten)]
    pub(crate) at: MigrateAt,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Arguments of `migrate status`.
#[derive(Debug, ClapArgs)]
pub(crate) struct MigrateStatus {
    #[command(flatten)]
    pub(crate) at: MigrateAt,
    /// Print a line again and again, until every unit is where it should be.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How many seconds lie between two lines.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "wait")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) every: u64,
}

/// Arguments of whatever ends a migration.
#[derive(Debug, ClapArgs)]
pub(crate) struct End {
    #[command(flatten)]
    pub(crate) mover: Mover,
    /// The migration's name, to confirm that there is no way back.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Arguments of `migrate complete`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Complete {
    /// A backup of the migration as it stands; it is checked.
    #[arg(long, value_name = "FILE")]
    pub(crate) backup: PathBuf,
    #[command(flatten)]
    pub(crate) end: End,
}

/// Arguments of `migrate cancel`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) end: End,
}

/// Arguments of `migrate cleanup`.
#[derive(Debug, ClapArgs)]
pub(crate) struct CleanUp {
    #[command(flatten)]
    pub(crate) at: MigrateAt,
    /// Leave the retired store's units where they are.
    #[arg(long)]
    pub(crate) keep_units: bool,
    /// The migration's name, to confirm that what the retired store holds is removed.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Arguments of `migrate rollback`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) mover: Mover,
    /// The target is lost: let the source go on from its copies; says first what may be missing.
    #[arg(long)]
    pub(crate) target_lost: bool,
    /// The migration's name, to confirm that the target is lost and every client is stopped.
    #[arg(long, value_name = "NAME", requires = "target_lost")]
    pub(crate) confirm: Option<String>,
}

/// Arguments of `migrate rollout`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Rollout {
    /// The share of the units, such as 5, 37.5 or 100.
    #[arg(value_name = "PERCENT", value_parser = parse_share)]
    pub(crate) share: u16,
    #[command(flatten)]
    pub(crate) mover: Mover,
    /// Move no more where 99 in 100 comparisons of a unit in both stores take longer than this,
    /// such as 250ms.
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub(crate) max_p99: Option<Duration>,
    /// Move no more where more than so many per cent of the units tried cannot be mirrored or read.
    #[arg(long, value_name = "PERCENT", value_parser = parse_share, default_value = "0")]
    pub(crate) max_errors: u16,
}

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Copy a store, or the state of a migration, into a file; every record is read back.
    Create(BackupCreate),
    /// Show what backups there are, and what they were made of.
    List(BackupList),
    /// Read a backup against its own digests; exits with 3 where something is damaged.
    Check(BackupCheck),
    /// Copy a backup into an empty store, of whatever layout.
    Restore(BackupRestore),
    /// Remove old backups; what any rule keeps is kept.
    Prune(BackupPrune),
}

/// Arguments of `backup create`.
#[derive(Debug, ClapArgs)]
pub(crate) struct BackupCreate {
    /// The store to read, and the file to make; with --config, the file alone.
    #[arg(required = true, num_args = 1..=2, value_names = ["SOURCE", "FILE"])]
    pub(crate) places: Vec<String>,
    /// Back up the state of the migration that this file names: each unit from its home.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Report everything that would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Arguments of `backup list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct BackupList {
    /// Folders with backups, or backups.
    #[arg(required = true, value_name = "FOLDER|FILE")]
    pub(crate) places: Vec<PathBuf>,
}

/// Arguments of `backup check`.
#[derive(Debug, ClapArgs)]
pub(crate) struct BackupCheck {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Read the records of so many per cent of the units only.
    #[arg(long, value_name = "PERCENT", value_parser = parse_share)]
    pub(crate) share: Option<u16>,
}

/// Arguments of `backup restore`.
#[derive(Debug, ClapArgs)]
pub(crate) struct BackupRestore {
    /// The backup.
    pub(crate) file: PathBuf,
    /// The store to fill; made if it is not there.
    pub(crate) target: String,
    /// Report everything that would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// What to do with units that the target cannot hold or that are damaged.
    #[arg(long, value_enum, default_value_t = Unsupported::Refuse)]
    pub(crate) unsupported: Unsupported,
    /// Where to keep the account of the copy; beside a target file by default.
    #[arg(long, value_name = "PATH", env = "RESTOW_LEDGER")]
    pub(crate) ledger: Option<PathBuf>,
}

/// Arguments of `backup prune`.
#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("rule").required(true).multiple(true)))]
pub(crate) struct BackupPrune {
    /// The folder with the backups.
    pub(crate) folder: PathBuf,
    /// Keep so many of each source, the newest.
    #[arg(long, value_name = "COUNT", group = "rule")]
    pub(crate) keep: Option<usize>,
    /// Keep those that are not older than so many days.
    #[arg(long, value_name = "DAYS", group = "rule")]
    pub(crate) older_than: Option<u32>,
    /// Say that a migration has ended, by its file: until then its backups are kept.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder's name, to confirm that backups are removed.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Report what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What to do with parts of large records.
#[derive(Debug, Subcommand)]
pub(crate) enum Parts {
    /// Find parts that nothing points at, and what killed writers left; remove it if confirmed.
    Clean(PartsClean),
    /// Find records in parts that fit an item; write them whole if confirmed.
    Join(PartsJoin),
}

/// Arguments of `parts clean`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PartsClean {
    /// The store, such as `split+dynamodb:TABLE`.
    pub(crate) address: String,
    /// Leave another program's parts that are not older than so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 1)]
    pub(crate) older_than: u32,
    /// The table's name, to confirm the removal; without it, nothing is removed.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Arguments of `parts join`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PartsJoin {
    /// The store, such as `split+dynamodb:TABLE`.
    pub(crate) address: String,
    /// The table's name, to confirm the change; without it, nothing is written.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

/// Arguments of `doctor`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// The store to try.
    pub(crate) address: String,
}

/// Arguments of `completions`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}

/// What to do with units at the target that no copy put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Extra {
    /// Leave them, and count them.
    Keep,
    /// Remove them; needs `--confirm` with the target's name.
    Delete,
}

/// What to do with units that the target cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unsupported {
    /// Refuse them and say so: the copy does not count as complete.
    Refuse,
    /// Leave them at the source, listed as set aside, and copy the rest.
    Aside,
}
