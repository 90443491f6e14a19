//! The loop that moves bytes and tells the time.

use core::fmt;
use core::future::{pending, poll_fn};
use core::str;
use core::task::Poll;

use embassy_futures::select::{Either3, select3};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_hal_async::delay::DelayNs;
use embedded_io_async::{Read, Write};
use zk_session::client::Host;

use crate::state::{Done, Step};
use crate::{Clock, Dial, DialError, End, Session};

/// How long a write may stall before what has arrived meanwhile is read: the peer may be waiting for
/// that.
const STALL_MS: u32 = 100;

/// Moves a session's bytes between it and its transports. There is one at a time.
///
/// Dropping it gives up the transport, not the session: the next driver connects again and resumes
/// it.
pub struct Driver<'d, 'b, M: RawMutex, D: Dial, T: Clock> {
    session: &'d Session<'b, M>,
    dial: &'d D,
    time: T,
    transport: Option<D::Connection<'d>>,
    chunk: &'b mut [u8],
    /// The transport may still hold what it was given.
    unflushed: bool,
    /// The last write has stalled.
    stalled: bool,
}

impl<'d, 'b, M: RawMutex, D: Dial, T: Clock> Driver<'d, 'b, M, D, T> {
    pub(crate) const fn new(
        session: &'d Session<'b, M>,
        dial: &'d D,
        time: T,
        chunk: &'b mut [u8],
    ) -> Self {
        Self { session, dial, time, transport: None, chunk, unflushed: false, stalled: false }
    }

    /// Starts a new session after the last one has ended, with the same memory and configuration.
    /// Watches and credentials of the old session are forgotten. Does nothing before the end.
    pub fn reopen(&mut self) {
        let now = self.time.now();
        self.session.with(|state| state.session.reopen(now));
    }
}

impl<'d, M: RawMutex, D: Dial, T: Clock + DelayNs> Driver<'d, '_, M, D, T> {
    /// Drives the session until its end. After it, [`reopen`](Self::reopen) and run again for a new
    /// session.
    ///
    /// Safe to drop at any time, and to call again: the transport and all that has arrived or is to
    /// be sent stay in the driver and the session. Meanwhile nobody keeps the session alive: call it
    /// again within a third of the timeout.
    pub async fn run(&mut self) -> End {
        loop {
            let (now, is_open) = (self.time.now(), self.transport.is_some());
            let chunk = &mut *self.chunk;
            // There is no driver of a session that is not open.
            let (step, wait) = self
                .session
                .with(|state| state.step(now, chunk, is_open))
                .unwrap_or((Step::Hold, 1000));
            let (mut write, mut read, mut sends) = (0, 0, false);
            match step {
                Step::Over(end) => {
                    self.hang_up();
                    return end;
                }
                Step::Down | Step::Dial { .. } => self.hang_up(),
                Step::Hold => {}
                Step::Up { .. } if !is_open => {}
                Step::Up { write: bytes, read: room } => {
                    (write, read) = (bytes, room);
                    sends = write > 0 || self.unflushed;
                }
            }
            let wait = if sends { wait.min(STALL_MS) } else { wait };
            // After a stalled write it is the turn of what has arrived.
            sends = sends && !(core::mem::take(&mut self.stalled) && read > 0);
            let Self { session, dial, time, transport, chunk, .. } = self;
            // One wait for whatever it is: each one more would be as large as this one.
            let act = async {
                match (&step, &mut *transport) {
                    (Step::Dial { name, port, .. }, _) => {
                        let name = chunk.get(..*name).and_then(|name| str::from_utf8(name).ok());
                        let host = Host { name: name.unwrap_or_default(), port: *port };
                        match dial.dial(host).await {
                            Ok(open) => {
                                *transport = Some(open);
                                Done::Dialled
                            }
                            Err(error) => Done::NotDialled(error),
                        }
                    }
                    (Step::Up { .. }, Some(transport)) if sends => {
                        let sent = match chunk.get(..write).unwrap_or_default() {
                            [] => transport.flush().await.map(|()| None),
                            bytes => transport.write(bytes).await.map(Some),
                        };
                        sent.map_or(Done::Lost, |n| n.map_or(Done::Flushed, Done::Sent))
                    }
                    (Step::Up { .. }, Some(transport)) => {
                        let room = chunk.get_mut(..read).unwrap_or_default();
                        Done::Received(transport.read(room).await.unwrap_or(0))
                    }
                    _ => pending().await,
                }
            };
            let done = match select3(act, attention(session), time.delay_ms(wait)).await {
                Either3::First(done) => done,
                // What is still wanted then is begun anew.
                Either3::Second(()) => continue,
                Either3::Third(()) if matches!(step, Step::Dial { .. }) => {
                    Done::NotDialled(DialError::TimedOut)
                }
                Either3::Third(()) => {
                    self.stalled = sends;
                    continue;
                }
            };
            self.unflushed = match done {
                Done::Flushed => false,
                Done::Sent(_) => true,
                _ => self.unflushed,
            };
            let (now, chunk) = (self.time.now(), &*self.chunk);
            if self.session.with(|state| state.done(now, step, done, chunk)) == Some(false) {
                self.hang_up();
            }
        }
    }

    fn hang_up(&mut self) {
        self.transport = None;
        (self.unflushed, self.stalled) = (false, false);
    }
}

/// Waits until a handle calls for the driver.
async fn attention<M: RawMutex>(session: &Session<'_, M>) {
    poll_fn(|cx| match session.with(|state| state.poll_attention(cx.waker())) {
        Some(false) => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
}

impl<M: RawMutex, D: Dial, T: Clock> Drop for Driver<'_, '_, M, D, T> {
    fn drop(&mut self) {
        let chunk = core::mem::take(&mut self.chunk);
        self.session.with(|state| state.chunk = Some(chunk));
    }
}

impl<M: RawMutex, D: Dial, T: Clock> fmt::Debug for Driver<'_, '_, M, D, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("session", &self.session)
            .field("open", &self.transport.is_some())
            .finish_non_exhaustive()
    }
}
