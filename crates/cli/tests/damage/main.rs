//! Damage of every kind to real files, against every check: who catches what, as a document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends loudly")]
#![allow(clippy::disallowed_methods, reason = "the document is written where that is asked for")]

mod bench;
mod document;
mod holes;
mod said;
mod section;
mod served;

use std::path::Path;

use bench::{Bench, Side, Way};
use section::Section;

/// Damages everything and holds `docs/damage.md` to what comes of it.
#[test]
fn every_damage_is_caught_as_the_document_says() {
    let Some(_) = restow_testkit::postgres::server() else { return };
    let all: Vec<fn() -> Section> = vec![
        || section::rows(Way::Out, Side::Source),
        || section::rows(Way::Home, Side::Source),
        || section::rows(Way::Home, Side::Target),
        || section::rows(Way::Out, Side::Target),
        section::stale,
        || section::bytes(Way::Out, Side::Source),
        || section::bytes(Way::Home, Side::Source),
        || section::bytes(Way::Home, Side::Target),
        || section::bytes(Way::Out, Side::Target),
        || served::rows(Side::Source),
        || served::rows(Side::Target),
        served::beside,
    ];
    let sections: Vec<Section> = std::thread::scope(|scope| {
        let running: Vec<_> = all.into_iter().map(|make| scope.spawn(make)).collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
            .collect()
    });
    holes::assert_explained(&sections);
    let text = document::text(&sections);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/damage.md");
    if std::env::var("RESTOW_BLESS").is_ok_and(|what| what == "docs") {
        std::fs::write(&path, &text).expect("write the document");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let first = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
    let hint = "docs/damage.md is not what its test finds; run `cargo xtask docs` and look at it";
    assert!(kept == text, "{hint}\nfirst difference: {first:#?}");
}

/// What official software passes over comes back from a copy as it was, or is named.
#[test]
fn bytes_behind_a_checkpoint_come_home() {
    let damage = restow_testkit::damage::Damage::named(
        restow_testkit::damage::LANGGRAPH,
        "bytes behind a checkpoint",
    );
    for seed in 1..=5 {
        let bench = Bench::new(Way::Out);
        bench.put(false);
        let file = bench.cli.path("agent.db");
        damage.apply(&file, seed);
        assert_eq!(said::copy(&bench.cli, "agent.db", "a.restow").code, 0);
        bench.assert_comes_home();
        // And one such checkpoint beside another is told from it.
        damage.apply(&file, seed + 100);
        let verified = said::verify(&bench.cli, "agent.db", "a.restow");
        assert_eq!((verified.code, verified.words), (3, vec!["source moved on since".to_owned()]));
    }
}
