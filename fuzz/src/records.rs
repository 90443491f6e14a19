//! Records and frames.

use std::fmt::Debug;

use zk_session::wire::{ConnectRequest, ConnectResponse, SessionId, Writer, Zxid};

/// The password of every session that is made up here.
pub(crate) const PASSWD: [u8; 16] = [7; 16];

/// What decodes must survive another round trip: encoded and decoded again it is the same.
pub(crate) fn survives<'a, T: PartialEq + Debug + 'a>(
    record: &T,
    memory: &'a mut [u8],
    write: impl FnOnce(&T, &mut Writer<'_>),
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) {
    let mut writer = Writer::new(memory);
    write(record, &mut writer);
    let bytes = writer.finish().expect("twice the memory is enough");
    assert_eq!(read(bytes).as_ref(), Some(record));
}

/// A frame: what `write` writes, with its length before it.
pub(crate) fn frame(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = [0; 512];
    let mut writer = Writer::new(&mut memory);
    write(&mut writer);
    let body = writer.finish().expect("frames here are short");
    let mut bytes = u32::try_from(body.len()).unwrap_or(0).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A sound handshake.
pub(crate) fn handshake(session: i64) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout: 6000,
        session_id: SessionId(session),
        passwd: Some(&PASSWD),
        read_only: Some(false),
    };
    frame(|w| request.write(w))
}

/// A sound answer to a handshake.
pub(crate) fn accepted(read_only: bool) -> Vec<u8> {
    let response = ConnectResponse {
        protocol_version: 0,
        timeout: 3000,
        session_id: SessionId(7),
        passwd: Some(&PASSWD),
        read_only: Some(read_only),
    };
    frame(|w| response.write(w))
}
