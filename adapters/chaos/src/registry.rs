//! The lives of all sessions, as their members know them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use zk_session_std::Client;

/// One session with its ephemeral znode.
#[derive(Clone, Debug)]
pub struct Life {
    /// The session's handle; `None` once it has ended or changes hands.
    pub client: Option<Client>,
    /// When its member learned that it had ended.
    pub ended: Option<Instant>,
    /// The observer has told of it already.
    pub reported: bool,
}

/// Lives by the names of their ephemeral znodes.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<String, Life>>);

impl Registry {
    /// A session has its ephemeral znode, or goes on through another handle.
    pub fn lives(&self, name: &str, client: &Client) {
        let life = Life { client: Some(client.clone()), ended: None, reported: false };
        self.with(|lives| _ = lives.insert(name.to_owned(), life));
    }

    /// A session changes hands: nothing is known of its handle for a while.
    pub fn leaves(&self, name: &str) {
        self.with(|lives| {
            if let Some(life) = lives.get_mut(name) {
                life.client = None;
            }
        });
    }

    /// A session has ended, as its member was told.
    pub fn ended(&self, name: &str) {
        self.with(|lives| {
            if let Some(life) = lives.get_mut(name) {
                (life.client, life.ended) = (None, Some(Instant::now()));
            }
        });
    }

    /// All of them.
    pub fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Life>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
