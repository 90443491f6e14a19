//! DIGEST-MD5, which ZooKeeper brings along.

use std::fmt;

use md5::{Digest, Md5};
use zk_session::client::SaslChallenge;

use super::{SaslAnswer, SaslExchange, SaslMechanism};
use crate::clock::random_seed;

/// DIGEST-MD5 with a name and a password, as in a server's JAAS configuration with
/// `DigestLoginModule`. The server must prove that it knows the password too.
///
/// The password does not travel, but MD5 is weak and nothing is encrypted by it: use TLS where
/// somebody can listen.
///
/// # Source
/// RFC 2831; service `zookeeper`, host `zk-sasl-md5`: `ZooKeeperSaslClient`, 3.8.0.
#[derive(Clone)]
pub struct DigestMd5 {
    username: String,
    password: String,
}

const URI: &str = "zookeeper/zk-sasl-md5";

/// The password stays out.
impl fmt::Debug for DigestMd5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestMd5").field("username", &self.username).finish_non_exhaustive()
    }
}

impl DigestMd5 {
    /// For a user of the servers'.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// The answer to a challenge, and the proof that is to come from the server.
    fn respond(&self, challenge: &[u8], cnonce: &str) -> Result<(String, String), &'static str> {
        let text = std::str::from_utf8(challenge).map_err(|_| "the challenge is no text")?;
        let said = directives(text).ok_or("the challenge is none of DIGEST-MD5")?;
        let all = |name: &'static str| {
            said.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        let one = |name| {
            let mut values = all(name);
            let first = values.next();
            if values.next().is_none() { Ok(first) } else { Err("a directive stands twice") }
        };
        let nonce = one("nonce")?.filter(|nonce| !nonce.is_empty()).ok_or("there is no nonce")?;
        if one("algorithm")? != Some("md5-sess") {
            return Err("the algorithm is not md5-sess");
        }
        let plain = |offer: &str| offer.split(',').any(|one| one.trim() == "auth");
        if !one("qop")?.is_none_or(plain) {
            return Err("the server demands more than authentication");
        }
        let utf8 = match one("charset")? {
            None => false,
            Some("utf-8") => true,
            Some(_) => return Err("the character set is unknown"),
        };
        let realm = all("realm").next();

        let user = hashed(&self.username, utf8)?;
        let password = hashed(&self.password, utf8)?;
        let of_realm = hashed(realm.unwrap_or_default(), utf8)?;
        let secret = md5(&[&*user, b":", &of_realm, b":", &password].concat());
        let session = md5(&[&secret[..], format!(":{nonce}:{cnonce}").as_bytes()].concat());
        let proof = |method: &str| {
            let action = hex(&md5(format!("{method}:{URI}").as_bytes()));
            let session = hex(&session);
            hex(&md5(format!("{session}:{nonce}:00000001:{cnonce}:auth:{action}").as_bytes()))
        };
        let realm = realm.map(|realm| format!("realm={},", quoted(realm))).unwrap_or_default();
        let charset = if utf8 { "charset=utf-8," } else { "" };
        let (username, nonce) = (quoted(&self.username), quoted(nonce));
        let response = proof("AUTHENTICATE");
        let answer = format!(
            "{charset}username={username},{realm}nonce={nonce},nc=00000001,cnonce=\"{cnonce}\",\
             digest-uri=\"{URI}\",maxbuf=65536,response={response},qop=auth"
        );
        Ok((answer, proof("")))
    }
}

impl SaslMechanism for DigestMd5 {
    fn start(&self, _: &str) -> Box<dyn SaslExchange> {
        // The hasher keys come from the operating system: nobody can tell what follows.
        let cnonce = format!("{:016x}{:016x}", random_seed(), random_seed());
        Box::new(Exchange { with: self.clone(), cnonce, expected: None })
    }
}

struct Exchange {
    with: DigestMd5,
    cnonce: String,
    /// The server's proof, once it has been asked for it.
    expected: Option<String>,
}

impl SaslExchange for Exchange {
    fn step(&mut self, challenge: SaslChallenge<'_>) -> SaslAnswer {
        let failed = |reason: &str| SaslAnswer::Failed(format!("DIGEST-MD5: {reason}"));
        let token = match challenge {
            SaslChallenge::Begin => return SaslAnswer::Token(Vec::new()),
            SaslChallenge::Null => return failed("the server has no SASL"),
            SaslChallenge::Token(token) => token,
        };
        match self.expected.take() {
            None => match self.with.respond(token, &self.cnonce) {
                Ok((answer, expected)) => {
                    self.expected = Some(expected);
                    SaslAnswer::Token(answer.into_bytes())
                }
                Err(reason) => failed(reason),
            },
            Some(expected) => {
                let said = std::str::from_utf8(token).ok().and_then(directives);
                let proof = said.into_iter().flatten().find(|(key, _)| key == "rspauth");
                match proof {
                    Some((_, proof)) if proof == expected => SaslAnswer::Done,
                    _ => failed("the server does not know the password"),
                }
            }
        }
    }
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As it is hashed: in ISO 8859-1 if that has it, else in UTF-8 if the server knows that.
fn hashed(text: &str, utf8: bool) -> Result<Vec<u8>, &'static str> {
    let narrow: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    match narrow {
        Some(narrow) => Ok(narrow),
        None if utf8 => Ok(text.as_bytes().to_vec()),
        None => Err("the server knows ISO 8859-1 only, and the name or password has more"),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// The parts of a challenge, `key=value` or `key="value"` with commas between; `None` if it is none.
fn directives(text: &str) -> Option<Vec<(String, String)>> {
    let separator = |c: char| c == ',' || c.is_ascii_whitespace();
    let mut said = Vec::new();
    let mut rest = text.trim_matches(separator);
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let value;
        (value, rest) = match behind.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, rest) = behind.split_at(behind.find(',').unwrap_or(behind.len()));
                (value.trim().to_owned(), rest)
            }
        };
        said.push((key.trim().to_ascii_lowercase(), value));
        rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
        rest = rest.trim_start_matches(separator);
    }
    Some(said)
}

