//! `h1:2181,[2001:db8::1]:2182/chroot`: which hosts, and where in the tree.

use core::fmt;

use crate::path::{self, PathErrorKind};

/// The port of a host that names none.
pub const DEFAULT_PORT: u16 = 2181;

/// A parsed connection string. It borrows the text and parses it again to iterate, so that any
/// number of hosts needs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectString<'a> {
    hosts: &'a str,
    chroot: &'a str,
}

/// One host of a connection string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Host<'a> {
    /// A name or an address; IPv6 without its brackets.
    pub name: &'a str,
    /// The port, 2181 if the string names none.
    pub port: u16,
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            return write!(f, "[{}]:{}", self.name, self.port);
        }
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// Why a connection string is not valid, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConnectStringError {
    /// What is wrong.
    pub kind: ConnectStringErrorKind,
    /// Byte offset in the string.
    pub at: usize,
}

/// What is wrong with a connection string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConnectStringErrorKind {
    /// There is no host.
    NoHosts,
    /// There are more hosts than a session can shuffle (64).
    TooManyHosts,
    /// A port is not a decimal number of 0..=65535.
    BadPort,
    /// An IPv6 address has no closing bracket.
    NoClosingBracket,
    /// An IPv6 address is empty.
    EmptyAddress,
    /// A closing bracket is followed by something other than a colon and a port.
    BadAfterBracket,
    /// The chroot is not a valid path.
    BadChroot(PathErrorKind),
}

impl fmt::Display for ConnectStringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ConnectStringErrorKind as Kind;
        let what = match self.kind {
            Kind::NoHosts => "connection string names no host",
            Kind::TooManyHosts => "connection string names more than 64 hosts",
            Kind::BadPort => "port is not a number of 0..=65535",
            Kind::NoClosingBracket => "IPv6 address has no closing bracket",
            Kind::EmptyAddress => "IPv6 address is empty",
            Kind::BadAfterBracket => "closing bracket is not followed by a port",
            Kind::BadChroot(_) => "chroot is not a valid path",
        };
        write!(f, "{what}, at byte {}", self.at)
    }
}

impl core::error::Error for ConnectStringError {}

impl<'a> ConnectString<'a> {
    /// The most hosts a session can hold.
    pub const MAX_HOSTS: usize = 64;

    /// Parses `host[:port],…[/chroot]`. Items are trimmed, empty ones dropped; the chroot begins at
    /// the first slash.
    ///
    /// # Errors
    /// [`ConnectStringError`] with the first thing wrong and where.
    ///
    /// # Source
    /// `ConnectStringParser`, 3.8.0, and `NetUtils.getIPV6HostAndPort`.
    pub fn parse(text: &'a str) -> Result<Self, ConnectStringError> {
        let split = find(text, b'/').unwrap_or(text.len());
        let (hosts, chroot) = text.split_at_checked(split).unwrap_or((text, ""));
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            path::validate(chroot).map_err(|error| ConnectStringError {
                kind: ConnectStringErrorKind::BadChroot(error.kind),
                at: split.saturating_add(error.at),
            })?;
        }
        let mut count = 0_usize;
        for (item, at) in Items::of(hosts) {
            host(item, at)?;
            count = count.saturating_add(1);
            if count > Self::MAX_HOSTS {
                return Err(ConnectStringError { kind: ConnectStringErrorKind::TooManyHosts, at });
            }
        }
        if count == 0 {
            return Err(ConnectStringError { kind: ConnectStringErrorKind::NoHosts, at: 0 });
        }
        Ok(Self { hosts, chroot })
    }

    /// The hosts in the order of the string.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'a>> + use<'a> {
        Items::of(self.hosts).filter_map(|(item, at)| host(item, at).ok())
    }

    /// The chroot, without a slash at its end; empty if there is none.
    pub const fn chroot(&self) -> &'a str {
        self.chroot
    }
}

/// Where a byte of ASCII first stands.
fn find(text: &str, byte: u8) -> Option<usize> {
    text.bytes().position(|other| other == byte)
}

