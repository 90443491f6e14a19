//! SASL on the server's side: any mechanism, and the one that ZooKeeper brings along.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::Hasher;

use md5::{Digest, Md5};
use siphasher::sip128::{Hasher128, SipHasher24};

/// A SASL mechanism that an [`Engine`](super::Engine) lets its clients prove themselves by.
pub trait SaslMechanism: Send {
    /// Starts with one client.
    fn start(&mut self) -> Box<dyn SaslExchange>;
}

/// What a mechanism knows of one client.
pub trait SaslExchange: Send {
    /// Takes the client's next token; the first may be empty.
    fn step(&mut self, token: &[u8]) -> SaslStep;
}

/// What follows from a client's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslStep {
    /// The client is asked for more.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Success {
        /// The last token for the client, if there is one.
        token: Option<Vec<u8>>,
        /// Who it is: the id of its `sasl` identity.
        authorization_id: String,
    },
    /// It is not; its connection is closed.
    Failure,
}

/// DIGEST-MD5 as ZooKeeper speaks it: protocol `zookeeper`, server `zk-sasl-md5`, no encryption.
///
/// Passwords do not travel, but MD5 is weak and nothing is encrypted: it keeps out nobody who can
/// listen.
///
/// # Source
/// RFC 2831; `SaslServerCallbackHandler`, `ZooKeeperSaslServer`, 3.8.0.
///
/// ```
/// use zk_session::server::{DigestMd5, SaslMechanism, SaslStep};
///
/// let mut users = DigestMd5::new(7).user("bob", "secret");
/// let SaslStep::Challenge(challenge) = users.start().step(b"") else { panic!() };
/// assert!(challenge.starts_with(br#"realm="zk-sasl-md5",nonce=""#));
/// ```
#[derive(Clone)]
pub struct DigestMd5 {
    users: BTreeMap<String, String>,
    seed: u64,
    started: u64,
}

const REALM: &str = "zk-sasl-md5";
const URI: &str = "zookeeper/zk-sasl-md5";

impl DigestMd5 {
    /// Without users. The seed makes the nonces: give it from a good source of randomness, another
    /// one each time.
    pub fn new(seed: u64) -> Self {
        Self { users: BTreeMap::new(), seed, started: 0 }
    }

    /// Adds a user, as `user_<name>="<password>"` in the `Server` section of a JAAS configuration
    /// does.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.insert(name.into(), password.into());
        self
    }

    /// Starts with a nonce of the caller's, which must never be the same twice.
    pub fn start_with(&self, nonce: &str) -> Box<dyn SaslExchange> {
        let (users, nonce) = (self.users.clone(), nonce.into());
        Box::new(Exchange { users, nonce, challenged: false })
    }
}

impl core::fmt::Debug for DigestMd5 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DigestMd5").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl SaslMechanism for DigestMd5 {
    fn start(&mut self) -> Box<dyn SaslExchange> {
        self.started = self.started.wrapping_add(1);
        let mut hasher = SipHasher24::new_with_keys(self.seed, !self.seed);
        hasher.write(&self.started.to_be_bytes());
        self.start_with(&format!("{:032x}", hasher.finish128().as_u128()))
    }
}

struct Exchange {
    users: BTreeMap<String, String>,
    nonce: String,
    challenged: bool,
}

impl SaslExchange for Exchange {
    fn step(&mut self, token: &[u8]) -> SaslStep {
        if !core::mem::replace(&mut self.challenged, true) {
            let nonce = &self.nonce;
            let challenge =
                format!("realm=\"{REALM}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
            return SaslStep::Challenge(challenge.into_bytes());
        }
        let nonce = core::mem::take(&mut self.nonce); // good for one answer
        self.verify(&nonce, token).unwrap_or(SaslStep::Failure)
    }
}

impl Exchange {
    fn verify(&self, nonce: &str, token: &[u8]) -> Option<SaslStep> {
        let fields = directives(core::str::from_utf8(token).ok()?)?;
        let of = |name: &str| fields.get(name).map(String::as_str);
        let (user, cnonce, response) = (of("username")?, of("cnonce")?, of("response")?);
        let authzid = of("authzid");
        let fits = !nonce.is_empty()
            && of("nonce")? == nonce
            && of("nc")? == "00000001"
            && of("realm").unwrap_or(REALM) == REALM
            && of("digest-uri")?.eq_ignore_ascii_case(URI)
            && of("qop").unwrap_or("auth") == "auth"
            && authzid.is_none_or(|authzid| authzid == user);
        if !fits {
            return None;
        }
        let password = self.users.get(user)?;
        let secret = [&*latin1(user), b":", REALM.as_bytes(), b":", &latin1(password)].concat();
        let session = [
            md5(&secret).as_slice(),
            format!(":{nonce}:{cnonce}").as_bytes(),
            authzid.map(|authzid| format!(":{authzid}")).unwrap_or_default().as_bytes(),
        ]
        .concat();
        let session = hex(&md5(&session));
        let proof = |method: &str| {
            let action =
                hex(&md5(format!("{method}:{}", of("digest-uri").unwrap_or_default()).as_bytes()));
            let text = format!("{session}:{nonce}:00000001:{cnonce}:auth:{action}");
            hex(&md5(text.as_bytes()))
        };
        let expected = proof("AUTHENTICATE");
        let differ = |sum: u8, (ours, theirs): (u8, u8)| sum | (ours ^ theirs);
        let difference = expected.bytes().zip(response.bytes()).fold(0, differ);
        if response.len() != expected.len() || core::hint::black_box(difference) != 0 {
            return None;
        }
        let token = Some(format!("rspauth={}", proof("")).into_bytes());
        Some(SaslStep::Success { token, authorization_id: user.into() })
    }
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What can be is hashed in ISO 8859-1, the rest in UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    let narrow: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    narrow.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// The parts of a response, `key=value` or `key="value"` with commas between; `None` if it is none
/// or a key stands twice.
fn directives(text: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut rest = text.trim_matches([' ', ',']);
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let value;
        (value, rest) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = behind.find(',').unwrap_or(behind.len());
                (behind.get(..end)?.trim().into(), behind.get(end..)?)
            }
        };
        if fields.insert(key.trim().to_ascii_lowercase(), value).is_some() {
            return None;
        }
        rest = rest.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start_matches([' ', ',']);
        }
    }
    Some(fields)
}

