//! Imports run one way, and pure crates stay pure: DESIGN section 1, held against `cargo metadata` and the sources.
#![allow(clippy::disallowed_methods, reason = "reads CARGO, which cargo sets for the tests it runs")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each of our crates may import. A crate that is not here fails the test: say where it belongs.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("access", &["media"]),
    ("telemetry", &["media"]),
    ("encode-wire", &["media"]),
    ("ingest", &["media"]),
    ("encode", &["media", "encode-wire"]),
    ("encoder", &["media", "encode-wire"]),
    ("window", &["media"]),
    ("package", &["media", "window"]),
    ("delivery", &["media", "access", "telemetry"]),
    ("origin", &["media", "package", "window", "delivery", "telemetry"]),
    ("archive", &["media", "package", "window", "delivery", "telemetry"]),
    ("import", &["media", "encode", "encode-wire", "package", "window", "archive"]),
    ("edge", &["access", "delivery", "telemetry"]),
    ("http", &["media", "delivery", "telemetry"]),
    ("load", &[]),
    ("control", &["media", "access", "telemetry", "encode", "archive", "import"]),
    ("check", &["media"]),
    ("tests", &["media", "check"]),
];

/// Crates with no tasks, sockets, files, clocks, environment or randomness.
const PURE: &[&str] = &["media", "package", "window", "access", "encode-wire"];

/// The pure parts of crates that have a shell, too: files, or folders with all they hold.
const PURE_PARTS: &[&str] = &[
    "ingest/src/rtmp",
    "ingest/src/flv",
    "ingest/src/timeline",
    "ingest/src/contribution.rs",
    "ingest/src/publishers.rs",
    "encode/src/ladder.rs",
    "encode/src/rate.rs",
    "encode/src/loss.rs",
    "encode/src/overload.rs",
    "encode/src/supervisor.rs",
    "encode/src/supervisor",
    "encode/src/history.rs",
    "origin/src/route.rs",
    "archive/src/asset.rs",
    "archive/src/backoff.rs",
    "archive/src/dash.rs",
    "archive/src/hls.rs",
    "archive/src/index.rs",
    "archive/src/layout.rs",
    "archive/src/precise",
    "archive/src/recorder.rs",
    "archive/src/recorder",
    "archive/src/rewind",
    "archive/src/segment_facts.rs",
    "delivery/src/carry.rs",
    "delivery/src/shift.rs",
    "import/src/abreast.rs",
    "import/src/job.rs",
    "http/src/head.rs",
    "http/src/reply.rs",
    "millstream/src/channel/intake.rs",
    "edge/src/cadence.rs",
    "edge/src/key.rs",
    "edge/src/freshness.rs",
    "edge/src/origins.rs",
    "check/src/hls",
    "check/src/dash",
    "check/src/boxes",
    "check/src/epoch.rs",
    "check/src/watch",
    "load/src/abr.rs",
    "load/src/playback.rs",
    "load/src/playlist.rs",
    "load/src/tally.rs",
    "load/src/report.rs",
    "load/src/wire.rs",
    "load/src/chunks.rs",
    "load/src/dash.rs",
    "load/src/dash",
    "load/src/viewer.rs",
    "load/src/viewer",
];

/// What gives a crate tasks, sockets, files, clocks or randomness.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "tokio",
    "mio",
    "async-io",
    "async-std",
    "smol",
    "hyper",
    "axum",
    "ureq",
    "reqwest",
    "socket2",
    "object_store",
    "tempfile",
    "fs-err",
    "memmap2",
    "walkdir",
    "chrono",
    "time",
    "quanta",
    "rand",
    "getrandom",
    "ffmpeg-sys-the-third",
];

/// What a pure source never names. Matched after comments, and everything from `#[cfg(test)]` on, are cut away.
const IMPURE_NAMES: &[&str] = &[
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "time::Instant",
    "Instant::now",
    "SystemTime",
    "tokio",
];

/// Members of `std` that a grouped import (`use std::{fs, net}`) must not bring in either.
const IMPURE_MODULES: &[&str] = &["net", "fs", "env", "process", "thread"];

