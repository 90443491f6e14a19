//! Writes the seeds of every target to files: `cargo run --example seeds -- DIRECTORY`.
#![allow(clippy::expect_used, reason = "there is nobody to hand an error to")]

use std::path::PathBuf;

fn main() {
    let to = PathBuf::from(std::env::args().nth(1).expect("usage: seeds DIRECTORY"));
    for (target, _) in zk_session_fuzz::TARGETS {
        let to = to.join(target);
        std::fs::create_dir_all(&to).expect("a directory");
        for (n, seed) in zk_session_fuzz::seeds(target).iter().enumerate() {
            std::fs::write(to.join(format!("seed-{n:05}")), seed).expect("a file");
        }
    }
}