/// The trimmed items of a comma-separated list that are not empty, with their byte offsets.
struct Items<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Items<'a> {
    const fn of(list: &'a str) -> Self {
        Self { rest: list, at: 0 }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = (&'a str, usize);

    // Written by hand, as what follows: a microcontroller has no room for Unicode's white space.
    #[inline(never)]
    fn next(&mut self) -> Option<(&'a str, usize)> {
        while !self.rest.is_empty() {
            let end = find(self.rest, b',').unwrap_or(self.rest.len());
            let (item, rest) = self.rest.split_at_checked(end)?;
            let trimmed = item.trim_ascii_start();
            let at = self.at.saturating_add(item.len()).saturating_sub(trimmed.len());
            self.at = self.at.saturating_add(end).saturating_add(1);
            self.rest = rest.split_at_checked(1).map_or("", |(_, rest)| rest);
            if !trimmed.is_empty() {
                return Some((trimmed.trim_ascii_end(), at));
            }
        }
        None
    }
}

#[inline(never)]
fn host(item: &str, at: usize) -> Result<Host<'_>, ConnectStringError> {
    use ConnectStringErrorKind as Kind;
    let fail = |kind, offset: usize| ConnectStringError { kind, at: at.saturating_add(offset) };
    let (name, text) = if let Some(inner) = item.strip_prefix('[') {
        let end = find(inner, b']').ok_or(fail(Kind::NoClosingBracket, 0))?;
        if end == 0 {
            return Err(fail(Kind::EmptyAddress, 1));
        }
        match split_around(inner, end) {
            (name, "") => (name, ""),
            (name, after) => match after.strip_prefix(':') {
                Some(text) if !text.is_empty() => (name, text),
                _ => {
                    let offset = item.len().saturating_sub(after.len());
                    return Err(fail(Kind::BadAfterBracket, offset));
                }
            },
        }
    } else {
        // Without brackets the last colon splits, as ZooKeeper has always done.
        let colon = item.bytes().rposition(|byte| byte == b':').unwrap_or(item.len());
        let (name, text) = split_around(item, colon);
        (name.trim_ascii_end(), text)
    };
    let port = match text {
        "" => DEFAULT_PORT,
        text => port(text).ok_or(fail(Kind::BadPort, item.len().saturating_sub(text.len())))?,
    };
    Ok(Host { name, port })
}

/// What stands before a byte of ASCII, and what behind it.
fn split_around(text: &str, at: usize) -> (&str, &str) {
    let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    (before, rest.split_at_checked(1).map_or("", |(_, behind)| behind))
}

/// Decimal digits only: `u16::from_str` would take a plus sign.
fn port(text: &str) -> Option<u16> {
    let digits = text.trim_ascii_start().as_bytes();
    let add = |port: u16, digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { port.checked_mul(10)?.checked_add(digit.into()) }
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn parsed(text: &str) -> (Vec<String>, String) {
        let parsed = ConnectString::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        (parsed.hosts().map(|h| h.to_string()).collect(), parsed.chroot().to_string())
    }

    #[test]
    fn strings_mean_what_they_mean_to_the_java_client() {
        for (text, hosts, chroot) in [
            ("h1", &["h1:2181"][..], ""),
            ("h1:", &["h1:2181"], ""),
            ("h1: ", &["h1:2181"], ""),
            (",h1,,h2:99 ,", &["h1:2181", "h2:99"], ""),
            ("h1:2181,[2001:db8::1]:2182/app", &["h1:2181", "[2001:db8::1]:2182"], "/app"),
            ("[2001:db8::1]", &["[2001:db8::1]:2181"], ""),
            ("h1/", &["h1:2181"], ""),
            ("h1:2181/a/b,h2", &["h1:2181"], "/a/b,h2"),
            ("::1:2181", &["[::1]:2181"], ""),
            ("h1:1:2", &["[h1:1]:2"], ""),
            ("[::1%eth0]:2181", &["[::1%eth0]:2181"], ""),
            (":2181", &[":2181"], ""),
            ("h1:0", &["h1:0"], ""),
        ] {
            let hosts: Vec<String> = hosts.iter().map(|h| h.to_string()).collect();
            assert_eq!(parsed(text), (hosts, chroot.to_string()), "{text:?}");
        }
    }

    #[test]
    fn errors_say_what_and_where() {
        use ConnectStringErrorKind::*;
        for (text, kind, at) in [
            ("", NoHosts, 0),
            (" ", NoHosts, 0),
            (",,", NoHosts, 0),
            ("/chroot", NoHosts, 0),
            ("h1:abc", BadPort, 3),
            ("h0, h1:-1", BadPort, 7),
            ("h1:+1", BadPort, 3),
            ("h1:70000", BadPort, 3),
            ("[::1", NoClosingBracket, 0),
            ("[]:5", EmptyAddress, 1),
            ("[::1]x", BadAfterBracket, 5),
            ("[::1]:", BadAfterBracket, 5),
            ("[::1]:5:6", BadPort, 6),
            ("h1/a/", BadChroot(PathErrorKind::TrailingSlash), 4),
            ("h1//a", BadChroot(PathErrorKind::EmptyName), 3),
            ("h1/a/../b", BadChroot(PathErrorKind::RelativeName), 5),
        ] {
            assert_eq!(
                ConnectString::parse(text),
                Err(ConnectStringError { kind, at }),
                "{text:?}"
            );
        }
        let many = "h,".repeat(65);
        assert_eq!(ConnectString::parse(&many).unwrap_err().kind, TooManyHosts);
    }
}
