//! A request and the wait for its answer.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use embassy_sync::blocking_mutex::raw::RawMutex;
use zk_session::client::{Operation, RawReply};

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
        let mut taken = None;
        let mut keep = |reply: RawReply<'_>| taken = Some(take(reply));
        let outcome = session.poll_call(slot, operation, cx.waker(), &mut keep);
        match (outcome, taken) {
            (Poll::Pending, _) => Poll::Pending,
            (_, Some(result)) => Poll::Ready(result),
            (Poll::Ready(error), None) => Poll::Ready(Err(error)),
        }
    }
}

/// What is the same for all operations is in the program once.
impl<M: RawMutex> Session<'_, M> {
    /// Shows the answer to `take`, or says why there is none; then there is no longer a place.
    #[inline(never)]
    fn poll_call(
        &self,
        slot: &mut Option<usize>,
        operation: &dyn Operation,
        waker: &Waker,
        take: &mut dyn FnMut(RawReply<'_>),
    ) -> Poll<Error> {
        self.with(|state| state.poll_call(slot, operation, waker, take))
            .unwrap_or(Poll::Ready(Error::NotOpen))
    }

    #[inline(never)]
    fn release(&self, slot: Option<usize>) {
        if let Some(slot) = slot {
            self.with(|state| state.free_slot(slot));
        }
    }
}

impl<M: RawMutex, O, F> Drop for Call<'_, '_, M, O, F> {
    fn drop(&mut self) {
        self.session.release(self.slot);
    }
}

impl<M: RawMutex, O: fmt::Debug, F> fmt::Debug for Call<'_, '_, M, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("operation", &self.operation).finish_non_exhaustive()
    }
}
