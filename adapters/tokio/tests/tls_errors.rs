//! Certificates and keys that cannot be used: what is said about them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/tls.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod tls;

use std::io;

use tls::Authority;
use zk_session_tokio::{Tls, TlsError, TlsSource};

#[test]
fn files_that_are_missing_or_hold_something_else_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("it.pem");
    let build = || Tls::builder().ca_file(&path).build().unwrap_err();
    let kind = io::ErrorKind::NotFound;
    assert_eq!(build(), TlsError::Unreadable { path: path.clone(), kind });
    let source = TlsSource::File(path.clone());
    let authority = Authority::new();
    let key = authority.identity(&["a"]).key;
    for other in ["", "no PEM at all", &key] {
        std::fs::write(&path, other).unwrap();
        assert_eq!(build(), TlsError::NoCertificate { source: source.clone() });
    }
    let whole = authority.pem();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = build();
    assert!(matches!(&error, TlsError::BadPem { source: at, .. } if *at == source), "{error}");
    assert!(error.to_string().contains("it.pem"), "{error}");
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let error = build();
    assert!(matches!(&error, TlsError::Unusable { source: at, .. } if *at == source), "{error}");
}

#[test]
fn a_key_must_be_there_and_that_of_the_certificate() {
    let authority = Authority::new();
    let (mine, other) = (authority.identity(&["a"]), authority.identity(&["b"]));
    let build = |certificate: &str, key: &str| {
        let tls = Tls::builder().ca_pem(authority.pem()).identity_pem(certificate, key);
        tls.build().map(drop)
    };
    assert_eq!(build(&mine.certificate, &mine.key), Ok(()));
    let mismatch =
        TlsError::KeyMismatch { key: TlsSource::Key, certificate: TlsSource::Certificates };
    assert_eq!(build(&mine.certificate, &other.key), Err(mismatch));
    let none = TlsError::NoKey { source: TlsSource::Key };
    assert_eq!(build(&mine.certificate, &mine.certificate), Err(none.clone()));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(build(&mine.certificate, encrypted), Err(none));
    let none = TlsError::NoCertificate { source: TlsSource::Certificates };
    assert_eq!(build(&mine.key, &mine.key), Err(none));
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = build(&mine.certificate, junk).unwrap_err();
    assert!(matches!(error, TlsError::Unusable { source: TlsSource::Key, .. }), "{error}");
}

#[test]
fn without_authorities_or_with_an_impossible_name_there_is_no_tls() {
    assert_eq!(Tls::builder().build().unwrap_err(), TlsError::NoAuthorities);
    for name in ["", "a b", "-", "10.0.0.1/8"] {
        let tls = Tls::builder().ca_pem(Authority::new().pem()).server_name(name);
        assert_eq!(tls.build().unwrap_err(), TlsError::BadServerName { name: name.into() });
    }
    for name in ["zk1", "zk1.example", "10.0.0.1", "fe80::1"] {
        let tls = Tls::builder().ca_pem(Authority::new().pem()).server_name(name);
        tls.build().unwrap();
    }
}

#[test]
fn keys_are_not_shown() {
    let authority = Authority::new();
    let mine = authority.identity(&["a"]);
    let tls = Tls::builder().ca_pem(authority.pem());
    let tls = tls.identity_pem(&mine.certificate, &mine.key).build().unwrap();
    let shown = format!("{tls:?}");
    assert!(shown.contains("Key") && shown.len() < 300, "{shown}");
    assert!(!shown.contains(mine.key.lines().nth(1).unwrap()), "{shown}");
}
