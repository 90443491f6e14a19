//! `docs/zks.md` is true: its console blocks are run in order, and print what it says.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::Stage;

/// The commands of a block, each with what it prints.
fn steps(block: &str) -> Vec<(&str, String)> {
    let mut steps: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command, String::new())),
            None => {
                let (_, printed) = steps.last_mut().expect("a block begins with a command");
                writeln!(printed, "{line}").unwrap();
            }
        }
    }
    steps
}

#[test]
fn the_tour_prints_what_it_says() {
    let doc = include_str!("../../../docs/zks.md");
    let blocks: Vec<&str> =
        doc.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 8, "{}", blocks.len());
    let stage = Stage::new(1);
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_zks")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for (command, printed) in blocks.iter().flat_map(|block| steps(block)) {
        // What is complained of is read in the same place, as on a terminal.
        let output = Command::new("bash")
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("ZKS_SERVERS", &stage.servers)
            .env("ZKS_HISTORY", "")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut told = String::from_utf8(output.stdout).unwrap();
        if let Some(code @ 1..) = output.status.code() {
            writeln!(told, "[exit {code}]").unwrap();
        }
        assert_eq!(told, printed, "{command}");
    }
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_help() {
    let doc = include_str!("../../../docs/zks.md");
    let help = support::run_with(support::zks("unused:1", &["--help"]), b"").ok();
    let codes = help.split("Exit codes:\n").nth(1).unwrap();
    let codes: Vec<&str> = codes.lines().take_while(|line| !line.is_empty()).collect();
    assert!(codes.len() > 9, "{codes:?}");
    for line in codes {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(doc.contains(&format!("| {code} | {meaning} |\n")), "{line}");
    }
}
