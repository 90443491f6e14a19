//! Identities of connections, ACLs of znodes, and who may do what.
//!
//! # Source
//! `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`, `DigestAuthenticationProvider`,
//! `IPAuthenticationProvider`; 3.8.0, IPv6 as in 3.9.4.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64ct::{Base64, Encoding};
use sha1::{Digest, Sha1};

use super::text::{canonical, canonical_bytes};
use crate::error::ErrorCode;
use crate::wire::{Acl, ClientInfo, List, Perms, Ustring, Writer};

/// Bytes of a SHA-1 digest in base64.
const DIGEST_BYTES: usize = 28;

/// One identity of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    scheme: &'static [u8],
    id: Box<[u8]>,
}

impl Identity {
    /// The identity every connection has: its address.
    pub(super) fn of_peer(peer: IpAddr) -> Self {
        Self { scheme: b"ip", id: peer.to_canonical().to_string().into_bytes().into() }
    }

    /// What the `digest` scheme makes of `user:password`.
    fn digest(auth: &[u8]) -> Self {
        let auth = alloc::string::String::from_utf8_lossy(auth);
        let mut text = [0; DIGEST_BYTES];
        let hash = Sha1::digest(auth.as_bytes());
        let hash = Base64::encode(&hash, &mut text).unwrap_or_default();
        let user = auth.split(':').next().unwrap_or_default();
        let id = [&*canonical_bytes(user.as_bytes()), b":", hash.as_bytes()].concat();
        Self { scheme: b"digest", id: id.into() }
    }

    /// What success in SASL makes of an authorization id.
    pub(super) fn sasl(id: &str, is_super: bool) -> impl Iterator<Item = Self> {
        let own = Self { scheme: b"sasl", id: canonical_bytes(id.as_bytes()).into() };
        let boss = is_super.then(|| Self { scheme: b"super", id: Box::default() });
        [Some(own), boss].into_iter().flatten()
    }

    pub(super) fn is_sasl(&self) -> bool {
        self.scheme == b"sasl"
    }

    fn is_super(&self) -> bool {
        self.scheme == b"super"
    }

    /// The identity as `whoAmI` shows it.
    pub(super) fn info(&self) -> ClientInfo<'_> {
        let user = match self.scheme {
            b"digest" => self.id.split(|byte| *byte == b':').next().unwrap_or_default(),
            _ => &self.id,
        };
        ClientInfo { scheme: Ustring::from_bytes(self.scheme), user: Ustring::from_bytes(user) }
    }
}

/// Adds the identities that an auth packet proves; false if it proves nothing.
pub(super) fn authenticate(
    identities: &mut Vec<Identity>,
    scheme: Ustring<'_>,
    auth: Option<&[u8]>,
    super_digest: Option<&str>,
) -> bool {
    match (scheme.as_bytes(), auth) {
        (Some(b"ip"), _) => true,
        (Some(b"digest"), Some(auth)) => {
            let identity = Identity::digest(auth);
            if super_digest.is_some_and(|known| *known.as_bytes() == *identity.id) {
                add(identities, Identity { scheme: b"super", id: Box::default() });
            }
            add(identities, identity);
            true
        }
        _ => false,
    }
}

fn add(identities: &mut Vec<Identity>, identity: Identity) {
    if !identities.contains(&identity) {
        identities.push(identity);
    }
}

/// One entry of a stored ACL.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    perms: Perms,
    scheme: Box<[u8]>,
    id: Box<[u8]>,
}

impl Entry {
    fn is_anyone(&self) -> bool {
        *self.scheme == *b"world" && *self.id == *b"anyone"
    }

    fn matches(&self, identity: &Identity) -> bool {
        *self.scheme == *identity.scheme
            && match identity.scheme {
                b"ip" => ip_matches(&self.id, &identity.id),
                b"digest" => self.id == identity.id,
                b"sasl" => self.id == identity.id || *identity.id == *b"super",
                _ => false,
            }
    }

    fn write(&self, w: &mut Writer<'_>, id: &[u8]) {
        w.int(self.perms.0);
        w.buffer(Some(&self.scheme));
        w.buffer(Some(id));
    }
}

/// A znode's ACL.
#[derive(Clone, Debug)]
pub(super) struct AclList(Arc<[Entry]>);

