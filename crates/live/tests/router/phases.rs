//! Back from every phase at every share with what was written meanwhile, and forward again.

use super::*;

/// Takes all units to where a configuration wants them, and copies them ahead where it says so.
async fn carry_out(world: &World, config: Config) -> Router {
    let errand = match config.phase {
        Phase::Shadow => Errand::Copy(Side::Target),
        _ => Errand::Place,
    };
    let pair = world.router.pair();
    let held = pair.config().await.expect("a configuration");
    let config = pair.configure(&held, config).await.expect("a change").config;
    let router = again(world, config);
    let swept = router.sweep(errand, 3, &AtomicBool::new(false)).await.expect("a sweep");
    assert_eq!(swept.failed, 0, "{:?}", swept.failures);
    router
}

/// Writes to every unit and begins one; returns what all units hold by now.
async fn write_all(router: &Router, round: &str) -> Vec<(UnitId, String)> {
    let units: Vec<_> = router.units().await.expect("a list").collect().await;
    let units = units.into_iter().map(|listed| listed.expect("a unit").unit);
    let mut all = Vec::new();
    for unit in units.chain([UnitId::new(format!("begun-{round}"))]) {
        router.write(&unit, put(1, round)).await.expect("a write");
        router.write(&unit, put(2, round)).await.expect("a write");
        all.push(unit);
    }
    let removed = UnitId::new("unit-1");
    router.delete(&removed, None).await.expect("a removal");
    held(router, &all).await
}

async fn held(router: &Router, units: &[UnitId]) -> Vec<(UnitId, String)> {
    let mut held = Vec::new();
    for unit in units {
        let frames = router.read(unit, &Selection::all()).await.expect("frames");
        let records = frames.filter_map(async |frame| match frame.expect("a frame") {
            Frame::Record(record) => Some(format!("{:?} {:?}", record.key, record.body)),
            _ => None,
        });
        held.push((unit.clone(), records.collect::<Vec<_>>().await.join("\n")));
    }
    held.sort();
    held
}

#[tokio::test]
async fn back_from_every_phase_and_forward_again() {
    let shares = [0, 1, 100, 3_700, 6_300, 9_999, 10_000].map(|share| (Phase::Move, share));
    let others = [Phase::Aware, Phase::Shadow, Phase::Full, Phase::Settled];
    for (phase, share) in shares.into_iter().chain(others.map(|phase| (phase, 10_000))) {
        for (mirrors, acknowledge) in
            [(false, Acknowledge::One), (true, Acknowledge::One), (true, Acknowledge::Both)]
        {
            let config = Config { phase, share, mirrors, acknowledge, ..Config::default() };
            there_and_back(config).await;
        }
    }
}

async fn there_and_back(config: Config) {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 24).await;
    let router = carry_out(&world, config.clone()).await;
    let meanwhile = write_all(&router, "meanwhile").await;
    let units: Vec<UnitId> = meanwhile.iter().map(|(unit, _)| unit.clone()).collect();
    assert_eq!(units.len(), 25, "{config:?}");

    let back = Config { phase: Phase::Move, share: 0, ..config.clone() };
    let router = carry_out(&world, back).await;
    let count = router.standings().await.expect("a count");
    assert_eq!((count.at_source, count.damaged, count.sealed), (25, 0, 0), "{config:?}");
    assert_eq!(held(&router, &units).await, meanwhile, "{config:?}");

    let later = write_all(&router, "later").await;
    let units: Vec<UnitId> = later.iter().map(|(unit, _)| unit.clone()).collect();
    let router = carry_out(&world, Config { phase: Phase::Full, ..config.clone() }).await;
    let count = router.standings().await.expect("a count");
    assert_eq!((count.at_target, count.damaged, count.sealed), (26, 0, 0), "{config:?}");
    assert_eq!(held(&router, &units).await, later, "{config:?}");
}
