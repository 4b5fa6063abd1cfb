//! A disk that fills up: said so, and the next run with room finishes.

use std::path::PathBuf;
use std::process::Command;

use restow_testkit::cli::{Outcome, Running};

use crate::common::{APP, RESTOW, World};

/// A file system that holds little.
struct Small {
    at: PathBuf,
}

impl Small {
    /// Mounts one; nothing where that is not allowed.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let this = Self { at };
        this.call("mount", &["-t", "tmpfs", "-o", size, "tmpfs"]).then_some(this)
    }

    fn grow(&self, size: &str) {
        assert!(self.call("mount", &["-o", &format!("remount,{size}")]));
    }

    fn call(&self, program: &str, args: &[&str]) -> bool {
        let output = Command::new(program).args(args).arg(&self.at).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.call("umount", &["-l"]);
    }
}

/// Runs restow with files of so many blocks of 512 bytes at most; a longer write fails.
fn limited(world: &World, blocks: u32, args: &[&str]) -> Outcome {
    let mut command = Command::new("/bin/sh");
    let script = "ulimit -f $0 && trap '' XFSZ && exec \"$@\"";
    command.args(["-c", script, &blocks.to_string(), RESTOW]).args(args);
    command.env_clear().env("HOME", world.cli.home()).current_dir(world.cli.dir());
    Running::start(command).finish()
}

fn finishes(world: &World, target: &str) {
    world.run(&["copy", APP, target]).expect(0);
    world.run(&["verify", APP, target]).expect(0);
}

#[test]
fn a_write_that_fails() {
    let mut failed = 0;
    for target in ["parts+sqlite:agent.restow", "langgraph+sqlite:home.sqlite"] {
        for blocks in [64, 96, 128, 192, 256] {
            let world = World::example("agent.sqlite");
            let outcome = limited(&world, blocks, &["copy", APP, target]);
            if outcome.code != Some(0) {
                failed += 1;
                let err = outcome.expect(1).err;
                assert!(err.contains("reading or writing the file failed, file "), "{err}");
            }
            finishes(&world, target);
        }
    }
    assert!(failed > 5, "{failed}");
}

#[test]
fn a_full_disk() {
    let mut failed = 0;
    for name in ["parts+sqlite:small/agent.restow", "langgraph+sqlite:small/home.sqlite"] {
        for size in ["size=200k", "size=280k", "size=900k"] {
            let world = World::example("agent.sqlite");
            let Some(small) = Small::mount(world.cli.path("small"), size) else {
                // Only root may mount one: the limit stands for it.
                return a_write_that_fails();
            };
            let outcome = world.run(&["copy", APP, name]);
            if outcome.code != Some(0) {
                failed += 1;
                let err = outcome.expect(1).err;
                let said = "the disk is full; free some room and run it again, file ";
                assert!(err.contains(said), "{size} {err}");
            }
            small.grow("size=16m");
            finishes(&world, name);
        }
    }
    assert!(failed > 2, "{failed}");
}
