//! Who may do what.

use super::codec::{Reader, Ustring, WireError, Writer};
use super::list::{List, Record};

/// Permission bits of an ACL entry. Servers store them verbatim, unknown bits included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and list children.
    pub const READ: Self = Self(1);
    /// Set data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Set the ACL.
    pub const ADMIN: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// Whether any bit of `other` is set.
    pub const fn allows(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One entry of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Acl<'a> {
    /// What is allowed.
    pub perms: Perms,
    /// How identities are told: `world`, `auth`, `digest`, `ip`, `sasl`, `x509`.
    pub scheme: Ustring<'a>,
    /// Who.
    pub id: Ustring<'a>,
}

impl Acl<'static> {
    /// Anyone may do anything.
    pub const OPEN: &'static [Self] = &[Self::world(Perms::ALL)];
    /// Anyone may read.
    pub const READ: &'static [Self] = &[Self::world(Perms::READ)];
    /// Whoever creates the znode may do anything.
    pub const CREATOR_ALL: &'static [Self] = &[Self {
        perms: Perms::ALL,
        scheme: Ustring::from_bytes(b"auth"),
        id: Ustring::from_bytes(b""),
    }];

    const fn world(perms: Perms) -> Self {
        Self { perms, scheme: Ustring::from_bytes(b"world"), id: Ustring::from_bytes(b"anyone") }
    }
}

impl<'a> Record<'a> for Acl<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { perms: Perms(r.int()?), scheme: r.ustring()?, id: r.ustring()? })
    }
    fn write(&self, w: &mut Writer<'_>) {
        w.int(self.perms.0);
        w.ustring(self.scheme);
        w.ustring(self.id);
    }
}

impl<'a> From<&'a [Acl<'a>]> for List<'a, Acl<'a>> {
    fn from(entries: &'a [Acl<'a>]) -> Self {
        Self::from_slice(entries)
    }
}

/// One identity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClientInfo<'a> {
    /// The authentication scheme.
    pub scheme: Ustring<'a>,
    /// Who, by that scheme.
    pub user: Ustring<'a>,
}

impl<'a> Record<'a> for ClientInfo<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { scheme: r.ustring()?, user: r.ustring()? })
    }
    fn write(&self, w: &mut Writer<'_>) {
        w.ustring(self.scheme);
        w.ustring(self.user);
    }
}
