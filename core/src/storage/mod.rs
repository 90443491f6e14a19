//! The caller's memory behind the machines: lent arrays, or with `alloc` a heap with limits.
//!
//! [`Fixed`] declares memory that can live in a `static`; `Storage::owned` (feature `alloc`) grows
//! on demand up to its [`Limits`]. The machines run the same lines of logic over both.

mod buf;
mod fixed;
mod inbox;
mod index;
mod outbox;
mod queue;
mod rare;
#[cfg(feature = "alloc")]
mod ring;
mod text;

pub(crate) use buf::Buf;
pub use fixed::{Fixed, Limits, Storage};
#[cfg(all(feature = "alloc", feature = "server"))]
pub(crate) use inbox::READ_STEP;
pub(crate) use inbox::{Inbox, NextFrame};
pub(crate) use index::{Index, Search};
pub(crate) use outbox::{NoRoom, Outbox};
pub(crate) use queue::Queue;
pub(crate) use rare::Rare;
pub use text::Text;
