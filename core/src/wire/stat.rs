//! A znode's metadata.

use super::codec::{Reader, WireError, Writer};
use super::frame::Zxid;

/// A znode's metadata: 68 bytes.
///
/// # Source
/// `Stat` of `zookeeper.jute`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stat {
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last set its data.
    pub mzxid: Zxid,
    /// When it was created, in milliseconds since 1970 by the leader's clock.
    pub ctime: i64,
    /// When its data was last set, in milliseconds since 1970 by the leader's clock.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often children came or went.
    pub cversion: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// The session it belongs to; 0 if it is not ephemeral.
    pub ephemeral_owner: i64,
    /// Bytes of its data.
    pub data_length: i32,
    /// How many children it has.
    pub num_children: i32,
    /// The transaction in which a child last came or went.
    pub pzxid: Zxid,
}

impl Stat {
    /// Bytes of the encoded record.
    pub const BYTES: usize = 68;

    /// Reads the record.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        // Taken in one piece: one check of the bounds serves eleven fields.
        let r = &mut Reader::new(r.array::<{ Self::BYTES }>()?);
        Ok(Self {
            czxid: Zxid(r.long()?),
            mzxid: Zxid(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            ephemeral_owner: r.long()?,
            data_length: r.int()?,
            num_children: r.int()?,
            pzxid: Zxid(r.long()?),
        })
    }

    /// Writes the record.
    pub fn write(&self, w: &mut Writer<'_>) {
        w.long(self.czxid.0);
        w.long(self.mzxid.0);
        w.long(self.ctime);
        w.long(self.mtime);
        w.int(self.version);
        w.int(self.cversion);
        w.int(self.aversion);
        w.long(self.ephemeral_owner);
        w.int(self.data_length);
        w.int(self.num_children);
        w.long(self.pzxid.0);
    }
}