impl AclList {
    /// Anyone may do what `perms` says.
    pub(super) fn world(perms: Perms) -> Self {
        let (scheme, id) = (Box::from(*b"world"), Box::from(*b"anyone"));
        Self(Arc::from([Entry { perms, scheme, id }]))
    }

    /// Checks and completes an ACL that a client wants to set; `open` is shared by all znodes
    /// that anyone may do anything with.
    ///
    /// # Errors
    /// `InvalidAcl`, or `MarshallingError` for a null id.
    pub(super) fn fixed_up(
        wanted: List<'_, Acl<'_>>,
        identities: &[Identity],
        open: &AclList,
        schemes: Schemes,
    ) -> Result<Self, ErrorCode> {
        if wanted == List::from_slice(Acl::OPEN) {
            return Ok(open.clone());
        }
        if wanted.is_empty() {
            return Err(ErrorCode::InvalidAcl);
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: Vec<Acl<'_>> = Vec::new();
        for acl in wanted {
            if seen.contains(&acl) {
                continue;
            }
            seen.push(acl);
            let scheme = canonical(acl.scheme).ok_or(ErrorCode::InvalidAcl)?;
            if *scheme == *b"auth" {
                let own = identities.iter().filter(|own| own.scheme == b"digest" || own.is_sasl());
                let before = entries.len();
                entries.extend(own.map(|identity| Entry {
                    perms: acl.perms,
                    scheme: identity.scheme.into(),
                    id: identity.id.clone(),
                }));
                if entries.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
                continue;
            }
            let id = match (canonical(acl.id), &*scheme) {
                (Some(id), _) => id,
                (None, b"world" | b"digest" | b"ip" | b"sasl") => {
                    return Err(ErrorCode::MarshallingError);
                }
                (None, _) => return Err(ErrorCode::InvalidAcl),
            };
            let valid = match &*scheme {
                b"world" => *id == *b"anyone",
                b"digest" => is_digest_id(&id),
                b"ip" => Network::parse(&id).is_some(),
                b"sasl" => schemes == Schemes::WithSasl && is_kerberos_name(&id),
                _ => false,
            };
            if !valid {
                return Err(ErrorCode::InvalidAcl);
            }
            let (scheme, id) = (Box::from(&*scheme), Box::from(&*id));
            entries.push(Entry { perms: acl.perms, scheme, id });
        }
        Ok(Self(entries.into()))
    }

    /// The ACL of a record, which was checked when it was set.
    pub(super) fn restored(entries: &[Acl<'_>], open: &AclList) -> Self {
        if *entries == *Acl::OPEN {
            return open.clone();
        }
        let bytes = |text: Ustring<'_>| Box::from(text.as_bytes().unwrap_or_default());
        let entries = entries.iter().map(|Acl { perms, scheme, id }| Entry {
            perms: *perms,
            scheme: bytes(*scheme),
            id: bytes(*id),
        });
        Self(entries.collect())
    }

    /// The ACL as a record holds it.
    pub(super) fn entries(&self) -> Vec<Acl<'_>> {
        let entries = self.0.iter().map(|entry| Acl {
            perms: entry.perms,
            scheme: Ustring::from_bytes(&entry.scheme),
            id: Ustring::from_bytes(&entry.id),
        });
        entries.collect()
    }

    /// Whether one of the identities may do one of the things in `perms`.
    pub(super) fn allows(&self, perms: Perms, identities: &[Identity]) -> bool {
        let mut fitting = self.0.iter().filter(|entry| entry.perms.allows(perms));
        self.0.is_empty()
            || fitting.any(|entry| {
                entry.is_anyone() || identities.iter().any(|identity| entry.matches(identity))
            })
            || identities.iter().any(Identity::is_super)
    }

    /// As [`allows`](Self::allows).
    ///
    /// # Errors
    /// `NoAuth`.
    pub(super) fn check(&self, perms: Perms, identities: &[Identity]) -> Result<(), ErrorCode> {
        if self.allows(perms, identities) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    /// Writes the ACL; without `digests` a digest id shows its user only.
    pub(super) fn write(&self, w: &mut Writer<'_>, digests: Digests) {
        w.count(self.0.len());
        for entry in self.0.iter() {
            let user_end = entry.id.iter().position(|byte| *byte == b':');
            let user = user_end.and_then(|end| entry.id.get(..end));
            match (digests, &*entry.scheme, user) {
                (Digests::Masked, b"digest", Some(user)) => {
                    entry.write(w, &[user, b":x"].concat());
                }
                _ => entry.write(w, &entry.id),
            }
        }
    }
}

/// Which schemes the entries of an ACL can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schemes {
    Basic,
    WithSasl,
}

/// A name, or `service/host@realm` with or without the host.
///
/// # Source
/// `SASLAuthenticationProvider.isValid`, `KerberosName`, 3.8.0.
fn is_kerberos_name(id: &[u8]) -> bool {
    let count = |byte: u8| id.iter().filter(|other| **other == byte).count();
    let (realm, host) = (id.iter().position(|b| *b == b'@'), id.iter().position(|b| *b == b'/'));
    match (realm, host) {
        (None, _) => true,
        (Some(_), None) => count(b'@') == 1,
        (Some(realm), Some(host)) => count(b'@') == 1 && count(b'/') == 1 && host < realm,
    }
}

/// Whether a reader of an ACL sees the digests in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digests {
    Shown,
    Masked,
}

