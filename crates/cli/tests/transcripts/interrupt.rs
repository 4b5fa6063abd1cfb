//! Ctrl-C: the batch is finished, the account is kept, the next run goes on.

use std::process::Command;

use restow_testkit::cli::{Cli, Running};
use restow_testkit::generate;

use crate::common::{APP, RESTOW, World};

const THREADS: u64 = 24;

/// A file of threads of like size, and a rate at which a copy takes some ten seconds.
fn slow() -> (World, String) {
    let mut payload = 0;
    let world = World::new(|path| payload = generate::chat(path, THREADS, 3, 3).payload);
    (world, (payload / 10).to_string())
}

/// Starts restow so that its process number is known.
fn started(cli: &Cli, args: &[&str]) -> (Running, String) {
    let place = cli.path("../tmp/process");
    // Of an earlier one.
    let _ = std::fs::remove_file(&place);
    let mut command = Command::new("/bin/sh");
    let script = "echo $$ > ../tmp/process && exec \"$0\" \"$@\"";
    command.args(["-c", script, RESTOW]).args(args);
    command.env_clear().env("HOME", cli.home()).current_dir(cli.dir());
    let mut running = Running::start(command);
    let known = || std::fs::read_to_string(&place).ok().filter(|text| text.ends_with('\n'));
    assert!(running.wait_until(|| known().is_some()));
    (running, known().unwrap().trim().to_owned())
}

/// Says whether a process has taken the signal of Ctrl-C for its own.
fn heeds(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
}

fn interrupt(process: &str) {
    let kill = Command::new("/bin/sh").args(["-c", "kill -INT $0", process]).status();
    assert!(kill.unwrap().success());
}

/// Returns how many units the ledger holds to be verified.
fn verified(world: &World) -> u64 {
    let status = world.cli.run(&["status", "agent.restow", "--json"]);
    let status: Option<serde_json::Value> = serde_json::from_str(status.out.trim()).ok();
    status.and_then(|status| status["units"].as_u64()).unwrap_or(0)
}

#[test]
fn a_copy_is_finished_by_the_next_run() {
    let (world, rate) = slow();
    let args = ["copy", APP, "agent.restow", "--jobs", "1", "--max-rate", &rate];
    let (mut running, process) = started(&world.cli, &args);
    assert!(running.wait_until(|| verified(&world) > 0));
    interrupt(&process);
    let outcome = running.finish().expect(130);
    assert!(outcome.err.contains("press Ctrl-C again to end at once"), "{}", outcome.err);
    let last = "interrupted; run the same command again to go on from here\n";
    assert!(outcome.out.ends_with(last), "{}", outcome.out);
    assert!(!outcome.out.contains("verified "), "{}", outcome.out);

    let done = verified(&world);
    assert!((1..THREADS).contains(&done), "{done}");
    let status = world.run(&["status", "agent.restow"]).expect(0).out;
    assert!(status.contains(": interrupted, took ") && status.contains("unfinished: "), "{status}");
    let next = world.json(&["copy", APP, "agent.restow"], 0);
    assert_eq!(next["units"]["copied"], THREADS - done, "{next}");
    world.run(&["verify", APP, "agent.restow"]).expect(0);
}

/// Neither a store nor a migration leaves half a file, however it is ended.
#[test]
fn a_backup_that_is_interrupted_leaves_nothing() {
    let (world, rate) = slow();
    let text = "[migration]\nname = \"agent\"\nsource = \"langgraph+sqlite:agent.sqlite\"\n\
                target = \"parts+sqlite:agent.restow\"\n";
    std::fs::write(world.cli.path("restow.toml"), text).unwrap();
    std::fs::copy(world.cli.path(APP), world.cli.path("agent.sqlite")).unwrap();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    let made = || {
        let names = world.cli.files().into_iter();
        names.filter(|name| name.contains("backup")).collect::<Vec<_>>()
    };
    let of_store = ["backup", "create", APP, "a.backup", "--jobs", "1", "--max-rate", &rate];
    let mut of_migration = of_store;
    (of_migration[2], of_migration[3]) = ("--config=restow.toml", "a.backup");
    for args in [of_store, of_migration] {
        let draft = world.cli.path("a.backup.partial/archive");
        let (mut running, process) = started(&world.cli, &args);
        assert!(running.wait_until(|| draft.exists() && heeds(&process)));
        interrupt(&process);
        let outcome = running.finish().expect(130);
        let last = "interrupted; nothing was kept, and the same command begins again\n";
        assert!(outcome.out.ends_with(last), "{}", outcome.out);
        assert_eq!(made(), [""; 0]);
        // At once, it leaves a draft, which is no backup, and which the next one removes.
        let (mut running, process) = started(&world.cli, &args);
        assert!(running.wait_until(|| draft.exists() && heeds(&process)));
        interrupt(&process);
        interrupt(&process);
        running.finish().expect(130);
        assert!(!world.cli.path("a.backup").exists());
        world.run(&[&args[..4], &["--jobs", "1"]].concat()).expect(0);
        world.run(&["backup", "check", "a.backup"]).expect(0);
        std::fs::remove_file(world.cli.path("a.backup")).unwrap();
        assert_eq!(made(), [""; 0]);
    }
}

#[test]
fn a_dry_run_says_that_it_saw_a_part() {
    let (world, rate) = slow();
    let args = ["copy", APP, "agent.restow", "--dry-run", "--max-rate", &rate];
    let (mut running, process) = started(&world.cli, &args);
    running.wait_for("→");
    assert!(running.wait_until(|| heeds(&process)));
    interrupt(&process);
    let outcome = running.finish().expect(130);
    let last = "stopped before the end; the numbers are of a part\n";
    assert!(outcome.out.ends_with(last), "{}", outcome.out);
    assert_eq!(world.cli.files(), ["app"]);
}

#[test]
fn twice_ends_at_once_and_loses_nothing() {
    let (world, rate) = slow();
    let args = ["copy", APP, "agent.restow", "--jobs", "1", "--max-rate", &rate];
    let (mut running, process) = started(&world.cli, &args);
    assert!(running.wait_until(|| verified(&world) > 0));
    interrupt(&process);
    interrupt(&process);
    running.finish().expect(130);
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    world.run(&["verify", APP, "agent.restow"]).expect(0);
}
