//! Crates depend on each other in one direction, and most of them on no database.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};

use super::{Finding, Rule};
use crate::step;

/// What each crate may depend on within the workspace. Tests may depend on anything.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("restow-model", &[]),
    ("restow-store", &["restow-model"]),
    ("restow-stores", &["restow-model", "restow-store"]),
    ("restow-migrate", &["restow-model", "restow-store"]),
    ("restow-live", &["restow-model", "restow-store"]),
    ("restow", &["restow-model", "restow-store", "restow-stores", "restow-migrate", "restow-live"]),
    ("restow-cli", &["restow"]),
    ("restow-python", &["restow"]),
    ("restow-testkit", &["restow"]),
    ("xtask", &[]),
];

/// Crates that decide and never connect.
const WITHOUT_DATABASE: [&str; 4] =
    ["restow-model", "restow-store", "restow-migrate", "restow-live"];

/// Libraries that speak with a database or with object storage.
const DATABASES: [&str; 10] = [
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "diesel",
    "postgres",
    "tokio-postgres",
    "deadpool-postgres",
    "aws-sdk-dynamodb",
    "aws-sdk-s3",
    "object_store",
];

/// Checks the workspace as Cargo sees it.
pub(super) fn check_workspace() -> Result<Vec<Finding>, cargo_metadata::Error> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let mut findings = directions(&edges(&metadata));
    let mut full = MetadataCommand::new();
    let full = full.features(CargoOpt::AllFeatures).exec()?;
    findings.extend(databases(&reachable(&full)));
    Ok(findings)
}

/// A crate, and the crates of the workspace that it depends on outside its tests.
type Edges = BTreeMap<String, Vec<String>>;

fn edges(metadata: &Metadata) -> Edges {
    let packages = metadata.workspace_packages();
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let dependencies = |package: &cargo_metadata::Package| -> Vec<String> {
        let outside_tests = package.dependencies.iter().filter(|dependency| {
            dependency.kind != DependencyKind::Development
                && members.contains(dependency.name.as_str())
        });
        outside_tests.map(|dependency| dependency.name.clone()).collect()
    };
    packages.iter().map(|package| (package.name.to_string(), dependencies(package))).collect()
}

fn directions(edges: &Edges) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, dependencies) in edges {
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(known, _)| known == name) else {
            let what = format!("`{name}` has no place among the dependency directions");
            findings.push(finding(name, what, "give it one in the tidy task and in the map"));
            continue;
        };
        for dependency in dependencies.iter().filter(|name| !allowed.contains(&name.as_str())) {
            let what = format!("`{name}` depends on `{dependency}`, against the directions");
            findings.push(finding(name, what, "move the code to where both may reach it"));
        }
    }
    findings
}

/// The libraries that each crate of [`WITHOUT_DATABASE`] pulls in outside its tests.
fn reachable(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let name_of: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let edges: BTreeMap<&PackageId, Vec<&PackageId>> = nodes
        .map(|node| {
            let outside_tests = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            (&node.id, outside_tests.map(|dependency| &dependency.pkg).collect())
        })
        .collect();
    let starts = metadata.workspace_packages().into_iter();
    starts
        .filter(|package| WITHOUT_DATABASE.contains(&package.name.as_str()))
        .map(|package| {
            let mut seen = BTreeSet::new();
            let mut open = vec![&package.id];
            while let Some(id) = open.pop() {
                if seen.insert(id) {
                    open.extend(edges.get(id).into_iter().flatten());
                }
            }
            let names = seen.iter().filter_map(|id| name_of.get(id).map(|&name| name.to_owned()));
            (package.name.to_string(), names.collect())
        })
        .collect()
}

fn databases(reachable: &BTreeMap<String, BTreeSet<String>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, pulled) in reachable {
        for library in DATABASES.iter().filter(|library| pulled.contains(**library)) {
            let what = format!("`{name}` pulls in `{library}`");
            findings.push(finding(name, what, "keep databases in the crate of the adapters"));
        }
    }
    findings
}

fn finding(name: &str, what: String, remedy: &'static str) -> Finding {
    let folder = name.strip_prefix("restow-").unwrap_or(name);
    let path = format!("crates/{folder}/Cargo.toml");
    let path = if step::root().join(&path).exists() { path } else { "Cargo.toml".to_owned() };
    Finding { path, line: 1, rule: Rule::Dependencies, what, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(name: &str, dependencies: &[&str]) -> Vec<String> {
        let dependencies = dependencies.iter().map(|&name| name.to_owned()).collect();
        let found = directions(&BTreeMap::from([(name.to_owned(), dependencies)]));
        found.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn directions_hold() {
        assert_eq!(whats("restow-migrate", &["restow-model", "restow-store"]).len(), 0);
        assert_eq!(whats("restow-migrate", &["restow-stores"]).len(), 1);
        assert_eq!(whats("restow-cli", &["restow", "restow-testkit"]).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(whats("restow-new", &[]).len(), 1);
    }

    #[test]
    fn a_database_in_reach_is_found() {
        let pulled = |library: &str| {
            let libraries = BTreeSet::from([library.to_owned()]);
            databases(&BTreeMap::from([("restow-store".to_owned(), libraries)])).len()
        };
        assert_eq!(pulled("rusqlite"), 1);
        assert_eq!(pulled("tokio"), 0);
    }

    #[test]
    fn the_table_goes_one_way() {
        for (index, (name, allowed)) in DIRECTIONS.iter().enumerate() {
            for dependency in *allowed {
                let place = DIRECTIONS.iter().position(|(other, _)| other == dependency);
                assert!(place.is_some_and(|place| place < index), "{name} on {dependency}");
            }
        }
    }
}
