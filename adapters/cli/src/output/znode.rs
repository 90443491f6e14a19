//! A znode's metadata.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use zk_session::wire::{SessionId, Stat, Zxid};

use super::FIELD;

/// A zxid: a number of 64 bits, which is hexadecimal for people and text for programs, as many JSON
/// readers keep 53 bits only.
pub(crate) fn zxid(zxid: Zxid) -> String {
    format!("{:#x}", zxid.0)
}

/// The owner of an ephemeral znode.
pub(crate) fn owner(stat: &Stat) -> Option<SessionId> {
    (stat.ephemeral_owner != 0).then_some(SessionId(stat.ephemeral_owner))
}

/// When, in UTC.
fn time(millis: i64) -> String {
    let Ok(millis) = u64::try_from(millis) else { return format!("{millis} ms") };
    let Some(at) = UNIX_EPOCH.checked_add(Duration::from_millis(millis)) else {
        return format!("{millis} ms");
    };
    // Beyond the year 9999 there is no such text.
    if millis > 253_402_300_799_999 {
        return format!("{millis} ms");
    }
    humantime::format_rfc3339_millis(at).to_string()
}

/// The fields of a `Stat`.
pub(crate) fn stat_fields(stat: &Stat, fields: &mut Map<String, Value>) {
    let all = [
        ("czxid", json!(zxid(stat.czxid))),
        ("mzxid", json!(zxid(stat.mzxid))),
        ("pzxid", json!(zxid(stat.pzxid))),
        ("ctime", json!(stat.ctime)),
        ("mtime", json!(stat.mtime)),
        ("version", json!(stat.version)),
        ("cversion", json!(stat.cversion)),
        ("aversion", json!(stat.aversion)),
        ("ephemeral_owner", json!(owner(stat).map(|id| id.to_string()))),
        ("data_length", json!(stat.data_length)),
        ("num_children", json!(stat.num_children)),
    ];
    fields.extend(all.map(|(name, value)| (name.to_owned(), value)));
}

/// The lines of a `Stat`.
pub(crate) fn stat_lines(stat: &Stat, to: &mut dyn Write) -> io::Result<()> {
    let owner = owner(stat).map_or_else(|| "none".to_owned(), |id| id.to_string());
    let lines = [
        ("created", format!("{}  {}", zxid(stat.czxid), time(stat.ctime))),
        ("modified", format!("{}  {}", zxid(stat.mzxid), time(stat.mtime))),
        ("children", format!("{}  {} of them", zxid(stat.pzxid), stat.num_children)),
        (
            "versions",
            format!("data {}, children {}, acl {}", stat.version, stat.cversion, stat.aversion),
        ),
        ("owner", owner),
        ("bytes", stat.data_length.to_string()),
    ];
    for (name, value) in lines {
        writeln!(to, "  {FIELD}{name:<8}{FIELD:#}  {value}")?;
    }
    Ok(())
}
