//! Every captured frame goes through every target, and so do seeded scripts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::path::Path;

#[test]
fn captured_frames_and_seeded_scripts_break_nothing() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/vectors");
    let mut frames = 0;
    for version in std::fs::read_dir(vectors).unwrap().flatten().filter(|e| e.path().is_dir()) {
        for file in std::fs::read_dir(version.path()).unwrap().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap();
            for hex in text.lines().filter_map(|line| line.split("\"hex\": \"").nth(1)) {
                let hex = hex.split('"').next().unwrap();
                let bytes: Vec<u8> = (0..hex.len() / 2)
                    .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
                    .collect();
                for start in [0, 4, 12, 20] {
                    zk_session_fuzz::wire(bytes.get(start..).unwrap_or_default());
                }
                let mut script = vec![3, 9, 4, 1, 5, 255, 9, 0, 6, 1, 5, 255, 0];
                script.push(u8::try_from(bytes.len()).unwrap_or(255));
                script.extend(&bytes);
                zk_session_fuzz::client(&script);
                frames += 1;
            }
        }
    }
    assert!(frames > 1900, "only {frames} frames");

    let mut state = 7_u64;
    for _ in 0..20_000 {
        let script: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        zk_session_fuzz::client(&script);
    }
}
