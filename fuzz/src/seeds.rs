//! Where fuzzing begins: the captured frames, and what is sound.

use std::path::Path;

use zk_session::client::{ClientConfig, ClientSession, TicketContents};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::Request;
use zk_session::{Instant, Machine};

use crate::records::accepted;

const WORDS: &str = "conf cons crst dirs dump envi gtmk hash isro mntr orst ruok srst srvr stat \
                     stmk stmk12345678 wchc wchp wchs xxxx";

/// Inputs for a target: every captured frame in its place for those that read frames.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "wire_client" => frames("s2c").iter().flat_map(|frame| in_places(frame)).collect(),
        "wire_server" => frames("c2s").iter().flat_map(|frame| in_places(frame)).collect(),
        "script" => frames("s2c").iter().map(|frame| script(frame)).collect(),
        "pair" => pairs(),
        "connect_string" => texts(&[
            "a",
            "h1:2181,h2:2181,h3:2181/app/x",
            "[2001:db8::1]:2182, [::1] ,b:0/a",
            "a:65536",
            "[::1",
            "a//b",
            ",, ,",
        ]),
        "ticket" => vec![exported()],
        "four_letter" => WORDS
            .split(' ')
            .flat_map(|word| [0, 1].map(|server| [&[server], word.as_bytes()].concat()))
            .collect(),
        _ => Vec::new(),
    }
}

/// A frame as a peer's bytes, and its records without what stands before them.
fn in_places(frame: &[u8]) -> Vec<Vec<u8>> {
    let stream = [0, 1, 7].map(|how| [&[how], frame].concat());
    let records = [4, 12, 20].map(|start| frame.get(start..).unwrap_or_default().to_vec());
    stream.into_iter().chain(records).collect()
}

/// A frame as what a connected session receives that has asked for something.
fn script(frame: &[u8]) -> Vec<u8> {
    let len = u8::try_from(frame.len()).unwrap_or(255);
    let before = [4, 1, 5, 255, 9, 0, 6, 16, 6, 17, 5, 255, 0, len];
    [&before, frame.get(..usize::from(len)).unwrap_or_default(), &[2, 8, 8, 1]].concat()
}

/// A life with requests, one with a loss, one with a late server, one with a changed byte.
fn pairs() -> Vec<Vec<u8>> {
    let begin = [6, 0, 255, 3, 255];
    let ask = [9, 0, 9, 1, 9, 2, 0, 255, 3, 255];
    vec![
        [&begin[..], &ask, &[15, 255, 0, 255, 3, 255]].concat(),
        [&begin[..], &ask, &[13, 6, 6, 0, 255, 3, 255, 9, 1]].concat(),
        [&begin[..], &ask, &[7, 7, 7, 7, 6, 6, 6, 0, 255, 3, 255]].concat(),
        [&begin[..], &ask[..6], &[12, 0, 9, 64, 0, 255, 3, 255, 6, 6]].concat(),
        [&begin[..], &ask, &[14, 0, 14, 1, 6, 6, 0, 255, 3, 255, 15, 0, 3, 255]].concat(),
    ]
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A ticket with a watch.
fn exported() -> Vec<u8> {
    let now = Instant::ORIGIN;
    let storage = Storage::owned(Limits::default());
    let session = ClientSession::new(ClientConfig::new("a", 1), storage, now);
    let mut session = session.expect("a sound session");
    session.handle_timeout(now);
    session.handle_connected(now);
    session.handle_bytes(now, &accepted(false));
    while session.poll_event().is_some() {}
    session.submit(&Request::exists("/watched", true)).expect("it is connected");
    let no_node = [0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 155];
    session.handle_bytes(now, &no_node);
    while session.poll_event().is_some() {}
    assert_eq!(session.watches(), 1);
    let mut memory = [0; 256];
    let contents = TicketContents::SessionAndWatches;
    session.ticket(contents, &mut memory).expect("a session").to_vec()
}

/// All captured frames in one direction.
fn frames(dir: &str) -> Vec<Vec<u8>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(vectors)
        .expect("the captures are there")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .flat_map(|version| std::fs::read_dir(version.path()).expect("a directory").flatten())
        .map(|file| file.path())
        .collect();
    files.sort();
    let dir = format!("\"dir\": \"{dir}\"");
    let mut frames = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("a capture");
        for line in text.lines().filter(|line| line.contains(&dir)) {
            let hex = line.split("\"hex\": \"").nth(1).and_then(|rest| rest.split('"').next());
            frames.extend(hex.map(unhex));
        }
    }
    assert!(frames.len() > 500, "only {} frames", frames.len());
    frames
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}
