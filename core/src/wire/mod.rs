//! Bytes ⇄ records: the jute encoding of everything a ZooKeeper session exchanges.
//!
//! Decoding borrows from the frame and copies nothing; encoding writes into the caller's memory.
//! There is no state and no time here. Each record is read and written by both sides: a client
//! encodes requests and decodes replies, a server the reverse.
//!
//! ```
//! use zk_session::wire::{Request, Reply, Writer, OpCode};
//!
//! let mut memory = [0; 64];
//! let mut writer = Writer::new(&mut memory);
//! let request = Request::get_data("/config", false);
//! request.encode(&mut writer);
//! let body = writer.finish().unwrap();
//! assert_eq!(Request::decode(OpCode::GetData, body), Ok(request));
//! ```
//!
//! # Source
//! `zookeeper.jute`, `BinaryInputArchive`, `BinaryOutputArchive`; 3.8.0 and 3.9.5.

mod acl;
mod codec;
mod connect;
mod frame;
mod list;
mod multi;
mod opcode;
mod paths;
mod reply;
mod request;
mod stat;
mod watch;

pub use acl::{Acl, ClientInfo, Perms};
pub use codec::{EncodeError, Reader, Ustring, WireError, Writer};
pub use connect::{ConnectRequest, ConnectResponse, PASSWD_BYTES, Passwd, SessionId};
pub use frame::{ReplyHeader, RequestHeader, Xid, Zxid};
pub use list::{List, ListIter, Record};
pub use multi::{Multi, MultiHeader, MultiIter, MultiOp, MultiResult};
pub use opcode::{CreateMode, OpCode};
pub use paths::{Paths, PathsIter};
pub use reply::{Children, Data, Reply};
pub use request::{Create, CreateTtl, Reconfig, Request, SetWatches};
pub use stat::Stat;
pub use watch::{AddWatchMode, EventType, WatcherEvent, WatcherType};

pub(crate) use paths::{below, stripped};

/// Bytes of the length before every frame. The length does not count itself.
pub const LENGTH_BYTES: usize = 4;

/// The znode of the ensemble's configuration. It lies on the server's own root, whatever the chroot.
pub const CONFIG_NODE: &str = "/zookeeper/config";
