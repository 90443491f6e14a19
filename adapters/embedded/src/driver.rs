//! The loop that moves bytes and tells the time.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

use embassy_futures::select::{Either3, select, select3};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_hal_async::delay::DelayNs;
use embedded_io_async::{Read, Write};
use zk_session::client::{Host, HostIndex};

use crate::state::Step;
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
            let Some((step, wait)) = self.session.with(|state| state.step(now, chunk, is_open))
            else {
                // Unreachable: there is no driver of a session that is not open.
                self.time.delay_ms(1000).await;
                continue;
            };
            match step {
                Step::Over(end) => {
                    self.hang_up();
                    return end;
                }
                Step::Down => {
                    self.hang_up();
                    self.rest(wait).await;
                }
                Step::Hold => self.rest(wait).await,
                Step::Dial { host, name, port } => {
                    self.hang_up();
                    self.open(host, name, port, wait).await;
                }
                Step::Up { write, read } => self.carry(write, read, wait).await,
            }
        }
    }

    fn hang_up(&mut self) {
        self.transport = None;
        (self.unflushed, self.stalled) = (false, false);
    }

    /// Waits for the time to pass, or for a handle to call.
    async fn rest(&mut self, wait: u32) {
        select(attention(self.session), self.time.delay_ms(wait)).await;
    }

    async fn open(&mut self, host: HostIndex, name: usize, port: u16, wait: u32) {
        let name = self.chunk.get(..name).and_then(|name| core::str::from_utf8(name).ok());
        let dial = self.dial.dial(Host { name: name.unwrap_or_default(), port });
        let dialled = match select3(dial, attention(self.session), self.time.delay_ms(wait)).await {
            Either3::First(dialled) => dialled,
            // If it is still wanted, it is dialled anew.
            Either3::Second(()) => return,
            Either3::Third(()) => Err(DialError::TimedOut),
        };
        let now = self.time.now();
        match dialled {
            Ok(transport) => {
                if self.session.with(|state| state.dialled(now, host)) == Some(true) {
                    self.transport = Some(transport);
                }
            }
            Err(error) => {
                self.session.with(|state| state.not_dialled(now, host, error));
            }
        }
    }

    /// One write, flush or read.
    async fn carry(&mut self, write: usize, read: usize, wait: u32) {
        let Self { session, time, transport: Some(transport), chunk, .. } = self else { return };
        let sends = write > 0 || self.unflushed;
        if sends && !(self.stalled && read > 0) {
            let bytes = chunk.get(..write).unwrap_or_default();
            let send = async {
                match bytes {
                    [] => transport.flush().await.map(|()| None),
                    _ => transport.write(bytes).await.map(Some),
                }
            };
            let delay = time.delay_ms(wait.min(STALL_MS));
            match select3(send, attention(session), delay).await {
                Either3::First(Ok(None)) => self.unflushed = false,
                Either3::First(sent) => {
                    self.unflushed = true;
                    let (now, sent) = (time.now(), sent.ok().flatten());
                    session.with(|state| state.transmitted(now, sent));
                }
                Either3::Second(()) => {}
                Either3::Third(()) => self.stalled = true,
            }
            return;
        }
        self.stalled = false;
        let room = chunk.get_mut(..read).unwrap_or_default();
        let delay = time.delay_ms(if sends { wait.min(STALL_MS) } else { wait });
        if let Either3::First(got) = select3(transport.read(room), attention(session), delay).await
        {
            let (now, got) = (time.now(), got.unwrap_or(0));
            session.with(|state| state.received(now, chunk.get(..got).unwrap_or_default()));
        }
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
