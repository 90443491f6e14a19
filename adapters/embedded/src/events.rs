//! What happens to the session and to what it watches.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::RawMutex;
use zk_session::client::{Cause, KeeperState};
use zk_session::wire::EventType;

use crate::state::News;
use crate::{Error, Session};

/// Something that happened to the session, or to a watched znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SessionEvent<'m> {
    /// The session's state has changed, perhaps more than once: this is what it is now.
    ///
    /// [`Cause::Established`] means a session that is new to this subscriber, even if it was lost and
    /// resumed meanwhile: what is ephemeral has to be created, and watches have to be set. After
    /// [`Cause::Resumed`] both are still there.
    State {
        /// What it is now.
        state: KeeperState,
        /// Why.
        cause: Cause,
    },
    /// A watch has fired.
    Watch {
        /// What happened.
        kind: EventType,
        /// To which znode.
        path: &'m str,
    },
    /// The server refused to register the watches again: all of them must be set anew.
    WatchesLost,
    /// So many events of watches came while there was no room for them. What is watched should be
    /// read again.
    Missed(u32),
}

/// A subscription to a session's events, from when it was made. Several can be made; each is told
/// everything.
pub struct Events<'s, 'b, M: RawMutex> {
    session: &'s Session<'b, M>,
    place: usize,
}

impl<'s, 'b, M: RawMutex> Events<'s, 'b, M> {
    pub(crate) const fn new(session: &'s Session<'b, M>, place: usize) -> Self {
        Self { session, place }
    }

    /// Waits for the next event. A path is copied into `memory`.
    ///
    /// Safe to drop: what has not been returned is told next time.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if the path does not fit; the event stays the next one.
    pub async fn next<'m>(&mut self, memory: &'m mut [u8]) -> Result<SessionEvent<'m>, Error> {
        let news = poll_fn(|cx| {
            match self.session.with(|state| state.poll_news(self.place, memory, cx.waker())) {
                Some(Ok(Some(news))) => Poll::Ready(Ok(news)),
                Some(Ok(None)) => Poll::Pending,
                Some(Err(error)) => Poll::Ready(Err(error)),
                None => Poll::Ready(Err(Error::NotOpen)),
            }
        });
        Ok(match news.await? {
            News::State(state, cause) => SessionEvent::State { state, cause },
            News::Missed(missed) => SessionEvent::Missed(missed),
            News::WatchesLost => SessionEvent::WatchesLost,
            News::Watch { kind, len } => {
                let path = memory.get(..len).and_then(|path| core::str::from_utf8(path).ok());
                SessionEvent::Watch { kind, path: path.unwrap_or_default() }
            }
        })
    }
}

impl<M: RawMutex> Drop for Events<'_, '_, M> {
    fn drop(&mut self) {
        self.session.with(|state| state.unsubscribe(self.place));
    }
}

impl<M: RawMutex> fmt::Debug for Events<'_, '_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("place", &self.place).finish_non_exhaustive()
    }
}
