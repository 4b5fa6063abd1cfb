//! The questions of LangGraph's savers, answered in their order.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

mod langgraph_sqlite_help;

use futures::TryStreamExt;
use langgraph_sqlite_help::{Db, example, packed};
use restow_model::{Body, KeyPart, Record, UnitId};
use restow_store::Content;
use restow_store::query::langgraph::{CheckpointFilter, CheckpointTuple, LangGraphQuery};
use restow_stores::engine::sqlite::source::Source;
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;

fn id(record: &Record) -> String {
    match record.key.parts().as_slice() {
        [_, KeyPart::Text(id), ..] => id.clone(),
        other => panic!("{other:?}"),
    }
}

fn open() -> LangGraphSqlite {
    LangGraphSqlite::source(&example("agent.sqlite")).expect("a source")
}

async fn list(store: &LangGraphSqlite, filter: CheckpointFilter) -> Vec<CheckpointTuple> {
    let found = store.list(filter, Content::All).await.expect("a list");
    found.try_collect().await.expect("checkpoints")
}

/// Asks SQLite directly, as langgraph-checkpoint-sqlite 3.1.2 does.
fn ask(sql: &str) -> Vec<String> {
    let source = Source::open(&example("agent.sqlite")).expect("the file");
    let opened = source.connect().expect("a connection");
    let mut statement = opened.connection().prepare(sql).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

#[tokio::test]
async fn the_latest_has_the_greatest_id() {
    let store = open();
    for unit in ["chat-short", "chat-fork", "nested-open"] {
        let sql = format!(
            "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = '{unit}'
             AND checkpoint_ns = ''"
        );
        let unit = UnitId::new(unit);
        let latest =
            store.latest(&unit, "", Content::All).await.expect("an answer").expect("a checkpoint");
        assert_eq!([id(&latest.checkpoint)], ask(&sql)[..]);
        let same =
            store.get(&unit, "", &id(&latest.checkpoint), Content::All).await.expect("an answer");
        assert_eq!(same, Some(latest));
    }
    assert_eq!(
        store.latest(&UnitId::new("none"), "", Content::All).await.expect("an answer"),
        None
    );
    assert_eq!(
        store.get(&UnitId::new("chat-short"), "", "0", Content::All).await.expect("an answer"),
        None
    );
}

#[tokio::test]
async fn lists_are_newest_first_across_threads_and_namespaces() {
    let store = open();
    let all = list(&store, CheckpointFilter::default()).await;
    let ids: Vec<String> = all.iter().map(|t| id(&t.checkpoint)).collect();
    assert_eq!(ids, ask("SELECT checkpoint_id FROM checkpoints ORDER BY checkpoint_id DESC"));
    let middle = ids[ids.len() / 2].clone();
    let before = CheckpointFilter {
        unit: Some(UnitId::new("nested-done")),
        before: Some(middle.clone()),
        limit: Some(3),
        ..CheckpointFilter::default()
    };
    let sql = format!(
        "SELECT checkpoint_id FROM checkpoints WHERE thread_id = 'nested-done'
         AND checkpoint_id < '{middle}' ORDER BY checkpoint_id DESC LIMIT 3"
    );
    let found = list(&store, before).await;
    assert_eq!(found.iter().map(|t| id(&t.checkpoint)).collect::<Vec<_>>(), ask(&sql));
}

#[tokio::test]
async fn metadata_is_compared_before_the_limit() {
    let store = open();
    let filter = CheckpointFilter {
        metadata: vec![("source".into(), Body::text("input")), ("step".into(), Body::int(-1))],
        limit: Some(4),
        ..CheckpointFilter::default()
    };
    let found = list(&store, filter).await;
    let sql = "SELECT checkpoint_id FROM checkpoints
               WHERE CAST(metadata AS TEXT) LIKE '{\"source\": \"input\", \"step\": -1,%'
               ORDER BY checkpoint_id DESC LIMIT 4";
    assert_eq!(found.iter().map(|t| id(&t.checkpoint)).collect::<Vec<_>>(), ask(sql));
}

#[tokio::test]
async fn pending_writes_come_by_path_task_and_index() {
    let db = Db::new();
    db.checkpoint("1", None, "msgpack", &packed("1", &[], &[]), "{}");
    for (task, idx, path) in [("b", 10, "~a"), ("b", 2, "~a"), ("a", 0, "~b"), ("c", -1, "")] {
        db.write("1", task, idx, Some("msgpack"), &b"\x01".to_vec());
        db.run(&format!(
            "UPDATE writes SET task_path = '{path}' WHERE task_id = '{task}' AND idx = {idx}"
        ));
    }
    let store = LangGraphSqlite::source(&db.path).expect("a source");
    let found =
        store.latest(&UnitId::new("t"), "", Content::All).await.expect("an answer").expect("one");
    let order: Vec<_> = found.writes.iter().map(|w| w.key.parts()[2..].to_vec()).collect();
    let part = |task: &str, idx| vec![KeyPart::Text(task.into()), KeyPart::Int(idx)];
    assert_eq!(order, [part("c", -1), part("b", 2), part("b", 10), part("a", 0)]);
}

#[tokio::test]
async fn ancestors_lead_to_the_root_and_a_loop_ends() {
    let store = open();
    let unit = UnitId::new("delta-long");
    let latest =
        store.latest(&unit, "", Content::All).await.expect("an answer").expect("a checkpoint");
    let walk = store.ancestors(&unit, "", &id(&latest.checkpoint)).await.expect("a walk");
    let walk: Vec<_> = walk.try_collect().await.expect("checkpoints");
    assert_eq!(walk[0], latest);
    assert!(walk.len() > 5);
    for pair in walk.windows(2) {
        let parent = pair[0].checkpoint.body.get("parent").and_then(Body::as_text);
        assert_eq!(parent, Some(&*id(&pair[1].checkpoint)));
    }
    assert_eq!(walk[walk.len() - 1].checkpoint.body.get("parent"), Some(&Body::Null));

    let db = Db::new();
    db.checkpoint("1", Some("2"), "msgpack", &packed("1", &[], &[]), "{}");
    db.checkpoint("2", Some("1"), "msgpack", &packed("2", &[], &[]), "{}");
    let store = LangGraphSqlite::source(&db.path).expect("a source");
    let walk = store.ancestors(&UnitId::new("t"), "", "2").await.expect("a walk");
    assert_eq!(walk.try_collect::<Vec<_>>().await.expect("checkpoints").len(), 2);
}

#[tokio::test]
async fn the_threads_of_a_run_are_found() {
    let db = Db::new();
    db.checkpoint("1", None, "msgpack", &packed("1", &[], &[]), r#"{"a": NaN, "run_id": "r"}"#);
    db.checkpoint("2", None, "msgpack", &packed("2", &[], &[]), r#"{"run_id": "r"}"#);
    db.checkpoint("3", None, "msgpack", &packed("3", &[], &[]), r#"{"x": {"run_id": "q"}}"#);
    let store = LangGraphSqlite::source(&db.path).expect("a source");
    assert_eq!(store.units_of_run("r").await.expect("an answer"), [UnitId::new("t")]);
    assert!(store.units_of_run("q").await.expect("an answer").is_empty());
}

#[tokio::test]
async fn a_list_without_values_names_them() {
    let store = open();
    let filter = CheckpointFilter { limit: Some(1), ..CheckpointFilter::default() };
    let bodies = store.list(filter, Content::Bodies).await.expect("a list");
    let bodies: Vec<_> = bodies.try_collect().await.expect("checkpoints");
    assert!(bodies[0].checkpoint.values.is_empty());
    let mut names = 0;
    bodies[0].checkpoint.body.each_value(&mut |_| names += 1);
    assert!(names > 0);
}