#[test]
fn imports_run_one_way() {
    let metadata = Metadata::read();
    let mut wrong = Vec::new();
    for (name, imports) in metadata.our_imports(&["normal", "build"]) {
        if name == "millstream" {
            continue;
        }
        match MAY_IMPORT.iter().find(|(n, _)| *n == name) {
            None => wrong.push(format!("{name} is in no layer: add it to MAY_IMPORT")),
            Some((_, allowed)) => {
                wrong.extend(
                    imports.iter().filter(|i| !allowed.contains(&i.as_str())).map(|i| format!("{name} -> {i}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the layers: {wrong:#?}");
}

#[test]
fn nothing_imports_the_root() {
    for (name, imports) in Metadata::read().our_imports(&["normal", "build", "dev"]) {
        assert!(!imports.contains("millstream"), "{name} imports the root");
    }
}

#[test]
fn pure_crates_depend_on_nothing_impure() {
    let metadata = Metadata::read();
    for name in PURE {
        let impure: Vec<_> =
            metadata.normal_tree(name).into_iter().filter(|d| IMPURE_DEPENDENCIES.contains(&d.as_str())).collect();
        assert!(impure.is_empty(), "{name} is pure, but its tree has {impure:?}");
    }
}

#[test]
fn pure_sources_name_nothing_impure() {
    let mut wrong = Vec::new();
    let whole = PURE.iter().map(|name| format!("{name}/src"));
    for part in whole.chain(PURE_PARTS.iter().map(|p| (*p).to_owned())) {
        let sources = rust_files(&root().join("crates").join(&part));
        assert!(!sources.is_empty(), "no sources in {part}");
        // A `tests.rs` is a module of tests, as what follows `#[cfg(test)]` in other files.
        for file in sources.into_iter().filter(|f| !f.ends_with("tests.rs")) {
            let text = std::fs::read_to_string(&file).unwrap();
            wrong.extend(impure_names(&text).into_iter().map(|n| format!("{}: {n}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "pure crates name: {wrong:#?}");
}

#[test]
fn the_scan_of_sources_finds_what_it_looks_for() {
    assert_eq!(impure_names("use std::time::Instant;"), ["time::Instant"]);
    assert_eq!(impure_names("use std::{fmt, fs::File, io};"), ["std::{fs}"]);
    assert_eq!(impure_names("let x = std::env::var(\"A\");"), ["std::env"]);
    assert!(impure_names("// std::net is not for us\nuse std::time::Duration;\n#[cfg(test)]\nuse std::fs;").is_empty());
}

fn impure_names(source: &str) -> Vec<String> {
    let code: String = source
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|l| l.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found: Vec<String> = IMPURE_NAMES.iter().filter(|n| code.contains(**n)).map(|n| (*n).to_owned()).collect();
    for group in code.split("std::{").skip(1) {
        let items = group.split(';').next().unwrap_or_default();
        for item in items.split([',', '{', '}']) {
            let module = item.trim().split("::").next().unwrap_or_default();
            if IMPURE_MODULES.contains(&module) {
                found.push(format!("std::{{{module}}}"));
            }
        }
    }
    found
}

/// What `cargo metadata` says, as far as it is asked for here.
struct Metadata(Value);

impl Metadata {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let out = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
        Metadata(serde_json::from_slice(&out.stdout).unwrap())
    }

    /// Short name to the short names of ours that it depends on in one of `kinds`.
    fn our_imports(&self, kinds: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let ours = self.ours();
        let mut out = BTreeMap::new();
        for package in list(&self.0, "packages") {
            let Some(name) = package["name"].as_str().filter(|n| ours.contains(*n)) else { continue };
            let imports = list(package, "dependencies")
                .filter(|d| kinds.contains(&d["kind"].as_str().unwrap_or("normal")))
                .filter_map(|d| d["name"].as_str())
                .filter(|n| ours.contains(*n))
                .map(short)
                .collect();
            out.insert(short(name), imports);
        }
        out
    }

    fn ours(&self) -> BTreeSet<String> {
        let members: BTreeSet<&str> = list(&self.0, "workspace_members").filter_map(Value::as_str).collect();
        list(&self.0, "packages")
            .filter(|p| p["id"].as_str().is_some_and(|id| members.contains(id)))
            .filter_map(|p| p["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Names of every crate that a crate of ours links, build scripts and macros left out.
    fn normal_tree(&self, name: &str) -> BTreeSet<String> {
        let names: BTreeMap<&str, &str> =
            list(&self.0, "packages").filter_map(|p| Some((p["id"].as_str()?, p["name"].as_str()?))).collect();
        let nodes: BTreeMap<&str, &Value> =
            list(&self.0["resolve"], "nodes").filter_map(|n| Some((n["id"].as_str()?, n))).collect();
        let full = if name == "millstream" { name.to_owned() } else { format!("millstream-{name}") };
        let start = names.iter().find(|(_, n)| **n == full).map(|(id, _)| *id).unwrap();
        let mut seen = BTreeSet::new();
        let mut left = vec![start];
        while let Some(id) = left.pop() {
            if !seen.insert(id) {
                continue;
            }
            for dep in list(nodes[id], "deps") {
                if list(dep, "dep_kinds").any(|k| k["kind"].is_null()) {
                    left.extend(dep["pkg"].as_str());
                }
            }
        }
        seen.into_iter().filter_map(|id| names.get(id).map(|n| (*n).to_owned())).collect()
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn short(name: &str) -> String {
    name.strip_prefix("millstream-").unwrap_or(name).to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    if folder.is_file() {
        return vec![folder.to_path_buf()];
    }
    let mut out = Vec::new();
    let entries = std::fs::read_dir(folder);
    assert!(entries.is_ok(), "{} is not there: mend PURE or PURE_PARTS", folder.display());
    for entry in entries.unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out
}
