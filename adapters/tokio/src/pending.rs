//! Answers that are on their way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use zk_session::OpError;
use zk_session::client::RawReply;
use zk_session::owned::Answer;
use zk_session::wire::{Data, OpCode, WireError};

use crate::call::sealed::Operation;
use crate::error::{Error, ErrorKind};
use crate::line::Parcel;
use crate::op::Node;
use crate::shared::Shared;
use crate::slots::{Failure, Taken};
use crate::watch::{Queue, Watch};

/// The bytes of a path that need no heap.
const SHORT: usize = 47;

/// The path of a request, kept in case that there is an error to tell.
pub(crate) enum Label {
    Short { bytes: [u8; SHORT], len: u8 },
    Long(Box<str>),
}

impl Label {
    fn new(path: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..path.len()), u8::try_from(path.len())) {
            (Some(to), Ok(len)) => {
                to.copy_from_slice(path.as_bytes());
                Self::Short { bytes, len }
            }
            _ => Self::Long(path.into()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Long(path) => path,
            Self::Short { bytes, len } => {
                let bytes = bytes.get(..usize::from(*len)).unwrap_or_default();
                std::str::from_utf8(bytes).unwrap_or_default()
            }
        }
    }
}

/// What came of a request, for its operation to take apart.
#[derive(Debug)]
pub struct Outcome<'s> {
    result: Result<RawReply<'s>, Failure>,
    /// What the reply lies in, if parts of it can be kept without a copy.
    whole: Option<&'s Bytes>,
    /// The watch that came with it; what is not taken out is removed.
    watch: &'s mut Option<Arc<Queue>>,
    shared: &'s Arc<Shared>,
    view: Option<&'s Arc<str>>,
}

impl Outcome<'_> {
    /// Why there is no answer, if there is none.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.result.as_ref().err().copied()
    }

    /// The answer to getData and its kin. Large data is kept where it is.
    #[inline(always)]
    pub(crate) fn node(&self) -> Result<Node, ErrorKind> {
        let Data { data, stat } = self.result?.data().map_err(malformed)?;
        let data = data.unwrap_or_default();
        let data = match self.whole {
            None => Bytes::copy_from_slice(data),
            Some(whole) => whole.slice_ref(data),
        };
        Ok(Node { data, stat })
    }

    /// The answer, if there is one and it is of the right kind.
    pub(crate) fn answer<T>(&self, take: impl FnOnce(Answer) -> Option<T>) -> Result<T, ErrorKind> {
        let answer = Answer::from_raw(&self.result?).map_err(malformed)?;
        take(answer).ok_or(ErrorKind::UnexpectedAnswer)
    }

    /// The watch that came with the answer; to be asked for when nothing can fail any more.
    pub(crate) fn watch(&mut self) -> Option<Watch> {
        let queue = self.watch.take()?;
        Some(Watch::new(queue, Arc::downgrade(self.shared), self.view.cloned()))
    }

    /// What the client that asked calls `/`; `None` for the session's own root.
    pub(crate) fn view(&self) -> Option<&str> {
        self.view.map(|view| &**view)
    }
}

#[cold]
fn malformed(error: WireError) -> ErrorKind {
    ErrorKind::Op(error.into())
}

/// How an operation makes its result, or the error of a request.
pub(crate) type Finish<T> = fn(Outcome<'_>, OpCode, &Label) -> Poll<Result<T, Error>>;

/// The result of an operation, made where it is wanted.
pub(crate) fn finish<O: Operation>(
    mut outcome: Outcome<'_>,
    op: OpCode,
    path: &Label,
) -> Poll<Result<O::Output, Error>> {
    #[cold]
    fn failed(op: OpCode, path: &Label, kind: ErrorKind) -> Error {
        Error { op: Some(op), path: path.as_str().to_owned(), kind }
    }
    Poll::Ready(match O::finish(&mut outcome) {
        Ok(value) => Ok(value),
        Err(kind) => Err(failed(op, path, kind)),
    })
}

/// Where a request is that was handed in.
pub(crate) enum Place {
    /// Its answer will be there.
    At(u32),
    /// Neither the session nor the line has room for it: it may be handed in again.
    Outside { number: u64, parcel: Option<Box<Parcel>> },
    /// It cannot be answered.
    Failed(Failure),
    /// The answer has been taken.
    Taken,
}

/// A request that was made, and its answer on the way: a future of the operation's result.
///
/// Dropping it forgets the answer, not the request; one that has not left yet does not leave.
#[must_use = "the answer tells whether the request succeeded"]
pub struct Pending<T> {
    shared: Arc<Shared>,
    place: Place,
    /// The driver has not been told of the request.
    unflushed: bool,
    timed: bool,
    op: OpCode,
    path: Label,
    view: Option<Arc<str>>,
    finish: Finish<T>,
}

/// What a request is about, for its errors and its answer.
pub(crate) struct About<'a> {
    pub(crate) op: OpCode,
    /// As the caller named it.
    pub(crate) path: &'a str,
    pub(crate) view: Option<Arc<str>>,
    /// It has a deadline, which the driver must know of.
    pub(crate) timed: bool,
}

