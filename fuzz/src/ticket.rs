//! Tickets.

use zk_session::client::{ClientConfig, ClientSession, TicketContents};
use zk_session::storage::{Limits, Storage};
use zk_session::{ConfigError, Instant, Machine};

/// Resumes a session from the bytes, as they are and with a checksum that fits: a ticket that is
/// taken is exported again, and from then on it does not change.
pub fn ticket(bytes: &[u8]) {
    let _ = resume(bytes);
    let body = bytes.get(..bytes.len().saturating_sub(4)).unwrap_or_default();
    let sealed = [body, &crc32(body).to_be_bytes()].concat();
    let Some(session) = resume(&sealed) else { return };
    assert!(session.session_id().is_some());
    assert!(session.poll_timeout().is_some(), "a resumed session begins");

    let first = export(&session);
    assert!(first.len() <= sealed.len(), "no watch is added");
    let again = resume(&first).expect("what is exported can be resumed");
    assert_eq!(again.session_id(), session.session_id());
    assert_eq!(again.last_zxid(), session.last_zxid());
    assert_eq!(again.timeout(), session.timeout());
    assert_eq!(again.watches(), session.watches());
    assert_eq!(export(&again), first);

    let mut torn = first.clone();
    torn.truncate(first.len() / 2);
    assert!(resume(&torn).is_none(), "half a ticket is none");
}

fn resume(bytes: &[u8]) -> Option<ClientSession<'static>> {
    let mut limits = Limits::default();
    limits.registry = 512;
    let config = ClientConfig::new("a,b/app", 1);
    match ClientSession::resume(config, Storage::owned(limits), bytes, Instant::ORIGIN) {
        Ok(session) => Some(session),
        Err(ConfigError::Ticket(_)) => None,
        Err(other) => panic!("only the ticket can be wrong: {other}"),
    }
}

fn export(session: &ClientSession<'_>) -> Vec<u8> {
    let mut memory = [0; 1024];
    let contents = TicketContents::SessionAndWatches;
    session.ticket(contents, &mut memory).expect("a session that can be resumed").to_vec()
}

/// The checksum of Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
        })
    })
}