/// `user:digest`, by Java's way of splitting: colons at the end do not count.
fn is_digest_id(id: &[u8]) -> bool {
    let end = id.iter().rposition(|byte| *byte != b':').map_or(0, |last| last.saturating_add(1));
    let kept = id.get(..end).unwrap_or_default();
    kept.iter().filter(|byte| **byte == b':').count() == 1
}

/// An address, or the network of all addresses with the same first bits.
struct Network {
    bits: u128,
    width: u32,
    prefix: u32,
}

impl Network {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let (bits, width) = match parse_v4(addr) {
            Some(v4) => (u128::from(u32::from(v4)), 32),
            None => (u128::from(addr.parse::<Ipv6Addr>().ok()?), 128),
        };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= width)?,
            None => width,
        };
        Some(Self { bits, width, prefix })
    }
}

/// Four decimal numbers; leading zeros are fine, as in Java.
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.').map(|part| part.parse::<u8>().ok());
    let addr = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(Ipv4Addr::from(addr))
}

fn ip_matches(acl: &[u8], remote: &[u8]) -> bool {
    let (Some(acl), Some(remote)) = (Network::parse(acl), Network::parse(remote)) else {
        return false;
    };
    let dropped = acl.width.saturating_sub(acl.prefix);
    let shifted = |bits: u128| bits.checked_shr(dropped).unwrap_or(0);
    acl.width == remote.width && shifted(acl.bits) == shifted(remote.bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl<'a>(perms: i32, scheme: &'a str, id: &'a str) -> Acl<'a> {
        Acl { perms: Perms(perms), scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn ids_are_checked_by_scheme() {
        let open = AclList::world(Perms::ALL);
        for (scheme, id, valid) in [
            ("world", "anyone", true),
            ("world", "me", false),
            ("digest", "a:b", true),
            ("digest", "a:b::", true),
            ("digest", "a", false),
            ("digest", "a:", false),
            ("digest", "a:b:c", false),
            ("ip", "10.0.0.1", true),
            ("ip", "10.0.0.1/0", true),
            ("ip", "10.0.0.1/33", false),
            ("ip", "10.0.0", false),
            ("ip", "::1/64", true),
            ("sasl", "me", false),
            ("auth", "", false),
        ] {
            let list = [acl(1, scheme, id)];
            let fixed = AclList::fixed_up(List::from_slice(&list), &[], &open, Schemes::Basic);
            assert_eq!(fixed.is_ok(), valid, "{scheme}:{id}");
        }
    }

    #[test]
    fn networks_match_by_their_first_bits() {
        assert!(ip_matches(b"10.1.0.0/16", b"10.1.2.3"));
        assert!(!ip_matches(b"10.1.0.0/16", b"10.2.2.3"));
        assert!(ip_matches(b"1.2.3.4/0", b"9.9.9.9"));
        assert!(ip_matches(b"::1", b"::1"));
        assert!(!ip_matches(b"::1/0", b"127.0.0.1"));
    }

    #[test]
    fn a_digest_identity_is_the_one_zookeeper_makes() {
        let identity = Identity::digest(b"bob:secret");
        assert_eq!(*identity.id, *b"bob:fyVmFCwVbTJYrznoSu1koqYEYF0=");
        assert_eq!(identity.info().user, Ustring::from("bob"));
    }
}
