//! What every ensemble asks of a request before it is a transaction.
//!
//! # Source
//! `PrepRequestProcessor`, 3.9.5.

use crate::error::ErrorCode;
use crate::path::{self, Last};
use crate::wire::OpCode;

/// Znodes that are ZooKeeper's own and cannot be deleted.
pub(super) const SPECIAL: [&[u8]; 4] =
    [b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"];

/// Whether a request is a transaction, even when it fails.
pub(super) fn is_write(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Reconfig
    )
}

/// Where the last name of a path begins, less one.
pub(super) fn last_slash(path: &[u8]) -> Result<usize, ErrorCode> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    slash.filter(|_| !path.contains(&0)).ok_or(ErrorCode::BadArguments)
}

/// Checks the path of a znode as the server keeps it.
pub(super) fn validate(path: &[u8]) -> Result<(), ErrorCode> {
    path::check(path, Last::Plain).map_err(|_| ErrorCode::BadArguments)
}

pub(super) fn check_version(version: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == version { Ok(()) } else { Err(ErrorCode::BadVersion) }
}
