//! Six processes at once, as the replicas of an application start them.

use restow_testkit::official;

use crate::Served;

/// Runs LangGraph's own migrations up to a version, and puts a row into each table.
fn at_version(version: i32) -> Option<Served> {
    let (python, served) = (official::python()?, Served::new()?);
    let script =
        crate::common::workspace().join("crates/stores/tests/postgres_schema_help/official.py");
    if version >= 0 {
        let url = served.database.url();
        official::judge(&python, &script, &["upto", &url, &version.to_string()]);
        served.sql(
            "INSERT INTO checkpoints VALUES ('t', '', 'a', NULL, NULL, '{}', '{}');
                    INSERT INTO checkpoint_blobs VALUES ('t', '', 'x', '1', 'msgpack', '\\x01');
                    INSERT INTO checkpoint_writes VALUES
                        ('t', '', 'a', 'k', 0, 'x', 'a', '\\x01')",
        );
    }
    Some(served)
}

#[test]
fn six_at_once_all_succeed() {
    for version in [-1, 4, 6] {
        let Some(served) = at_version(version) else { return };
        let address = served.database.address("langgraph");
        let all: Vec<_> =
            (0..6).map(|_| served.cli.spawn(&["schema", "up", &address, "--json"])).collect();
        for one in all {
            let said = one.finish().expect(0).out;
            assert!(said.contains("\"version\":9"), "from version {version}: {said}");
        }
        served.cli.run(&["schema", "verify", &address]).expect(0);
    }
}
