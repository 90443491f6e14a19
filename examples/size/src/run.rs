//! An application with one session, and its driver.

use zk_session::Machine;
use zk_session::client::{
    ClientConfig, ClientSession, CreateOpen, Event, Exists, GetData, Link, RawReply, SetData,
};
use zk_session::storage::Fixed;
use zk_session::wire::CreateMode;

use crate::port::{now, put, read, take, write};

const CONNECT: &str = "10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181";
const WATCHED: [&str; 8] = ["/c/0", "/c/1", "/c/2", "/c/3", "/c/4", "/c/5", "/c/6", "/c/7"];

/// What a program does beside what all do.
pub trait Also {
    /// Sets the session up.
    fn configure<'b>(&self, config: ClientConfig<'b>) -> ClientConfig<'b> {
        config
    }

    /// Is called again and again.
    fn act(&mut self, _session: &mut ClientSession<'static>) {}

    /// Sees every event.
    fn see(&mut self, _event: &Event<'_, RawReply<'_>>) {}
}

/// Runs a session that connects, pings and fails over, gets, sets and creates an ephemeral znode, and
/// has eight watches registered again on every new connection; and whatever `also` does.
pub fn run(memory: &'static mut Fixed<1024, 512, 256, 8>, mut also: impl Also) {
    crate::start();
    let config = also.configure(ClientConfig::new(CONNECT, now().as_millis()));
    let Ok(mut session) = ClientSession::new(config, memory.lend(), now()) else { return };
    while let Some(at) = session.poll_timeout() {
        while let Some(event) = session.poll_raw() {
            also.see(&event);
            see(&event);
        }
        also.act(&mut session);
        act(&mut session);
        carry(&mut session);
        write(u32::from(at > now()));
        session.handle_timeout(now());
    }
}

/// The application: what it is told.
fn see(event: &Event<'_, RawReply<'_>>) {
    match event {
        Event::State { state, .. } => write(state.is_connected().into()),
        Event::Notification { path, .. } => put(path.as_bytes()),
        Event::Reply { xid, result: Ok(reply), .. } => {
            write(xid.0.unsigned_abs());
            if let Ok(data) = reply.data() {
                put(data.data.unwrap_or_default());
                write(data.stat.version.unsigned_abs());
            } else if let Ok(path) = reply.path() {
                put(path.as_bytes().unwrap_or_default());
            } else if let Ok(stat) = reply.stat() {
                write(stat.version.unsigned_abs());
            }
        }
        _ => write(0),
    }
}

/// The application: what it asks for.
fn act(session: &mut ClientSession<'_>) {
    let mut bytes = [0; 64];
    let n = take(&mut bytes);
    let data = bytes.get(..n).unwrap_or_default();
    let path = usize::try_from(read()).ok().and_then(|n| WATCHED.get(n)).unwrap_or(&"/c");
    let submitted = match read() {
        0 => session.submit_operation(&GetData { path, watch: true }),
        1 => session.submit_operation(&Exists { path, watch: true }),
        2 => session.submit_operation(&SetData { path, data, version: -1 }),
        _ => session.submit_operation(&CreateOpen { path, data, mode: CreateMode::Ephemeral }),
    };
    write(submitted.map_or(0, |xid| xid.0.unsigned_abs()));
}

/// The driver.
fn carry(session: &mut ClientSession<'_>) {
    match (session.poll_link(), read()) {
        (Link::Down, _) => {}
        (Link::Dial(host), 0) => {
            if let Some(host) = session.host(host) {
                put(host.name.as_bytes());
                write(host.port.into());
            }
            session.handle_connected(now());
        }
        (Link::Up, 0) => {
            let n = take(session.poll_io().recv);
            session.handle_received(now(), n);
        }
        (Link::Up, 1) => {
            put(session.poll_transmit());
            session.handle_transmitted(now(), usize::try_from(read()).unwrap_or(0));
        }
        _ => session.handle_disconnected(now()),
    }
}
