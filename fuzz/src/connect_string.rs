//! Connection strings.

use zk_session::client::{ClientConfig, ClientSession, ConnectString};
use zk_session::storage::{Limits, Storage};
use zk_session::{ConfigError, Instant};

/// Parses a text: what is parsed names hosts, is the same when written again, and is what a session
/// makes of it.
pub fn connect_string(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let session = ClientSession::new(
        ClientConfig::new(text, 1),
        Storage::owned(Limits::default()),
        Instant::ORIGIN,
    );
    let parsed = match ConnectString::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(error.at <= text.len(), "{error}");
            assert!(text.is_char_boundary(error.at), "{error}");
            assert_eq!(session.err(), Some(ConfigError::ConnectString(error)));
            return;
        }
    };
    let hosts: Vec<_> = parsed.hosts().collect();
    assert!((1..=ConnectString::MAX_HOSTS).contains(&hosts.len()));
    let chroot = parsed.chroot();
    assert!(chroot.is_empty() || chroot.starts_with('/') && !chroot.ends_with('/'), "{chroot:?}");

    let session = session.expect("a sound connection string is all that a session needs");
    assert_eq!(session.chroot(), chroot);

    // Names that nobody can resolve are taken too, as by ZooKeeper: nothing, or with stray brackets
    // and spaces. Only the others can be told apart when they are written.
    let plain = |name: &str| !name.is_empty() && !name.contains(['[', ']']) && name == name.trim();
    if !hosts.iter().all(|host| plain(host.name)) {
        return;
    }
    let written: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    let written = format!("{}{chroot}", written.join(","));
    let again = ConnectString::parse(&written).expect("what is written is sound");
    assert_eq!(again.hosts().collect::<Vec<_>>(), hosts, "{written}");
    assert_eq!(again.chroot(), chroot);
}
