//! Golden vectors: bytes of real servers and clients, decoded, compared with what they are known to
//! say, and encoded back. `ZK_VECTORS` may name further directories of the same format, separated
//! by colons.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unimplemented,
    reason = "a test fails by panicking"
)]

#[path = "common/capture.rs"]
mod capture;
#[path = "common/check.rs"]
mod check;
#[path = "common/exercise.rs"]
mod exercise;
#[path = "common/render.rs"]
mod render;

use std::fs;
use std::path::{Path, PathBuf};

use capture::Frame;
use check::{Odd, check, contents, try_check};
use exercise::{client_frame, exercise, first_frame, op_codes, server_frame};
use serde_json::json;
use zk_session::wire::{OpCode, WireError};

#[test]
fn frames_of_3_8_0_decode_as_described_and_encode_back() {
    let checked = check(&capture::committed("3.8.0"));
    assert!(checked.frames >= 1600, "{} frames", checked.frames);
    assert!(checked.malformed >= 10, "{} malformed frames", checked.malformed);
    let count = |kind| checked.kinds.get(kind).copied().unwrap_or_default();
    assert!(count("connect_request") >= 158 && count("connect_response") >= 153);
    assert!(count("request") >= 613 && count("reply") >= 610 && count("notification") >= 66);
}

#[test]
fn frames_of_3_9_5_decode_as_described_and_encode_back() {
    let checked = check(&capture::committed("3.9.5"));
    assert!(checked.frames >= 349, "{} frames", checked.frames);
}

#[test]
fn frames_of_further_directories_decode_as_described_and_encode_back() {
    let directories = std::env::var("ZK_VECTORS").unwrap_or_default();
    for directory in further(&directories) {
        let checked = check(&directory);
        assert!(checked.frames > 0, "{} holds no frames", directory.display());
    }
}

/// Each body that is odd on purpose is odd in the way that is known, and there are no others.
#[test]
fn odd_bodies_are_odd_in_the_known_ways() {
    let found = check(&capture::committed("3.8.0")).odd;
    let marshalling = |n: u64| ("op_marshalling_errors".to_owned(), n);
    let vector_length = |n: u64| ("jute_negative_vector_length".to_owned(), n);
    assert_eq!(
        found,
        [
            (vector_length(4), Odd::Count { at: 12, count: -7 }),
            (vector_length(6), Odd::Boolean { at: 8, byte: 0x80 }),
            (marshalling(4), Odd::Refused(WireError::BadLength { at: 0, len: 80 })),
            (marshalling(6), Odd::Refused(WireError::Truncated { at: 0 })),
            (marshalling(8), Odd::Refused(WireError::BadLength { at: 0, len: -5 })),
            (marshalling(10), Odd::ForbiddenNull),
            (marshalling(12), Odd::Refused(WireError::Truncated { at: 0 })),
            (marshalling(14), Odd::Trailing(5)),
            (marshalling(16), Odd::Trailing(3)),
        ]
    );
    assert_eq!(check(&capture::committed("3.9.5")).odd, []);
}

#[test]
fn further_directories_are_separated_by_colons() {
    assert_eq!(further(""), [] as [PathBuf; 0]);
    assert_eq!(further("a:b/c"), [PathBuf::from("a"), PathBuf::from("b/c")]);
}

#[test]
fn a_further_directory_is_read_and_its_errors_say_where() {
    let directory = scratch("further");
    fs::create_dir_all(directory.join("deeper")).unwrap();
    let header = r#"{"scenario": "own", "zookeeper": "0"}"#;
    let event = r#"{"n": 1, "conn": "a", "event": "open"}"#;
    let ping = json!({
        "n": 2, "conn": "a", "dir": "c2s", "kind": "request", "hex": "00000008fffffffe0000000b",
        "desc": "ping", "decoded": {"header": {"xid": -2, "type": 11}, "op": "ping", "body": {}},
    });
    let file = directory.join("deeper/own.jsonl");
    fs::write(&file, format!("{header}\n{event}\n{ping}\n")).unwrap();
    assert_eq!(check(&directory).frames, 1);

    let wrong_field = ping.to_string().replace("-2", "-3");
    let wrong_length = ping.to_string().replace("00000008", "00000009");
    fs::write(&file, format!("{header}\n{event}\n{ping}\n{wrong_field}\n{wrong_length}\n"))
        .unwrap();
    let failures = try_check(&directory).unwrap_err();
    let [first, second] = failures.as_slice() else { panic!("{failures:?}") };
    assert!(first.contains("own.jsonl:4: decoded.header.xid is -2, the vector says -3"), "{first}");
    assert!(second.contains("own.jsonl:5: the length is 9, the content has 8 bytes"), "{second}");

    fs::write(&file, format!("{header}\nnot json\n")).unwrap();
    assert!(try_check(&directory).unwrap_err().concat().contains("own.jsonl:2: "));
    assert!(try_check(&directory.join("nowhere")).unwrap_err().concat().contains("nowhere"));
}

#[test]
fn no_truncation_of_any_frame_panics_any_decoder() {
    let all = op_codes();
    for frame in everything() {
        let own = own_ops(&frame);
        for end in 0..=frame.bytes.len() {
            for content in contents(&frame.bytes[..end]) {
                // Deep within a long frame is some field's bytes: only its own decoder gets there.
                if content.len() <= 256 {
                    exercise(content, &all);
                } else {
                    exercise_own(&frame.kind, content, &own);
                }
            }
        }
    }
}

#[test]
fn no_integer_in_any_place_of_any_frame_panics_its_decoder() {
    for frame in everything() {
        let own = own_ops(&frame);
        let mut bytes = frame.bytes.clone();
        for at in 0..bytes.len().saturating_sub(3) {
            let before: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            for value in [-2, -1, 0, i32::MAX, i32::MIN] {
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
                for content in contents(&bytes) {
                    exercise_own(&frame.kind, content, &own);
                }
            }
            bytes[at..at + 4].copy_from_slice(&before);
        }
    }
}

/// The directories in the value of `ZK_VECTORS`.
fn further(directories: &str) -> Vec<PathBuf> {
    directories.split(':').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// All committed frames.
fn everything() -> Vec<Frame> {
    let mut frames = capture::read(&capture::committed("3.8.0")).unwrap();
    frames.extend(capture::read(&capture::committed("3.9.5")).unwrap());
    assert!(frames.len() >= 1983, "{} frames", frames.len());
    frames
}

/// The opcode that a frame's bytes are about; all if they are no frame.
fn own_ops(frame: &Frame) -> Vec<OpCode> {
    let name = frame.decoded["op"].as_str().unwrap_or_default();
    let mut ops = op_codes();
    if frame.kind != "raw" {
        ops.retain(|op| render::op_name(*op) == name);
    }
    ops
}

/// What has been made of a frame's content, through the decoders that would get it.
fn exercise_own(kind: &str, content: &[u8], ops: &[OpCode]) {
    match kind {
        "connect_request" | "connect_response" => first_frame(content),
        "request" => client_frame(content, ops),
        "reply" | "notification" => server_frame(content, ops),
        _ => exercise(content, ops),
    }
}

/// A directory of this test run.
fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory).unwrap();
    directory
}