/// A quoted value up to its closing quote, and what is behind that.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next()? {
            '\\' => value.push(chars.next()?),
            '"' => return Some((value, chars.as_str())),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As captured from a real 3.8.0 and its Java client.
    const CHALLENGE: &[u8] = b"realm=\"zk-sasl-md5\",\
        nonce=\"17O1UIFMxgs0MQDC/+q9gOoXyueKL5wR3bXxJwQ1\",charset=utf-8,algorithm=md5-sess";
    const CNONCE: &str = "Y2FwdHVyZS1jbm9uY2U=";
    const RESPONSE: &str = "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",\
        nonce=\"17O1UIFMxgs0MQDC/+q9gOoXyueKL5wR3bXxJwQ1\",nc=00000001,\
        cnonce=\"Y2FwdHVyZS1jbm9uY2U=\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,\
        response=39be8cc1b37ffa8299625088d7874b74,qop=auth";
    const PROOF: &[u8] = b"rspauth=7e9d60487cf12efe3109256f96b63766";

    fn exchange() -> Exchange {
        let with = DigestMd5::new("bob", "bobsecret");
        Exchange { with, cnonce: CNONCE.into(), expected: None }
    }

    #[test]
    fn a_captured_exchange_is_said_to_the_letter() {
        let mut exchange = exchange();
        assert_eq!(exchange.step(SaslChallenge::Begin), SaslAnswer::Token(Vec::new()));
        let response = SaslAnswer::Token(RESPONSE.into());
        assert_eq!(exchange.step(SaslChallenge::Token(CHALLENGE)), response);
        assert_eq!(exchange.step(SaslChallenge::Token(PROOF)), SaslAnswer::Done);
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for proof in
            [&b"rspauth=7e9d60487cf12efe3109256f96b63767"[..], b"", b"x=", b"\xff", CHALLENGE]
        {
            let mut exchange = exchange();
            exchange.step(SaslChallenge::Token(CHALLENGE));
            let answer = exchange.step(SaslChallenge::Token(proof));
            assert!(matches!(answer, SaslAnswer::Failed(_)), "{answer:?}");
        }
        let answer = exchange().step(SaslChallenge::Null);
        assert_eq!(answer, SaslAnswer::Failed("DIGEST-MD5: the server has no SASL".into()));
    }

    #[test]
    fn challenges_that_are_none_say_why() {
        for (challenge, why) in [
            ("", "no nonce"),
            ("nonce=\"\",algorithm=md5-sess", "no nonce"),
            ("nonce=\"a\"", "algorithm"),
            ("nonce=\"a\",nonce=\"b\",algorithm=md5-sess", "twice"),
            ("nonce=\"a\",algorithm=md5-sess,qop=\"auth-int,auth-conf\"", "more than"),
            ("nonce=\"a\",algorithm=md5-sess,charset=latin1", "character set"),
            ("nonce=\"a,algorithm=md5-sess", "none of"),
            ("nonce=\"a\"b,algorithm=md5-sess", "none of"),
            ("nonsense", "none of"),
            ("\\", "none of"),
        ] {
            let error = exchange().with.respond(challenge.as_bytes(), CNONCE).unwrap_err();
            assert!(error.contains(why), "{challenge}: {error}");
        }
        let user = DigestMd5::new("Ω", "p");
        let challenge = b"nonce=\"a\",algorithm=md5-sess";
        assert!(user.respond(challenge, CNONCE).unwrap_err().contains("8859-1"));
    }

    #[test]
    fn values_are_quoted_and_the_first_realm_is_taken() {
        let user = DigestMd5::new("a\"b\\c", "p");
        let challenge = b" NONCE=\"x\\\"y\" , realm=\"one\",,realm=two,algorithm=md5-sess,qop=\"auth-conf, auth\"";
        let (answer, _) = user.respond(challenge, "c").unwrap();
        let start = "username=\"a\\\"b\\\\c\",realm=\"one\",nonce=\"x\\\"y\",nc=00000001,";
        assert!(answer.starts_with(start), "{answer}");
    }

    #[test]
    fn passwords_are_not_shown_and_nonces_do_not_repeat() {
        let user = DigestMd5::new("bob", "bobsecret");
        assert_eq!(format!("{user:?}"), "DigestMd5 { username: \"bob\", .. }");
        let answers = [(); 2].map(|()| user.start("h").step(SaslChallenge::Token(CHALLENGE)));
        assert_ne!(answers[0], answers[1]);
        assert!(!format!("{answers:?}").contains("bob"));
    }
}