/// A quoted value up to its closing quote, and what is behind that.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    loop {
        match chars.next()? {
            (_, '\\') => value.push(chars.next()?.1),
            (at, '"') => return Some((value, quoted.get(at.saturating_add(1)..)?)),
            (_, c) => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As captured from a real 3.8.0.
    const NONCE: &str = "17O1UIFMxgs0MQDC/+q9gOoXyueKL5wR3bXxJwQ1";
    const RESPONSE: &str = "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",\
        nonce=\"17O1UIFMxgs0MQDC/+q9gOoXyueKL5wR3bXxJwQ1\",nc=00000001,\
        cnonce=\"Y2FwdHVyZS1jbm9uY2U=\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,\
        response=39be8cc1b37ffa8299625088d7874b74,qop=auth";

    fn answer(password: &str, nonce: &str, response: &str) -> SaslStep {
        let mut exchange = DigestMd5::new(1).user("bob", password).start_with(nonce);
        assert!(matches!(exchange.step(b""), SaslStep::Challenge(_)));
        exchange.step(response.as_bytes())
    }

    #[test]
    fn a_captured_exchange_succeeds_and_its_proof_is_the_servers() {
        let mut exchange = DigestMd5::new(1).user("bob", "bobsecret").start_with(NONCE);
        let challenge =
            format!("realm=\"zk-sasl-md5\",nonce=\"{NONCE}\",charset=utf-8,algorithm=md5-sess");
        assert_eq!(exchange.step(b""), SaslStep::Challenge(challenge.into_bytes()));
        let success = SaslStep::Success {
            token: Some(b"rspauth=7e9d60487cf12efe3109256f96b63766".to_vec()),
            authorization_id: "bob".into(),
        };
        assert_eq!(exchange.step(RESPONSE.as_bytes()), success);
        assert_eq!(exchange.step(RESPONSE.as_bytes()), SaslStep::Failure, "not twice");
    }

    #[test]
    fn whatever_is_not_as_it_should_be_fails() {
        assert_eq!(answer("other", NONCE, RESPONSE), SaslStep::Failure);
        assert_eq!(answer("bobsecret", "another", RESPONSE), SaslStep::Failure);
        for (from, to) in [
            ("username=\"bob\"", "username=\"eve\""),
            ("nc=00000001", "nc=00000002"),
            ("realm=\"zk-sasl-md5\"", "realm=\"x\""),
            ("zookeeper/zk-sasl-md5", "imap/zk-sasl-md5"),
            ("qop=auth", "qop=auth-conf"),
            ("qop=auth", "qop=auth,authzid=\"eve\""),
            ("b74,", "b75,"),
            ("7874b74,", ","),
            ("cnonce=", "x="),
            ("qop=auth", "qop=auth,qop=auth"),
            ("qop=auth", "qop=\"auth"),
            ("qop=auth", "qop"),
        ] {
            let response = RESPONSE.replacen(from, to, 1);
            assert_ne!(response, RESPONSE);
            assert_eq!(answer("bobsecret", NONCE, &response), SaslStep::Failure, "{to}");
        }
        for junk in ["", ",", "=", "\"", "a=\"\\", "\u{0}", "=\"\""] {
            assert_eq!(answer("bobsecret", NONCE, junk), SaslStep::Failure);
        }
    }

    #[test]
    fn nonces_do_not_repeat() {
        let mut users = DigestMd5::new(3);
        assert_ne!(users.start().step(b""), users.start().step(b""));
        assert_ne!(DigestMd5::new(4).start().step(b""), DigestMd5::new(3).start().step(b""));
    }

    #[test]
    fn values_may_be_quoted() {
        let fields = directives(" a=1 , B=\"x,\\\"y\\\\\",,c=").unwrap();
        assert_eq!(fields["a"], "1");
        assert_eq!(fields["b"], "x,\"y\\");
        assert_eq!(fields["c"], "");
    }
}
