//! The saver over a parts file: what is serialised once, what is found again, who was first.

use bytes::Bytes;
use futures::StreamExt;
use restow_store::{Address, Environment};
use restow_stores::layout::langgraph::msgpack::{Head, write_head, write_text};

use super::{
    CheckpointPut, CheckpointQuery, Payload, Place, Prune, Saver, Stored, Tuple, Typed, WritesPut,
};

struct World {
    saver: Saver,
    _folder: tempfile::TempDir,
}

async fn world(layout: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("{layout}+sqlite:{}", folder.path().join("file").display());
    let address = Address::parse(&address).unwrap();
    let saver = Saver::open(&address, &Environment::default()).await.unwrap();
    World { saver, _folder: folder }
}

/// Packs a checkpoint's head with versions of channels.
fn head(id: &str, versions: &[(&str, &str)]) -> Bytes {
    let mut out = Vec::new();
    write_head(&mut out, Head::Map(3));
    write_text(&mut out, "v");
    write_head(&mut out, Head::Uint(4));
    write_text(&mut out, "id");
    write_text(&mut out, id);
    write_text(&mut out, "channel_versions");
    write_head(&mut out, Head::Map(versions.len()));
    for (channel, version) in versions {
        write_text(&mut out, channel);
        write_text(&mut out, version);
    }
    out.into()
}

