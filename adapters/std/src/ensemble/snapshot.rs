//! A whole ensemble's state as one stream of bytes.
//!
//! ```text
//! "zk-snap" version:u8 { len:u32 record }* 0:u32 count:u64            all big-endian
//! ```
//! Each record has its own checksum; the count at the end tells a whole snapshot from one that was
//! cut off between two records.

use std::io::{Read, Write};

use zk_session::Instant;
use zk_session::server::{Engine, EngineConfig, Record, Restore};

use super::error::SnapshotError;

const MAGIC: &[u8; 7] = b"zk-snap";
const VERSION: u8 = 1;

/// The state as bytes.
pub(super) fn write(engine: &Engine) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[VERSION]].concat();
    let (mut one, mut count) = (Vec::new(), 0_u64);
    for record in engine.records() {
        one.clear();
        record.encode(&mut one);
        // A record is little more than a frame, whose length has 31 bits.
        bytes.extend_from_slice(&u32::try_from(one.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&one);
        count += 1;
    }
    bytes.extend_from_slice(&0_u32.to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes
}

/// Writes what [`write`] made.
pub(super) fn send(bytes: &[u8], mut to: impl Write) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// An engine of the state that `from` gives. Nothing behind its end is read.
pub(super) fn read(
    mut from: impl Read,
    config: EngineConfig,
    now: Instant,
) -> Result<Engine, SnapshotError> {
    let mut magic = [0; 7];
    from.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(SnapshotError::NotASnapshot);
    }
    let mut version = [0];
    from.read_exact(&mut version)?;
    if version != [VERSION] {
        return Err(SnapshotError::Version(version[0]));
    }
    let mut restore = Restore::new(config, now);
    let (mut record, mut index) = (Vec::new(), 0);
    loop {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        let len = u64::from(u32::from_be_bytes(len));
        if len == 0 {
            break;
        }
        record.clear();
        // Grows with what there is, not with what a damaged length says.
        from.by_ref().take(len).read_to_end(&mut record)?;
        if u64::try_from(record.len()).unwrap_or(u64::MAX) < len {
            return Err(SnapshotError::Truncated);
        }
        let decoded = Record::decode(&record);
        let decoded = decoded.map_err(|error| SnapshotError::Record { index, error })?;
        restore.add(&decoded).map_err(SnapshotError::Restore)?;
        index += 1;
    }
    let mut count = [0; 8];
    from.read_exact(&mut count)?;
    if u64::from_be_bytes(count) != index {
        return Err(SnapshotError::Truncated);
    }
    restore.finish().map_err(SnapshotError::Restore)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
        let engine = Engine::new(EngineConfig::default(), Instant::ORIGIN);
        let bytes = write(&engine);
        let read = |bytes: &[u8]| super::read(bytes, EngineConfig::default(), Instant::ORIGIN);
        assert!(read(&bytes).unwrap().records().eq(engine.records()));
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Err(SnapshotError::Truncated)), "{end}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "a flipped bit in byte {at}");
        }
    }
}
