//! A request of an adapter with futures, that a test asks and waits for from outside.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::runtime::Runtime;

use crate::driver::Outcome;

/// A request whose future was made.
pub(crate) type Asked<'d> = Pin<Box<dyn Future<Output = Outcome> + 'd>>;

/// Polls it once.
pub(crate) fn begin<'d>(runtime: &Runtime, mut asked: Asked<'d>) -> Asked<'d> {
    match runtime.block_on(poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx)))) {
        Poll::Ready(answer) => Box::pin(async { answer }),
        Poll::Pending => asked,
    }
}

/// Polls it so many times and drops it; says whether it was answered meanwhile.
pub(crate) fn cancel(runtime: &Runtime, mut asked: Asked<'_>, polls: usize) -> bool {
    runtime.block_on(async move {
        for _ in 0..polls {
            if poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_ready())).await {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    })
}
