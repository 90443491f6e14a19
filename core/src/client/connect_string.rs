//! `h1:2181,[2001:db8::1]:2182/chroot`: which hosts, and where in the tree.

use core::fmt;

use nom::bytes::complete::take_while;
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map_res};
use nom::sequence::delimited;
use nom::{IResult, Parser};

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
        let split = text.find('/').unwrap_or(text.len());
        let (hosts, chroot) = text.split_at_checked(split).unwrap_or((text, ""));
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            path::validate(chroot).map_err(|error| ConnectStringError {
                kind: ConnectStringErrorKind::BadChroot(error.kind),
                at: split.saturating_add(error.at),
            })?;
        }
        let mut count = 0_usize;
        for (item, at) in items(hosts) {
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
        items(self.hosts).filter_map(|(item, at)| host(item, at).ok())
    }

    /// The chroot, without a slash at its end; empty if there is none.
    pub const fn chroot(&self) -> &'a str {
        self.chroot
    }
}

/// The trimmed items of a comma-separated list that are not empty, with their byte offsets.
fn items(list: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut next = 0_usize;
    list.split(',').filter_map(move |item| {
        let start = next;
        next = next.saturating_add(item.len()).saturating_add(1);
        let leading = item.len().saturating_sub(item.trim_start().len());
        let trimmed = item.trim();
        (!trimmed.is_empty()).then_some((trimmed, start.saturating_add(leading)))
    })
}

fn host(item: &str, at: usize) -> Result<Host<'_>, ConnectStringError> {
    use ConnectStringErrorKind as Kind;
    let fail = |kind, offset: usize| ConnectStringError { kind, at: at.saturating_add(offset) };
    if item.starts_with('[') {
        let (rest, name) = bracketed(item).map_err(|_| fail(Kind::NoClosingBracket, 0))?;
        if name.is_empty() {
            return Err(fail(Kind::EmptyAddress, 1));
        }
        let after = item.len().saturating_sub(rest.len());
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => DEFAULT_PORT,
            Some(text) if !text.is_empty() => {
                port(text).ok_or(fail(Kind::BadPort, after.saturating_add(1)))?
            }
            _ => return Err(fail(Kind::BadAfterBracket, after)),
        };
        return Ok(Host { name, port });
    }
    // Without brackets the last colon splits, as ZooKeeper has always done.
    match item.rsplit_once(':') {
        None => Ok(Host { name: item, port: DEFAULT_PORT }),
        Some((name, "")) => Ok(Host { name: name.trim_end(), port: DEFAULT_PORT }),
        Some((name, text)) => {
            let offset = name.len().saturating_add(1);
            let port = port(text).ok_or(fail(Kind::BadPort, offset))?;
            Ok(Host { name: name.trim_end(), port })
        }
    }
}

/// `[address]`, and what follows it.
fn bracketed(item: &str) -> IResult<&str, &str, ()> {
    delimited(char('['), take_while(|c| c != ']'), char(']')).parse(item)
}

/// Decimal digits only: `u16::from_str` alone would take a plus sign.
fn port(text: &str) -> Option<u16> {
    let mut digits = all_consuming(map_res(digit1::<_, ()>, str::parse::<u16>));
    digits.parse(text.trim_start()).ok().map(|(_, port)| port)
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
