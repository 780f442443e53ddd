//! The arrows between crates, over `cargo metadata`: who may know whom, and which crate alone may use what is heavy.

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::harness::root;

/// Each crate of the workspace: what it may depend on, and what its tests may depend on beyond that.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("stillhouse-schemas", &[], &[]),
    ("stillhouse-streams", &[], &["stillhouse-kit"]),
    ("stillhouse-embedded", &["stillhouse-streams"], &["stillhouse-kit"]),
    ("stillhouse-kafka", &["stillhouse-streams"], &["stillhouse-kit", "stillhouse-devkafka"]),
    ("stillhouse-devkafka", &[], &[]),
    ("stillhouse-registry", &["stillhouse-schemas"], &[]),
    ("stillhouse-models", &["stillhouse-schemas"], &["stillhouse-kit"]),
    ("stillhouse-lexical", &["stillhouse-schemas"], &[]),
    ("stillhouse-embedcache", &["stillhouse-schemas"], &[]),
    ("stillhouse-sled", &["stillhouse-streams"], &["stillhouse-kit"]),
    ("stillhouse-files", &["stillhouse-schemas", "stillhouse-streams"], &["stillhouse-kit"]),
    ("stillhouse-roster", &["stillhouse-schemas"], &[]),
    ("stillhouse-lance", &["stillhouse-files"], &[]),
    ("stillhouse-hnsw", &[], &[]),
    ("stillhouse-catalog", &[], &[]),
    ("stillhouse-otlp", &["stillhouse-schemas"], &[]),
    ("stillhouse-processors", &["stillhouse-schemas", "stillhouse-streams"], &["stillhouse-kit"]),
    (
        "stillhouse",
        &[
            "stillhouse-schemas",
            "stillhouse-streams",
            "stillhouse-embedded",
            "stillhouse-kafka",
            "stillhouse-devkafka",
            "stillhouse-registry",
            "stillhouse-models",
            "stillhouse-lexical",
            "stillhouse-embedcache",
            "stillhouse-sled",
            "stillhouse-files",
            "stillhouse-roster",
            "stillhouse-lance",
            "stillhouse-hnsw",
            "stillhouse-catalog",
            "stillhouse-otlp",
            "stillhouse-processors",
        ],
        &["stillhouse-kit"],
    ),
    ("stillhouse-kit", &["stillhouse-streams"], &[]),
    (
        "stillhouse-e2e",
        &["stillhouse"],
        &["stillhouse-schemas", "stillhouse-streams", "stillhouse-devkafka", "stillhouse-processors", "stillhouse-kit"],
    ),
];

/// Heavy or telling dependencies: the crates that alone may use them, and those whose tests may.
const LEAVES: &[(&str, &[&str], &[&str])] = &[
    ("rusqlite", &["stillhouse-embedded", "stillhouse-catalog"], &[]),
    ("libsqlite3-sys", &[], &[]),
    ("rdkafka", &["stillhouse-kafka"], &[]),
    ("rdkafka-sys", &[], &[]),
    ("sled", &["stillhouse-sled"], &[]),
    ("quick_cache", &["stillhouse-embedcache"], &[]),
    ("apache-avro", &["stillhouse-schemas"], &[]),
    ("serde_avro_fast", &["stillhouse-schemas"], &[]),
    ("lance", &["stillhouse-lance"], &[]),
    ("hnsw_rs", &["stillhouse-hnsw"], &[]),
    ("parquet", &["stillhouse-files", "stillhouse-roster"], &[]),
    ("prost", &["stillhouse-otlp"], &[]),
    ("axum", &["stillhouse"], &[]),
    ("hyper", &["stillhouse"], &[]),
    ("clap", &["stillhouse"], &[]),
    ("indicatif", &["stillhouse"], &[]),
    ("reqwest", &["stillhouse-models", "stillhouse-registry"], &["stillhouse", "stillhouse-e2e"]),
];

/// What the binary has behind a feature, so that the light ring can do without.
const OPTIONAL: &[&str] = &["stillhouse-kafka", "stillhouse-registry", "stillhouse-models", "stillhouse-lance"];

/// One dependency, as a manifest declares it.
#[derive(Clone, Debug)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
    optional: bool,
}

impl Edge {
    fn new(from: &str, to: &str, dev: bool, optional: bool) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), dev, optional }
    }
}

fn edges() -> (BTreeSet<String>, Vec<Edge>) {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().expect("metadata");
    let members = metadata.workspace_packages();
    let edges = members.iter().flat_map(|package| {
        let edge = |d: &cargo_metadata::Dependency| {
            Edge::new(&package.name, &d.name, d.kind == DependencyKind::Development, d.optional)
        };
        package.dependencies.iter().map(edge).collect::<Vec<_>>()
    });
    (members.iter().map(|p| p.name.to_string()).collect(), edges.collect())
}

