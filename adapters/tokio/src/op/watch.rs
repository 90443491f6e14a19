//! Watches that stay.

use zk_session::client::WatchKind;
use zk_session::owned::Answer;
use zk_session::path;
use zk_session::wire::{AddWatchMode, OpCode, Request};

use crate::call::{Call, Operation, sealed};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::Outcome;
use crate::watch::Watch;

/// Adds a watch that stays until it is dropped; the result is the [`Watch`].
#[derive(Clone, Copy, Debug)]
pub struct AddWatch<'a> {
    path: &'a str,
    recursive: bool,
}

impl Client {
    /// Adds a watch that stays until it is dropped, be the znode there or not: for the znode's
    /// creation, changes and deletion, and for children that come or go.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
    /// # let client = zk_session_tokio::Client::connect(ensemble.connect_string()).await?;
    /// use zk_session_tokio::{WatchEvent, EventType};
    ///
    /// let mut watch = client.watch("/app").recursive().await?;
    /// client.create("/app", b"").await?;
    /// client.create("/app/a", b"").await?;
    /// while let Some(event) = watch.next().await {
    ///     match event {
    ///         WatchEvent::Changed { kind, path } => {
    ///             assert_eq!(kind, EventType::NodeCreated);
    ///             if &*path == "/app/a" { break }
    ///         }
    ///         WatchEvent::Missed(_) => {} // look at the znodes again
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Of the server: `Unimplemented` before 3.6, and others.
    pub fn watch<'a>(&'a self, path: &'a str) -> Call<'a, AddWatch<'a>> {
        Call::new(self, AddWatch { path, recursive: false })
    }
}

impl Call<'_, AddWatch<'_>> {
    /// Covers all descendants too: creations, changes and deletions of each. There is no
    /// `NodeChildrenChanged` then.
    pub const fn recursive(mut self) -> Self {
        self.op.recursive = true;
        self
    }
}

impl Operation for AddWatch<'_> {}

impl sealed::Operation for AddWatch<'_> {
    type Output = Watch;

    fn op(&self) -> OpCode {
        OpCode::AddWatch
    }

    fn path(&self) -> &str {
        self.path
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        let mode = if self.recursive {
            AddWatchMode::PersistentRecursive
        } else {
            AddWatchMode::Persistent
        };
        lend(&Request::add_watch(&path::join(view, self.path), mode))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Watch, ErrorKind> {
        outcome.answer(|answer| (answer == Answer::Empty).then_some(()))?;
        outcome.watch().ok_or(ErrorKind::UnexpectedAnswer)
    }

    fn wish(&self) -> Option<(WatchKind, Option<WatchKind>)> {
        let kind = if self.recursive { WatchKind::Recursive } else { WatchKind::Persistent };
        Some((kind, None))
    }
}
