//! Without an executor: a session in a bare loop.
//!
//! The loop calls [`Driver::turn`] as often as it likes, and at the latest when it says; nothing here
//! waits. Requests and events are those of the session itself, which is right there:
//!
//! ```
//! use zk_session::client::{ClientConfig, ClientSession, Event};
//! use zk_session::wire::{CreateMode, Reply, Request};
//! use zk_session_embedded::blocking::{Dial, Driver};
//! use zk_session_embedded::{Clock, Error};
//!
//! fn device(
//!     driver: &mut Driver<'_, impl Dial, impl Clock>,
//!     reading: impl Fn() -> [u8; 2],
//! ) -> Result<(), Error> {
//!     let create = Request::create("/devices/7", b"up", CreateMode::Ephemeral);
//!     driver.call(&create, |_| Ok(()), |_event| {})?;
//!     while driver.turn().is_some() {
//!         while let Some(event) = driver.session_mut().poll_event() {
//!             if let Event::Notification { path, .. } = event {
//!                 // a watch has fired
//!             }
//!         }
//!         // Taken or refused at once; the answer is an event.
//!         let _ = driver.session_mut().submit(&Request::set_data("/devices/7", &reading(), -1));
//!     }
//!     Ok(())
//! }
//! ```

use core::fmt;
use core::task::Poll;

use embedded_io::{Read, ReadReady, Write, WriteReady};
use zk_session::client::{ClientSession, Event, Host, Link};
use zk_session::wire::{Reply, Request};
use zk_session::{Instant, Machine, SubmitError};

use crate::trace::emit;
use crate::{Clock, DialError, Error};

/// Opens transports in a bare loop.
pub trait Dial {
    /// A transport that says whether a read or a write would wait. It closes when it is dropped.
    type Transport: Read + ReadReady + Write + WriteReady;

    /// Opens a transport to this host, or goes on opening it; called again and again until it is
    /// ready. Another host than before means that the one before is not wanted any more.
    fn poll_dial(&mut self, host: Host<'_>) -> Poll<Result<Self::Transport, DialError>>;
}

/// A session, its transport and the time, moved by the caller's own loop.
pub struct Driver<'b, D: Dial, C: Clock> {
    session: ClientSession<'b>,
    dial: D,
    clock: C,
    transport: Option<D::Transport>,
    dial_error: Option<DialError>,
}

impl<'b, D: Dial, C: Clock> Driver<'b, D, C> {
    /// Drives this session.
    pub const fn new(session: ClientSession<'b>, dial: D, clock: C) -> Self {
        Self { session, dial, clock, transport: None, dial_error: None }
    }

    /// The session.
    pub const fn session(&self) -> &ClientSession<'b> {
        &self.session
    }

    /// The session, for requests and events. Pull all its events after each [turn](Self::turn): it
    /// goes on, and reads on, only then.
    pub const fn session_mut(&mut self) -> &mut ClientSession<'b> {
        &mut self.session
    }

    /// Why the last host that was dialled could not be reached; none once one was.
    pub const fn last_dial_error(&self) -> Option<DialError> {
        self.dial_error
    }

    /// Asks for the end of the session; see [`ClientSession::close`].
    pub fn close(&mut self) {
        let now = self.clock.now();
        self.session.close(now);
    }

    /// Leaves the session without closing it; see [`ClientSession::detach`].
    pub fn detach(&mut self) {
        let now = self.clock.now();
        self.session.detach(now);
    }

    /// Starts a new session after the end of the last one; see [`ClientSession::reopen`].
    pub fn reopen(&mut self) {
        let now = self.clock.now();
        self.session.reopen(now);
    }

    /// Tells the session the time, and moves what can be moved without waiting. Returns when it has
    /// to be called again at the latest, if nothing arrives and nothing is asked for; none once the
    /// session is over.
    pub fn turn(&mut self) -> Option<Instant> {
        let now = self.clock.now();
        self.session.handle_timeout(now);
        match self.session.poll_link() {
            Link::Down => self.transport = None,
            Link::Dial(host) => {
                self.transport = None;
                if let Some(host) = self.session.host(host) {
                    match self.dial.poll_dial(host) {
                        Poll::Pending => {}
                        Poll::Ready(Ok(transport)) => {
                            (self.transport, self.dial_error) = (Some(transport), None);
                            self.session.handle_connected(now);
                        }
                        Poll::Ready(Err(error)) => {
                            emit!(debug, "a host cannot be reached: {:?}", error);
                            self.dial_error = Some(error);
                            self.session.handle_disconnected(now);
                        }
                    }
                }
            }
            Link::Up => {}
        }
        if self.session.poll_link() == Link::Up && self.carry(now).is_none() {
            self.session.handle_disconnected(now);
        }
        self.session.poll_timeout()
    }

    /// One read and one write, if they need not wait; none if the transport is lost.
    fn carry(&mut self, now: Instant) -> Option<()> {
        let transport = self.transport.as_mut()?;
        if transport.read_ready().ok()? {
            let room = self.session.poll_io().recv;
            if !room.is_empty() {
                let read = transport.read(room);
                self.session.handle_read(now, read);
            }
        }
        if !self.session.poll_transmit().is_empty() && transport.write_ready().ok()? {
            let written = transport.write(self.session.poll_transmit());
            self.session.handle_write(now, written);
            if self.session.poll_transmit().is_empty() {
                transport.flush().ok()?;
            }
        }
        Some(())
    }

    /// Sends a request and turns until it is answered; what else happens meanwhile goes to `events`.
    /// It waits for a connection if there is none: as long as the session lives.
    ///
    /// # Errors
    /// [`Error`], or whatever `take` returns.
    pub fn call<T>(
        &mut self,
        request: &Request<'_>,
        take: impl FnOnce(Reply<'_>) -> Result<T, Error>,
        mut events: impl FnMut(Event<'_>),
    ) -> Result<T, Error> {
        let mut waiting = None;
        loop {
            let due = self.turn();
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Reply { xid, result, .. } if Some(xid) == waiting => {
                        return result.map_err(Error::Op).and_then(take);
                    }
                    other => events(other),
                }
            }
            if waiting.is_none() {
                match self.session.submit(request) {
                    Ok(xid) => waiting = Some(xid),
                    Err(error) if error.is_temporary() && due.is_some() => {}
                    Err(error) => return Err(Error::Submit(error)),
                }
            } else if due.is_none() {
                // Not reached: a session answers all before its end.
                return Err(Error::Submit(SubmitError::Ended));
            }
        }
    }
}

impl<D: Dial, C: Clock> fmt::Debug for Driver<'_, D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("session_id", &self.session.session_id())
            .field("open", &self.transport.is_some())
            .finish_non_exhaustive()
    }
}
