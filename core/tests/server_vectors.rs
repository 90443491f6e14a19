//! What real servers answered, asked again: the client's half of each capture goes to an engine,
//! and what comes back is compared with the server's half, frame by frame.
//!
//! Masked is what no two servers share: ids, passwords, times, the order of names, and the
//! numbers that depend on what was in the tree before the capture (root's counters). Session ids
//! must correspond one to one, and zxids must be in the same order with the same ones equal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;
mod server_replay;

use std::path::{Path, PathBuf};

use serde_json::Value;
use server_replay::Replay;

/// Scenarios that are not replayed, and why.
const SKIPPED: &[(&str, &str)] = &[
    (
        "3.8.0/op_check_top_level",
        "3.8.0 leaves a top-level check unanswered; the engine does as 3.9.5",
    ),
    (
        "3.8.0/watch_mode_overwrite_quirk",
        "3.8.0 forgets a persistent watch; the engine does as 3.9.5",
    ),
];

fn directories() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut all = vec![own.join("3.8.0"), own.join("3.9.5")];
    if let Ok(more) = std::env::var("ZK_VECTORS") {
        all.extend(more.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from));
    }
    all
}

#[test]
fn the_engine_answers_as_real_servers_did() {
    let (mut replayed, mut skipped, mut failures) = (0, 0, Vec::new());
    for dir in directories() {
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ext| ext == "jsonl"));
        files.sort();
        assert!(!files.is_empty(), "{} has no vectors", dir.display());
        for file in files {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let full = format!("{}/{name}", lines[0]["zookeeper"].as_str().unwrap());
            if SKIPPED.iter().any(|(skip, _)| *skip == name || *skip == full) {
                skipped += 1;
                continue;
            }
            let mut replay = Replay::new(name, &lines);
            match lines[1..]
                .iter()
                .try_for_each(|line| replay.step(line))
                .and_then(|()| replay.end())
            {
                Ok(()) => replayed += 1,
                Err(error) => failures.push(format!("{full}: {error}")),
            }
        }
    }
    println!("{replayed} replayed, {skipped} skipped");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_is_skipped_exists() {
    for (name, _) in SKIPPED {
        let mut dirs = directories();
        dirs.truncate(2);
        let found = dirs.iter().any(|dir| match name.split_once('/') {
            Some((version, name)) => {
                dir.ends_with(version) && dir.join(format!("{name}.jsonl")).exists()
            }
            None => dir.join(format!("{name}.jsonl")).exists(),
        });
        assert!(found, "{name}");
    }
}
