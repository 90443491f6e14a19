//! Every seed and the whole corpus go through their targets, and so do seeded scripts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use zk_session_fuzz::{TARGETS, pair, script, seeds};

#[test]
fn every_seed_breaks_nothing() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| target(seed));
    }
}

#[test]
fn the_corpus_breaks_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut inputs = 0;
        for file in std::fs::read_dir(corpus.join(name)).unwrap().flatten() {
            let input = std::fs::read(file.path()).unwrap();
            println!("{}", file.path().display()); // shown if it breaks something
            target(&input);
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}

#[test]
fn seeded_scripts_break_nothing() {
    let mut state = 7_u64;
    for _ in 0..10_000 {
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        script(&bytes);
        pair(&bytes);
    }
}

#[test]
fn the_empty_input_breaks_nothing() {
    TARGETS.iter().for_each(|(_, target)| target(&[]));
}
