//! Every ordered pair of the four stores, on one way that leads home.

use crate::Judge;
use crate::common::World;
use crate::places::{Place, copy};

const KINDS: &str = "interrupt,subgraph,fanout,fork-head,old-checkpoint,delta,failed,continue";
const OLD_KINDS: &str = "interrupt,fanout,subgraph";

/// Goes over all twelve pairs; each stop is a store of its own.
fn all_pairs(name: &str, kinds: &str) {
    let Some((judge, databases)) = Judge::with_databases::<3>() else { return };
    let world = World::example(name);
    let original = Place::example(name);
    let files = ["one.sqlite", "two.sqlite", "home.sqlite"].map(|name| Place::file(&world, name));
    let servers = databases.each_ref().map(Place::database);
    let parts = databases.each_ref().map(|database| database.address("parts"));
    let [one, two, home] = files.each_ref().map(|file| file.address.as_str());
    let [first, second, third] = servers.each_ref().map(|server| server.address.as_str());
    let way = [
        &original.address,
        first,
        "one.restow",
        one,
        "two.restow",
        &parts[0],
        two,
        &parts[1],
        "three.restow",
        second,
        &parts[2],
        third,
        home,
    ];
    copy(&world, &way);
    for file in &files {
        judge.same_rows(&original, file);
    }
    let [file, server] = [&files[2], &servers[2]];
    judge.same(&original, &[&servers[0], &servers[1], server, &files[0], &files[1], file], kinds);
    judge.same_rows(&servers[0], server);
}

#[test]
fn the_newest_example_comes_home_over_every_pair_of_stores() {
    all_pairs("agent.sqlite", KINDS);
}

#[test]
fn the_old_example_comes_home_over_every_pair_of_stores() {
    all_pairs("agent-old.sqlite", OLD_KINDS);
}
