//! What counts as the same answer to a four-letter word.

use std::collections::BTreeMap;

/// Numbers that no two servers share stand behind these.
const VOLATILE: [&str; 10] = [
    "127.0.0.1:",
    ",est=",
    ",lzxid=0x",
    ",lresp=",
    ",llat=",
    ",minlat=",
    ",avglat=",
    ",maxlat=",
    " Sets (",
    ")/(",
];

/// Lines of which only the beginning is the same: statistics, and which server it is.
const STATISTICS: [&str; 5] =
    ["Zookeeper version: ", "Latency min/avg/max: ", "Received: ", "Sent: ", "Zxid: 0x"];

/// The lines of an answer without what no two servers share, sorted: ZooKeeper lists connections,
/// sessions and watches in no order. `sessions` has those of the capture and what they become;
/// others were there before it.
pub(super) fn lines(text: &str, sessions: &BTreeMap<i64, i64>) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().filter_map(|line| normal(line, sessions)).collect();
    lines.sort();
    lines
}

fn normal(line: &str, sessions: &BTreeMap<i64, i64>) -> Option<String> {
    if let Some(start) = STATISTICS.iter().find(|start| line.starts_with(**start)) {
        assert!(line.len() > start.len(), "{line:?} says nothing");
        return Some((*start).into());
    }
    if let Some((count, date)) = line.split_once(" expire at ") {
        assert!(date.ends_with(':') && date.split(' ').count() == 6, "{date:?} is no date");
        return (count != "0").then(|| "some expire".into());
    }
    if let Some(id) = line.strip_prefix("\t0x") {
        let id = i64::from_str_radix(id, 16).unwrap();
        return sessions.get(&id).map(|ours| format!("\t{ours:#x}"));
    }
    let mut line = line.to_owned();
    for (theirs, ours) in sessions {
        line = line.replace(&format!("{theirs:#x}"), &format!("{ours:#x}"));
    }
    for start in VOLATILE {
        line = masked(&line, start);
    }
    Some(line)
}

/// Puts a star for the number behind each `start`.
fn masked(line: &str, start: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(start) {
        let (before, after) = rest.split_at(at + start.len());
        out += before;
        out.push('*');
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}
