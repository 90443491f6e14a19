//! Watches set through a client, and what a client says about them on a new connection.

use zk_session::ErrorCode;
use zk_session::wire::{Children, Data, Reply, Request, SetWatches, Stat, Xid};

use super::client::Client;
use super::peer::{Sent, error, reply};

pub(crate) fn stat() -> Reply<'static> {
    Reply::Stat(Stat::default())
}

pub(crate) fn data() -> Reply<'static> {
    Reply::Data(Data { data: None, stat: Stat::default() })
}

/// Sets a data watch.
pub(crate) fn watch_data(client: &mut Client<'_>, path: &str, zxid: i64) {
    let xid = client.submit(&Request::get_data(path, true));
    client.receive(&reply(xid, zxid, &data()));
}

pub(crate) fn watch_children(client: &mut Client<'_>, path: &str, zxid: i64) {
    let xid = client.submit(&Request::get_children(path, true));
    client.receive(&reply(xid, zxid, &Reply::Children(Children::from_slice(&[]))));
}

/// Sets an exists watch on a znode that is not there.
pub(crate) fn watch_absent(client: &mut Client<'_>, path: &str, zxid: i64) {
    let xid = client.submit(&Request::exists(path, true));
    client.receive(&error(xid, zxid, ErrorCode::NoNode));
}

/// What a setWatches frame asks for: relative zxid, then data, exist, child, persistent, recursive.
#[derive(Debug, PartialEq)]
pub(crate) struct Rearmed {
    pub(crate) zxid: i64,
    pub(crate) lists: [Vec<String>; 5],
}

pub(crate) fn rearmed(sent: &Sent) -> Rearmed {
    let of = |w: SetWatches<'_>| Rearmed {
        zxid: w.relative_zxid.0,
        lists: [w.data, w.exist, w.child, w.persistent, w.persistent_recursive]
            .map(|list| list.iter().map(|path| path.as_str().unwrap().to_owned()).collect()),
    };
    assert_eq!(sent.xid(), Xid::SET_WATCHES.0);
    match sent.request() {
        Request::SetWatches(watches) | Request::SetWatches2(watches) => of(watches),
        other => panic!("not a setWatches: {other:?}"),
    }
}

pub(crate) fn lists<const N: usize>(of: [&[&str]; N]) -> [Vec<String>; 5] {
    let mut lists: [Vec<String>; 5] = Default::default();
    for (list, paths) in lists.iter_mut().zip(of) {
        *list = paths.iter().map(|path| (*path).to_owned()).collect();
    }
    lists
}

/// Loses the connection and gets it back; returns what the session sent by itself.
pub(crate) fn reconnect(client: &mut Client<'_>) -> Vec<Sent> {
    client.lose();
    client.connect(7, 6000);
    client.take_sent()
}
