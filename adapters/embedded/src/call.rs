//! A request and the wait for its answer.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use embassy_sync::blocking_mutex::raw::RawMutex;
use zk_session::client::{Operation, RawReply};

use crate::state::Progress;
use crate::{Error, Session};

/// The future of an operation; see [`Session::submit`].
pub struct Call<'s, 'b, M: RawMutex, O, F> {
    session: &'s Session<'b, M>,
    operation: O,
    slot: Option<usize>,
    take: F,
}

impl<'s, 'b, M: RawMutex, O, F> Call<'s, 'b, M, O, F> {
    pub(crate) const fn new(session: &'s Session<'b, M>, operation: O, take: F) -> Self {
        Self { session, operation, slot: None, take }
    }
}

impl<M: RawMutex, O: Operation + Unpin, T, F> Future for Call<'_, '_, M, O, F>
where
    F: FnMut(RawReply<'_>) -> Result<T, Error> + Unpin,
{
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { session, operation, slot, take } = &mut *self;
        let outcome = session.with(|state| {
            let place = match *slot {
                Some(place) => place,
                None => {
                    let Some(free) = state.take_slot() else { return Some(Err(Error::NoPlace)) };
                    *slot = Some(free);
                    free
                }
            };
            let result = match state.progress(place, operation, cx.waker()) {
                Progress::Pending => return None,
                Progress::Failed(error) => Err(error),
                Progress::Held => state.answer().map_err(Error::Op).and_then(take),
            };
            state.free_slot(place);
            *slot = None;
            Some(result)
        });
        match outcome {
            None => Poll::Ready(Err(Error::NotOpen)),
            Some(None) => Poll::Pending,
            Some(Some(result)) => Poll::Ready(result),
        }
    }
}

impl<M: RawMutex, O, F> Drop for Call<'_, '_, M, O, F> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.session.with(|state| state.free_slot(slot));
        }
    }
}

impl<M: RawMutex, O: fmt::Debug, F> fmt::Debug for Call<'_, '_, M, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("operation", &self.operation).finish_non_exhaustive()
    }
}
