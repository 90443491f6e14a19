//! The other side without a heap: a connection, and the tracker of its session.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, put, read, take, write};
use zk_session::server::{
    ServerConnection, ServerEvent, ServerId, SessionSlot, SessionTracker, TrackerConfig,
};
use zk_session::wire::{Reply, Stat, Xid, Zxid};
use zk_session::{ErrorCode, Machine};

#[entry]
fn main() -> ! {
    let (mut recv, mut transmit, mut slots) = ([0; 512], [0; 512], [SessionSlot::EMPTY; 4]);
    let mut config = TrackerConfig::default();
    config.seed = now().as_millis();
    let mut tracker = SessionTracker::lent(config, &mut slots);
    let mut connection = ServerConnection::lent(&mut recv, &mut transmit);
    loop {
        let done = match connection.poll_event() {
            Some(ServerEvent::Connect(request)) => {
                let (id, passwd, timeout) = (request.session_id, request.passwd, request.timeout);
                let granted = match id.is_some() {
                    true => tracker.attach(now(), ServerId(1), id, passwd, timeout).ok(),
                    false => tracker.create(now(), ServerId(1), timeout).ok(),
                };
                match granted {
                    Some(it) => connection.accept(it.session.id(), &it.passwd, it.timeout).is_ok(),
                    None => connection.refuse().is_ok(),
                }
            }
            Some(ServerEvent::Request { xid, op, request }) => {
                write(op.to_wire().unsigned_abs());
                put(request.path().and_then(|path| path.as_bytes()).unwrap_or_default());
                let stat = Reply::Stat(Stat::default());
                let result = if read() == 0 { Ok(&stat) } else { Err(ErrorCode::NoNode) };
                connection.reply(xid, Zxid(1), result).is_ok()
            }
            Some(ServerEvent::Ping { .. }) => {
                connection.reply(Xid::PING, Zxid(1), Ok(&Reply::Empty)).is_ok()
            }
            _ => false,
        };
        write(done.into());
        let n = take(connection.poll_io().recv);
        connection.handle_received(now(), n);
        put(connection.poll_transmit());
        connection.handle_transmitted(now(), usize::try_from(read()).unwrap_or(0));
        write(tracker.poll_expired(now()).is_some().into());
    }
}