impl<T> Pending<T> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: Place,
        about: About<'_>,
        unflushed: bool,
        finish: Finish<T>,
    ) -> Self {
        let About { op, path, view, timed } = about;
        let path = Label::new(path);
        Self { shared, place, unflushed, timed, op, path, view, finish }
    }

    /// Whether the answer is there, so that awaiting it would not wait.
    pub fn is_ready(&self) -> bool {
        match &self.place {
            Place::At(place) => self.shared.lock().slots.is_answered(*place),
            Place::Failed(_) => true,
            Place::Outside { .. } | Place::Taken => false,
        }
    }

    /// Lets the request leave, whoever waits for its answer.
    pub(crate) fn detach(mut self) {
        if let Place::At(place) = self.place {
            let mut inner = self.shared.lock();
            if inner.slots.forget(place) {
                self.place = Place::Taken;
            }
            inner.signal();
        }
    }

    /// Hands the request in that had no room, unless it has still none.
    #[cold]
    fn poll_outside(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Place::Outside { number, parcel } = &mut self.place else { return Poll::Ready(()) };
        let mut inner = self.shared.lock();
        if let Some(waiting) = parcel.take() {
            let (limits, deadline) = (&self.shared.setup().limits, waiting.deadline);
            let place = if deadline.is_some_and(|at| at <= self.shared.clock.now()) {
                inner.observer.refused(waiting.op(), Failure::NotSent);
                inner.give_up_outside(limits, *number);
                Place::Failed(Failure::NotSent)
            } else {
                inner.place_parcel(limits, waiting, Some(*number))
            };
            if matches!(place, Place::Outside { .. })
                && inner.line.wait_outside(*number, cx.waker().clone(), deadline)
            {
                inner.signal();
            }
            drop(inner);
            self.place = place;
        }
        match self.place {
            Place::Outside { .. } => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// What the operation makes of what came.
    #[inline(always)]
    fn made(
        &self,
        result: Result<RawReply<'_>, Failure>,
        whole: Option<&Bytes>,
        watch: &mut Option<Arc<Queue>>,
    ) -> Poll<Result<T, Error>> {
        let (shared, view) = (&self.shared, self.view.as_ref());
        (self.finish)(Outcome { result, whole, watch, shared, view }, self.op, &self.path)
    }

    /// What becomes of a request that has no place where an answer would be.
    #[cold]
    fn unplaced(&self) -> Failure {
        match self.place {
            Place::Failed(failure) => failure,
            // Polled after its end, as futures must not be.
            _ => Failure::Op(OpError::SessionClosed),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let this = &mut *self;
        if matches!(this.place, Place::Outside { .. }) && this.poll_outside(cx).is_pending() {
            return Poll::Pending;
        }
        let Place::At(place) = this.place else {
            let result = Err(this.unplaced());
            this.place = Place::Taken;
            return this.made(result, None, &mut None);
        };
        let mut guard = this.shared.lock();
        let inner = &mut *guard;
        let Some((taken, mut watch)) = inner.slots.take(place, cx.waker()) else {
            if std::mem::take(&mut this.unflushed) {
                if this.timed {
                    inner.signal();
                } else {
                    inner.flush(&this.shared.clock);
                }
            }
            return Poll::Pending;
        };
        (this.place, this.unflushed) = (Place::Taken, false);
        // Under the lock, where the answer is; it wakes and calls nobody.
        let chroot = inner.session.chroot();
        let made = match taken {
            Taken::Short(op, body) => {
                this.made(Ok(RawReply::new(op, body, chroot)), None, &mut watch)
            }
            Taken::Long(op, whole) => {
                this.made(Ok(RawReply::new(op, &whole, chroot)), Some(&whole), &mut watch)
            }
            Taken::Failed(failure) => this.made(Err(failure), None, &mut watch),
        };
        if let Some(queue) = watch {
            inner.unwatch(&queue);
        }
        made
    }
}

impl<T> Pending<T> {
    /// Nobody waits for the answer any more.
    #[cold]
    fn abandon(&mut self) {
        match std::mem::replace(&mut self.place, Place::Taken) {
            Place::At(place) => {
                let mut inner = self.shared.lock();
                let (queued, watch) = inner.slots.abandon(place);
                match queued {
                    Some(number) => {
                        inner.line.leave(number);
                        inner.observer.dropped(place);
                    }
                    None if self.unflushed => inner.signal(),
                    None => {}
                }
                if let Some(queue) = watch {
                    inner.unwatch(&queue);
                }
            }
            Place::Outside { number, .. } => {
                let limits = &self.shared.setup().limits;
                self.shared.lock().give_up_outside(limits, number);
            }
            Place::Failed(_) | Place::Taken => {}
        }
    }
}

impl<T> Drop for Pending<T> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.place, Place::Taken) {
            self.abandon();
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("op", &self.op)
            .field("path", &self.path.as_str())
            .finish_non_exhaustive()
    }
}
