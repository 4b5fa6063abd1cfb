//! A password in an address is printed by no command, however it fails.

use crate::common::{APP, World};

const SECRET: &str = "hunter2";

#[test]
fn a_password_is_never_printed() {
    let mut world = World::example("agent.sqlite");
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    let addresses = [
        "langgraph+postgres://me:hunter2@host:5432/db",
        "langgraph+postgres://me:hunter2@host/db?sslpassword=hunter2",
        "langgraph+postgres://me:hun/hunter2@host/db",
        "parts+s3://bucket/path?secret_key=hunter2",
        "postgres://me:hunter2@host/db",
        "Langgraph+Postgres://me:hunter2@host/db",
        "parts+sqlite://me:hunter2@host/db",
    ];
    for address in addresses {
        for args in [
            &["assess", address][..],
            &["copy", APP, address],
            &["copy", address, "other.restow"],
            &["copy", APP, address, "--dry-run"],
            &["copy", APP, address, "--ledger", "account"],
            &["copy", APP, address, "--extra", "delete"],
            &["verify", APP, address],
            &["verify", address, "agent.restow"],
            &["status", address],
            // Wrong usage repeats its arguments.
            &["assess", APP, address],
            &["copy", APP, "agent.restow", "--extra", address],
            &["completions", address],
            &[address],
        ] {
            for more in [&[][..], &["--json"], &["--verbose"]] {
                let outcome = world.run(&[args, more].concat());
                assert!(!matches!(outcome.code, None | Some(0)), "{args:?}: {outcome:?}");
                let said = format!("{}{}", outcome.out, outcome.err);
                assert!(!said.contains(SECRET), "{args:?}: {said}");
                assert!(!said.is_empty(), "{args:?}");
            }
        }
    }
    world.cli.set("RESTOW_JOBS", addresses[0]);
    let outcome = world.run(&["copy", APP, "agent.restow"]).expect(2);
    assert!(!outcome.err.contains(SECRET), "{}", outcome.err);
}
