//! Object storage: conditional writes, lost answers, and storage that does not keep conditions.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on ends")]

use bytes::Bytes;
use futures::TryStreamExt as _;
use restow_store::{Address, Environment, ErrorKind};
use restow_stores::engine::object::{Objects, Written};
use restow_testkit::proxy::{Conditions, Plan, Proxy};
use restow_testkit::servers;

fn environment() -> Environment {
    let key = ("AWS_ACCESS_KEY_ID", "test");
    Environment::from([key, ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")])
}

fn open(endpoint: &str, bucket: &str) -> Objects {
    let address = format!("parts+s3:{bucket}/some/prefix?endpoint={endpoint}");
    let address = Address::parse(&address).expect("an address");
    Objects::open(&address, &environment()).expect("a client")
}

/// An endpoint with an empty bucket; nothing where this run was told to do without a server.
async fn bucket(name: &str) -> Option<String> {
    let server = servers::s3()?;
    let made = make(&server, name).await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    Some(server)
}

/// Makes a bucket, which no part of restow does.
async fn make(server: &str, bucket: &str) -> String {
    let (server, bucket) = (server.to_owned(), bucket.to_owned());
    let made = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        let place = server.strip_prefix("http://").expect("a URL");
        let mut stream = std::net::TcpStream::connect(place).expect("connect");
        let head = "Connection: close\r\nContent-Length: 0\r\n";
        write!(stream, "PUT /{bucket} HTTP/1.1\r\nHost: {place}\r\n{head}\r\n").expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    });
    made.await.expect("a thread")
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn done(written: Written) -> restow_store::Etag {
    match written {
        Written::Done(etag) => etag,
        Written::Lost => panic!("the condition holds"),
    }
}

async fn keeps_conditions(objects: &Objects) {
    assert_eq!(objects.read("a/b").await.expect("an answer"), None);
    let first = done(objects.create("a/b", text("one")).await.expect("an answer"));
    assert_eq!(objects.create("a/b", text("two")).await.expect("an answer"), Written::Lost);
    let again = objects.create("a/b", text("one")).await.expect("an answer");
    assert_eq!(again, Written::Done(first.clone()), "the same bytes are as good");
    let second = done(objects.update("a/b", &first, text("two")).await.expect("an answer"));
    let stale = objects.update("a/b", &first, text("three")).await.expect("an answer");
    assert_eq!(stale, Written::Lost);
    let absent = objects.update("a/c", &first, text("three")).await.expect("an answer");
    assert_eq!(absent, Written::Lost);
    let read = objects.read("a/b").await.expect("an answer");
    assert_eq!(read, Some((second, text("two"))));
    let range = objects.read_range("a/b", 1..3).await.expect("an answer");
    assert_eq!(range, Some(text("wo")));
}

/// Goes on where [`keeps_conditions`] ends.
async fn lists_and_removes(objects: &Objects) {
    done(objects.create("a/d", text("four")).await.expect("an answer"));
    let listed: Vec<_> = objects.list("a").expect("a folder").try_collect().await.expect("all");
    let listed: Vec<_> = listed.iter().map(|found| (&*found.name, found.len)).collect();
    assert_eq!(listed, [("a/b", 3), ("a/d", 4)]);
    let names = ["a/b", "a/d", "a/none"].map(str::to_owned);
    objects.remove(&names).await.expect("removed");
    assert_eq!(objects.read("a/b").await.expect("an answer"), None);
    objects.probe("trial").await.expect("fit");
    let left: Vec<_> = objects.list("").expect("all").try_collect().await.expect("all");
    assert_eq!(left, [], "a trial leaves nothing");
}

#[tokio::test]
async fn memory_keeps_conditions() {
    let objects = Objects::memory();
    keeps_conditions(&objects).await;
    lists_and_removes(&objects).await;
}

#[tokio::test]
async fn s3_keeps_conditions() {
    let Some(server) = bucket("keeps-conditions").await else { return };
    let objects = open(&server, "keeps-conditions");
    keeps_conditions(&objects).await;
    lists_and_removes(&objects).await;
}

#[tokio::test]
async fn s3_behind_a_bad_network_keeps_conditions() {
    let Some(server) = bucket("bad-network").await else { return };
    for seed in 0..5 {
        let plan = Plan {
            seed,
            closed: 100,
            dropped: 100,
            broken: 100,
            throttled: 100,
            ..Plan::default()
        };
        let proxy = Proxy::start(&server, plan);
        let objects = open(proxy.url(), "bad-network");
        let name = format!("a{seed}");
        until_told(|| objects.remove(std::slice::from_ref(&name))).await;
        let first = done(until_told(|| objects.create(&name, text("one"))).await);
        assert_eq!(until_told(|| objects.create(&name, text("two"))).await, Written::Lost);
        let second = done(until_told(|| objects.update(&name, &first, text("two"))).await);
        let stale = until_told(|| objects.update(&name, &first, text("three"))).await;
        assert_eq!(stale, Written::Lost);
        let read = until_told(|| objects.read(&name)).await;
        assert_eq!(read, Some((second, text("two"))));
    }
}

/// Makes a call again while the storage cannot be reached, as a caller would.
async fn until_told<T, F>(mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = restow_store::Result<T>>,
{
    for _ in 0..50 {
        match call().await {
            Ok(told) => return told,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    panic!("never told");
}

#[tokio::test]
async fn storage_that_ignores_or_races_conditions_is_refused() {
    let Some(server) = bucket("lies").await else { return };
    let proxy = Proxy::start(&server, Plan::default());
    let objects = open(proxy.url(), "lies");
    objects.probe("honest").await.expect("fit");
    let raced = Conditions::Raced { many: 8, of: "/race".to_owned() };
    for (conditions, why) in [(Conditions::Ignored, "If-None-Match is ignored"), (raced, "at once")]
    {
        proxy.follow(Plan { conditions, ..Plan::default() });
        let error = objects.probe("id").await.expect_err("unfit");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        proxy.follow(Plan::default());
        let left: Vec<_> = objects.list("").expect("all").try_collect().await.expect("all");
        assert_eq!(left, [], "a trial leaves nothing");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let parse = |place: &str| Address::parse(&format!("parts+s3:{place}")).expect("an address");
    for place in ["/prefix", "bucket?color=red"] {
        let error = Objects::open(&parse(place), &environment()).expect_err(place);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let profile = Environment::from([("AWS_PROFILE", "work")]);
    let error = Objects::open(&parse("bucket"), &profile).expect_err("a profile");
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().ends_with("profile work"), "{error}");
    let Some(server) = servers::s3() else { return };
    let error = open(&server, "not-there").create("a", text("one")).await.expect_err("no bucket");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