/// Every edge that no table allows, in words.
fn violations(members: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let arrows: BTreeMap<&str, (&[&str], &[&str])> =
        ARROWS.iter().map(|(name, all, dev)| (*name, (*all, *dev))).collect();
    let mut found: Vec<String> =
        members.iter().filter(|m| !arrows.contains_key(m.as_str())).map(|m| format!("{m} has no arrows")).collect();
    for Edge { from, to, dev, optional } in edges {
        let kind = if *dev { "in its tests" } else { "in its code" };
        let allowed = |all: &[&str], tests: &[&str], name: &str| all.contains(&name) || (*dev && tests.contains(&name));
        if members.contains(to) {
            let (all, tests) = arrows.get(from.as_str()).copied().unwrap_or_default();
            if !allowed(all, tests, to) {
                found.push(format!("{from} may not depend on {to} {kind}"));
            }
        }
        if let Some((_, users, testers)) = LEAVES.iter().find(|(name, ..)| name == to)
            && !allowed(users, testers, from)
        {
            found.push(format!("{from} may not use {to} {kind}: only {users:?} may"));
        }
        if from == "stillhouse" && !dev && !optional && OPTIONAL.contains(&to.as_str()) {
            found.push(format!("{from} must have {to} behind a feature"));
        }
    }
    found
}

#[test]
fn arrows_point_one_way() {
    let (members, edges) = edges();
    assert!(edges.iter().any(|e| e.from == "stillhouse" && e.to == "stillhouse-streams"), "edges were read");
    assert_eq!(violations(&members, &edges), Vec::<String>::new());
    let missing: Vec<_> = ARROWS.iter().filter(|(name, ..)| !members.contains(*name)).collect();
    assert!(missing.is_empty(), "the table names crates that do not exist: {missing:?}");
}

#[test]
fn forbidden_arrows_are_caught() {
    let (members, edges) = edges();
    for (from, to, dev, optional) in [
        ("stillhouse-schemas", "stillhouse-streams", false, false),
        ("stillhouse-schemas", "stillhouse-streams", true, false),
        ("stillhouse-streams", "stillhouse-schemas", false, false),
        ("stillhouse-streams", "stillhouse-kit", false, false),
        ("stillhouse-processors", "stillhouse-embedded", false, false),
        ("stillhouse-processors", "stillhouse-embedded", true, false),
        ("stillhouse-embedded", "stillhouse-kafka", false, false),
        ("stillhouse-kafka", "stillhouse", false, false),
        ("stillhouse-processors", "rusqlite", false, false),
        ("stillhouse", "rdkafka", false, false),
        ("stillhouse-streams", "sled", false, true),
        ("stillhouse-files", "apache-avro", false, false),
        ("stillhouse", "stillhouse-kafka", false, false),
    ] {
        let mut edges = edges.clone();
        edges.push(Edge::new(from, to, dev, optional));
        assert_eq!(violations(&members, &edges).len(), 1, "{from} -> {to}");
    }
    let mut members = members;
    members.insert("stillhouse-newcomer".to_owned());
    assert_eq!(violations(&members, &edges), ["stillhouse-newcomer has no arrows"]);
}

/// What `cargo tree` says a build of the binary holds.
fn tree(features: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(root())
        .args(["tree", "-p", "stillhouse", "-e", "normal,build", "--prefix", "none"])
        .args(features);
    let output = command.output().expect("cargo tree");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_light_ring_has_no_librdkafka() {
    let has = |tree: &str| tree.lines().any(|line| line.starts_with("rdkafka"));
    assert!(has(&tree(&[])), "the whole build has it, so this test would see it");
    assert!(!has(&tree(&["--no-default-features"])), "the light ring links librdkafka");
}

/// Versions and features stand in the root table only, so that building one crate never rebuilds another's.
#[test]
fn versions_stand_in_the_root_table_only() {
    let manifest = |folder: &str| std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
    let workspace: toml::Table = manifest("").parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    let folders: Vec<&str> = members.iter().map(|m| m.as_str().expect("a folder")).collect();
    assert!(folders.len() >= ARROWS.len());
    for folder in folders {
        let table: toml::Table = manifest(folder).parse().expect("TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherits, "{folder}: {name} does not come from the root table");
            }
        }
        assert_eq!(table["lints"]["workspace"].as_bool(), Some(true), "{folder} has lints of its own");
    }
}
