//! What scripts are made of: few paths, identities and ACLs, of each some that are none.

use zk_session::wire::{Acl, Perms, Reconfig, Request, Ustring};

/// Paths below the script's own znode.
pub(crate) const PATHS: &[&str] = &[
    "/ROOT000",
    "/ROOT000/a",
    "/ROOT000/a/b",
    "/ROOT000/a/b/c",
    "/ROOT000/b",
    "/ROOT000/b/a",
    "/ROOT000/c",
    "/ROOT000/s0000000000",
    "/ROOT000/s0000000001",
    "/ROOT000/a/s0000000000",
    "/ROOT000/a/0000000000",
    "/ROOT000/\u{e9}\u{20ac}",
];

/// Prefixes of sequential names, and others that look like them.
pub(crate) const PREFIXES: &[&str] =
    &["/ROOT000/s", "/ROOT000/a/s", "/ROOT000/a/", "/ROOT000/b/.", "/ROOT000/"];

/// Paths that are none, and ZooKeeper's own; nothing can be created under these.
pub(crate) const STRANGE: &[&[u8]] = &[
    b"",
    b"/",
    b"ROOT",
    b"/ROOT000/a/",
    b"/ROOT000//a",
    b"/ROOT000/./a",
    b"/ROOT000/../ROOT000",
    b"/ROOT000/a/..",
    b"/ROOT000/.",
    b"/ROOT000/a\0b",
    b"/ROOT000/\x01",
    b"/ROOT000/\x7f",
    b"/ROOT000/\xff\xfe",
    b"/ROOT000/\xf0\x9f\x98\x80",
    b"/ROOT000/\xee\x80\x80",
    b"/ROOT000/\xef\xbf\xbf",
    b"/ROOT000/...",
    b"/ROOT000/ ",
    b"/ROOT000/a/b/c/d/e/f/g",
    b"/zookeeper",
    b"/zookeeper/config",
    b"/zookeeper/quota",
    b"/zookeeper/quota/none",
    b"/zookeeper/config/none",
];

pub(crate) const DATA: &[Option<&[u8]>] =
    &[None, Some(b""), Some(b"x"), Some(b"some data"), Some(&[b'z'; 30])];

const fn acl(perms: i32, scheme: &'static str, id: &'static str) -> Acl<'static> {
    Acl {
        perms: Perms(perms),
        scheme: Ustring::from_bytes(scheme.as_bytes()),
        id: Ustring::from_bytes(id.as_bytes()),
    }
}

/// Identities, with the digests that ACLs know them by.
pub(crate) const USERS: &[&[u8]] =
    &[b"bob:secret", b"bob:wrong", b"ann:", b"", b":x", b"no colon", b"b:\xff"];
const BOB: &str = "bob:fyVmFCwVbTJYrznoSu1koqYEYF0=";

/// ACLs to create and set with; the first ones are the usual ones.
pub(crate) const ACLS: &[&[Acl<'static>]] = &[
    Acl::OPEN,
    Acl::READ,
    Acl::CREATOR_ALL,
    &[acl(31, "digest", BOB)],
    &[acl(31, "digest", BOB), acl(1, "world", "anyone")],
    &[acl(27, "world", "anyone")],
    &[acl(23, "world", "anyone")],
    &[acl(15, "world", "anyone"), acl(16, "digest", BOB)],
    &[acl(2, "world", "anyone"), acl(1, "ip", "127.0.0.1"), acl(4, "ip", "127.0.0.0/8")],
    &[acl(31, "ip", "10.0.0.1")],
    &[acl(31, "auth", "who cares"), acl(1, "world", "anyone")],
    &[acl(31, "world", "anyone"), acl(31, "world", "anyone"), acl(1, "world", "anyone")],
    &[acl(-1, "world", "anyone")],
    &[acl(0, "world", "anyone")],
    &[acl(64, "world", "anyone"), acl(31, "ip", "127.0.0.1/32")],
    &[],
    &[acl(31, "world", "me")],
    &[acl(31, "World", "anyone")],
    &[acl(31, "digest", "bob")],
    &[acl(31, "digest", "bob:a:b")],
    &[acl(31, "digest", "")],
    &[acl(31, "digest", "u:v:")],
    &[acl(31, "ip", "127.0.0")],
    &[acl(31, "ip", "127.0.0.1/33")],
    &[acl(31, "ip", "127.0.0.1/")],
    &[acl(31, "ip", "127.0.0.1/8/8")],
    &[acl(31, "ip", "0127.0.0.1")],
    &[acl(31, "sasl", "bob")],
    &[acl(31, "x509", "CN=bob")],
    &[acl(31, "super", "")],
    &[acl(31, "", "")],
    &[acl(31, "auth", ""), acl(31, "auth", "")],
    &[Acl { perms: Perms(31), scheme: Ustring::NULL, id: Ustring::NULL }],
    &[Acl { perms: Perms(31), scheme: Ustring::from_bytes(b"world"), id: Ustring::NULL }],
    &[Acl { perms: Perms(31), scheme: Ustring::from_bytes(b"digest"), id: Ustring::NULL }],
    &[Acl { perms: Perms(31), scheme: Ustring::from_bytes(b"auth"), id: Ustring::NULL }],
];
pub(crate) const USUAL_ACLS: usize = 9;

/// To a server whose members cannot change.
pub(crate) const RECONFIG: Request<'static> = Request::Reconfig(Reconfig {
    joining: Ustring::from_bytes(b"server.2=localhost:2:3;4"),
    leaving: Ustring::NULL,
    new_members: Ustring::NULL,
    current_config: -1,
});
