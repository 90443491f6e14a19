//! The loop of a thread that polls its sockets with mio.

use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::builder::MAX_SERVERS;
use super::error::EnsembleError;
use super::net::{Net, Readiness};
use super::reactor::{Command, Failure, Reactor, SETTLE_ROUNDS};

/// The waker's token; the servers' listeners follow, then the connections.
pub(super) const WAKER: Token = Token(0);
const FIRST_SLOT: usize = 1 + MAX_SERVERS;

/// Sockets that a poll tells of.
#[derive(Debug)]
pub(super) struct Polled(pub(super) Registry);

impl Net for Polled {
    type Listener = TcpListener;
    type Stream = TcpStream;

    /// So it is for epoll and kqueue.
    const SHORT_READ_ENDS: bool = cfg!(unix);

    fn listen(&mut self, listener: net::TcpListener, server: usize) -> io::Result<TcpListener> {
        let mut listener = TcpListener::from_std(listener);
        self.0.register(&mut listener, Token(1 + server), Interest::READABLE)?;
        Ok(listener)
    }

    fn accept(
        &mut self,
        listener: &mut TcpListener,
        slot: usize,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        let (mut stream, peer) = listener.accept()?;
        let _ = stream.set_nodelay(true); // slower without, no less right
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.0.register(&mut stream, Token(FIRST_SLOT + slot), interest)?;
        Ok((stream, peer))
    }

    fn shut_down(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }

    fn forget_listener(&mut self, listener: &mut TcpListener) {
        let _ = self.0.deregister(listener); // closing it does the same
    }

    fn forget(&mut self, stream: &mut TcpStream) {
        let _ = self.0.deregister(stream); // closing it does the same
    }
}

/// What the thread owns.
pub(super) struct Thread {
    pub(super) reactor: Reactor<Polled>,
    pub(super) poll: Poll,
    pub(super) commands: Receiver<Command<Polled>>,
    pub(super) failure: Failure,
}

impl Thread {
    /// Runs until all handles are gone, or it cannot go on: then all connections end, with nothing
    /// sent on them that was not kept.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.turn(&mut events) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    log::error!("embedded ensemble stops serving: {error}");
                    let _ = self.failure.set(Arc::new(error)); // unless it is that already
                    return;
                }
            }
        }
    }

    /// One turn of the loop; `false`: all handles are gone.
    fn turn(&mut self, events: &mut Events) -> Result<bool, EnsembleError> {
        let busy = self.reactor.is_busy();
        let wait = if busy { Duration::ZERO } else { self.reactor.wait() };
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            polled => polled?,
        }
        let mut woken = false;
        for event in events.iter() {
            let token = event.token();
            if token == WAKER {
                woken = true;
            } else if let Some(slot) = token.0.checked_sub(FIRST_SLOT) {
                self.reactor.note_socket(slot, readiness(event));
            } else {
                self.reactor.note_listener(token.0 - 1);
            }
        }
        self.reactor.serve();
        self.reactor.tell_time();
        self.settle()?;
        if woken && !self.obey()? {
            return Ok(false);
        }
        self.reactor.close_overdue();
        Ok(true)
    }

    /// Does what the handles want; `false` if all are gone.
    fn obey(&mut self) -> Result<bool, EnsembleError> {
        let mut answers = Vec::new();
        let open = loop {
            match self.commands.try_recv() {
                Ok(command) => answers.push(command(&mut self.reactor)),
                Err(TryRecvError::Empty) => break true,
                Err(TryRecvError::Disconnected) => break false,
            }
        };
        self.settle()?;
        for answer in answers {
            answer();
        }
        Ok(open)
    }

    fn settle(&mut self) -> Result<(), EnsembleError> {
        for _ in 0..SETTLE_ROUNDS {
            // Whoever waits for an answer learns of the failure, so it is set before they are told.
            let failed = |error: &EnsembleError| drop(self.failure.set(Arc::new(error.clone())));
            if self.reactor.settle().inspect_err(failed)? {
                break;
            }
        }
        Ok(())
    }
}

/// The poll is edge-triggered, so what it says stays noted until the system says that it would
/// block.
fn readiness(event: &mio::event::Event) -> Readiness {
    Readiness {
        readable: event.is_readable() || event.is_error(),
        writable: event.is_writable() || event.is_error(),
        ending: event.is_read_closed() || event.is_error(),
        failed: event.is_error() || (event.is_read_closed() && event.is_write_closed()),
    }
}