fn put(id: &str, parent: Option<&str>, versions: &[(&str, &str)]) -> CheckpointPut {
    CheckpointPut {
        place: Place::new("thread", "", id),
        parent: parent.map(Into::into),
        metadata: Bytes::from_static(br#"{"source": "loop", "step": 1, "run_id": "run"}"#),
        head: head(id, versions),
        values: Vec::new(),
        unchanged: Vec::new(),
    }
}

fn text(value: &str) -> Typed {
    let mut out = Vec::new();
    write_text(&mut out, value);
    Typed::new("msgpack", out)
}

fn values(tuple: &Tuple) -> Vec<(&str, &Typed)> {
    match &tuple.payload {
        Payload::Open { values, .. } => values.iter().map(|(n, v)| (&**n, v)).collect(),
        Payload::Whole(typed) => vec![("", typed)],
    }
}

async fn latest(saver: &Saver) -> Tuple {
    saver.get("thread", "", None).await.unwrap().unwrap()
}

async fn two_checkpoints(saver: &Saver) {
    let first = CheckpointPut {
        values: vec![("a".into(), text("one")), ("b".into(), Typed::new("null", ""))],
        ..put("1", None, &[("a", "1"), ("b", "1")])
    };
    assert_eq!(saver.put(first).await.unwrap(), Stored::Done);
    let second = CheckpointPut {
        values: vec![("b".into(), text("two"))],
        unchanged: vec!["a".into()],
        ..put("2", Some("1"), &[("a", "1"), ("b", "2")])
    };
    assert_eq!(saver.put(second).await.unwrap(), Stored::Done);
}

#[tokio::test]
async fn an_unchanged_value_is_found_again() {
    for layout in ["parts", "langgraph"] {
        let World { saver, _folder } = world(layout).await;
        two_checkpoints(&saver).await;
        let found = latest(&saver).await;
        assert_eq!((&*found.id, found.parent.as_deref()), ("2", Some("1")));
        assert_eq!(values(&found), [("a", &text("one")), ("b", &text("two"))]);
        let first = saver.get("thread", "", Some("1")).await.unwrap().unwrap();
        assert_eq!(values(&first)[1].1, &Typed::new("null", ""));
    }
}

#[tokio::test]
async fn a_value_of_another_version_is_asked_for() {
    let World { saver, _folder } = world("parts").await;
    two_checkpoints(&saver).await;
    let third = CheckpointPut {
        unchanged: vec!["a".into(), "b".into(), "c".into()],
        ..put("3", Some("2"), &[("a", "1"), ("b", "3"), ("c", "1")])
    };
    let missing = Stored::Missing(vec!["b".into(), "c".into()]);
    assert_eq!(saver.put(third).await.unwrap(), missing);
    assert_eq!(&*latest(&saver).await.id, "2");
}

#[tokio::test]
async fn sealed_values_need_a_place_of_their_own() {
    let sealed = |id| CheckpointPut {
        values: vec![("a".into(), Typed::new("msgpack+aes", "sealed"))],
        ..put(id, None, &[("a", "1")])
    };
    let World { saver, _folder } = world("parts").await;
    assert_eq!(saver.put(sealed("1")).await.unwrap(), Stored::Done);
    assert_eq!(values(&latest(&saver).await), [("a", &Typed::new("msgpack+aes", "sealed"))]);

    let World { saver, _folder } = world("langgraph").await;
    assert_eq!(saver.put(sealed("1")).await.unwrap(), Stored::Whole);
    let whole = Typed::new("msgpack+aes", "all of it, sealed");
    saver.put_whole(sealed("1"), whole.clone()).await.unwrap();
    let found = latest(&saver).await;
    assert_eq!(found.payload, Payload::Whole(whole));
    let history = saver.history("thread", "", Some("1"), &["a".into()]).await.unwrap();
    assert_eq!(history.map(|h| h.len()), Some(1), "nothing lies before a root");
}

fn writes(task: &str, writes: &[(&str, &str)]) -> WritesPut {
    WritesPut {
        place: Place::new("thread", "", "2"),
        task: task.into(),
        path: "~pull".into(),
        writes: writes.iter().map(|(channel, value)| ((*channel).into(), text(value))).collect(),
    }
}

#[tokio::test]
async fn the_first_write_stays_and_an_interrupt_is_replaced() {
    let World { saver, _folder } = world("parts").await;
    two_checkpoints(&saver).await;
    saver.put_writes(writes("task", &[("a", "first"), ("__interrupt__", "first")])).await.unwrap();
    saver
        .put_writes(writes("task", &[("a", "second"), ("b", "new"), ("c", "newer")]))
        .await
        .unwrap();
    saver.put_writes(writes("task", &[("__interrupt__", "second")])).await.unwrap();
    let found = latest(&saver).await;
    let told: Vec<_> = found.writes.iter().map(|w| (&*w.channel, w.value.clone())).collect();
    let expected = [("__interrupt__", "second"), ("a", "first"), ("b", "new"), ("c", "newer")];
    assert_eq!(told, expected.map(|(channel, value)| (channel, text(value))));
}

#[tokio::test]
async fn threads_are_copied_pruned_and_deleted() {
    let World { saver, _folder } = world("parts").await;
    two_checkpoints(&saver).await;
    saver.put_writes(writes("task", &[("a", "waits")])).await.unwrap();
    saver.copy_thread("thread", "copy").await.unwrap();
    let copy = saver.get("copy", "", None).await.unwrap().unwrap();
    assert_eq!(copy.writes, latest(&saver).await.writes);

    saver.prune(&["copy".into()], Prune::KeepLatest).await.unwrap();
    let query = CheckpointQuery { thread: Some("copy".into()), ..CheckpointQuery::default() };
    let kept: Vec<Tuple> = saver.list(query).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(kept.len(), 1);
    assert_eq!((&*kept[0].id, &kept[0].parent, kept[0].writes.len()), ("2", &None, 1));

    saver.delete_for_runs(&["another".into()]).await.unwrap();
    assert_eq!(&*latest(&saver).await.id, "2");
    saver.delete_for_runs(&["run".into()]).await.unwrap();
    assert_eq!(saver.get("thread", "", None).await.unwrap(), None);
    assert_eq!(saver.get("copy", "", None).await.unwrap(), None);
}

#[tokio::test]
async fn what_keeps_only_changes_is_not_pruned() {
    let World { saver, _folder } = world("parts").await;
    let snapshot = Typed::new("msgpack", &b"\xd4\x07\xc0"[..]);
    let first =
        CheckpointPut { values: vec![("a".into(), snapshot)], ..put("1", None, &[("a", "1")]) };
    saver.put(first).await.unwrap();
    let refused = saver.prune(&["thread".into()], Prune::KeepLatest).await.unwrap_err();
    assert_eq!(refused.kind(), restow_store::ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_history_goes_back_to_the_nearest_value() {
    let World { saver, _folder } = world("parts").await;
    two_checkpoints(&saver).await;
    saver.put_writes(writes("task", &[("b", "one"), ("b", "two")])).await.unwrap();
    saver.put(put("3", Some("2"), &[("b", "3")])).await.unwrap();
    let asked = ["a".into(), "b".into(), "c".into()];
    let found = saver.history("thread", "", None, &asked).await.unwrap().unwrap();
    assert_eq!(found[0].seed, Some(text("one")));
    assert_eq!(found[1].seed, Some(text("two")));
    let told: Vec<_> = found[1].writes.iter().map(|write| write.value.clone()).collect();
    assert_eq!(told, [text("one"), text("two")]);
    assert_eq!(found[2], super::ChannelHistory::default());
}
