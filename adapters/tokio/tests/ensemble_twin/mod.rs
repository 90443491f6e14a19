//! The ensemble on tokio behind the face of the one on a thread, so that its tests run on both.
//!
//! A test binary that declares itself to be `zk_session_std` (`extern crate self as zk_session_std`)
//! and includes a test of that crate runs it on this.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test support")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use zk_session::server::EngineConfig;
use zk_session::wire::SessionId;
pub use zk_session_tokio::{EnsembleError, Fsync, SessionInfo, SnapshotError, StoreError};

/// The name that the other's thread has.
const THREAD: &str = "zk-ensemble";

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(THREAD).enable_all().build().unwrap()
}

#[derive(Debug)]
pub struct EmbeddedEnsemble {
    ensemble: Option<zk_session_tokio::EmbeddedEnsemble>,
    runtime: Runtime,
}

#[derive(Clone, Debug)]
pub struct EnsembleBuilder(zk_session_tokio::EnsembleBuilder);

impl EnsembleBuilder {
    pub fn servers(self, count: usize) -> Self {
        Self(self.0.servers(count))
    }

    pub fn bind(self, i: usize, addr: SocketAddr) -> Self {
        Self(self.0.bind(i, addr))
    }

    pub fn tick(self, tick: Duration) -> Self {
        Self(self.0.tick(tick))
    }

    pub fn seed(self, seed: u64) -> Self {
        Self(self.0.seed(seed))
    }

    pub fn min_session_timeout(self, timeout: Duration) -> Self {
        Self(self.0.min_session_timeout(timeout))
    }

    pub fn max_session_timeout(self, timeout: Duration) -> Self {
        Self(self.0.max_session_timeout(timeout))
    }

    pub fn engine(self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self(self.0.engine(change))
    }

    pub fn local_sessions(self) -> Self {
        Self(self.0.local_sessions())
    }

    pub fn durable(self, dir: impl Into<PathBuf>) -> Self {
        Self(self.0.durable(dir))
    }

    pub fn fsync(self, fsync: Fsync) -> Self {
        Self(self.0.fsync(fsync))
    }

    pub fn start(self) -> Result<EmbeddedEnsemble, EnsembleError> {
        let runtime = runtime();
        let ensemble = Some(runtime.block_on(self.0.start())?);
        Ok(EmbeddedEnsemble { ensemble, runtime })
    }

    pub fn start_from(self, bytes: &[u8]) -> Result<EmbeddedEnsemble, EnsembleError> {
        let runtime = runtime();
        let ensemble = Some(runtime.block_on(self.0.start_from(bytes))?);
        Ok(EmbeddedEnsemble { ensemble, runtime })
    }
}

impl EmbeddedEnsemble {
    pub fn builder() -> EnsembleBuilder {
        EnsembleBuilder(zk_session_tokio::EmbeddedEnsemble::builder())
    }

    fn inner(&self) -> &zk_session_tokio::EmbeddedEnsemble {
        self.ensemble.as_ref().unwrap()
    }

    pub fn connect_string(&self) -> String {
        self.inner().connect_string()
    }

    pub fn addr(&self, i: usize) -> SocketAddr {
        self.inner().addr(i)
    }

    pub fn addrs(&self) -> &[SocketAddr] {
        self.inner().addrs()
    }

    pub fn stop(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().stop(i))
    }

    pub fn start(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().start(i))
    }

    pub fn cut(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().cut(i))
    }

    pub fn delay(&self, i: usize, latency: Duration) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().delay(i, latency))
    }

    pub fn read_only(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().read_only(i))
    }

    pub fn read_write(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().read_write(i))
    }

    pub fn freeze(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().freeze(i))
    }

    pub fn thaw(&self, i: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().thaw(i))
    }

    pub fn expire(&self, session_id: SessionId) -> Result<bool, EnsembleError> {
        self.runtime.block_on(self.inner().expire(session_id))
    }

    pub fn drop_connection(&self, session_id: SessionId) -> Result<bool, EnsembleError> {
        self.runtime.block_on(self.inner().drop_connection(session_id))
    }

    pub fn move_session(&self, session_id: SessionId, to: usize) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().move_session(session_id, to))
    }

    pub fn wipe(&self) -> Result<(), EnsembleError> {
        self.runtime.block_on(self.inner().wipe())
    }

    pub fn sessions(&self) -> Result<Vec<SessionInfo>, EnsembleError> {
        self.runtime.block_on(self.inner().sessions())
    }

    pub fn server_of(&self, session_id: SessionId) -> Result<Option<usize>, EnsembleError> {
        self.runtime.block_on(self.inner().server_of(session_id))
    }

    pub fn snapshot(&self, mut writer: impl Write) -> Result<(), EnsembleError> {
        let mut bytes = Vec::new();
        self.runtime.block_on(self.inner().snapshot(&mut bytes))?;
        Ok(writer.write_all(&bytes)?)
    }

    pub fn failure(&self) -> Option<Arc<EnsembleError>> {
        self.inner().failure()
    }

    pub fn shutdown(self) {}
}

impl Drop for EmbeddedEnsemble {
    fn drop(&mut self) {
        if let Some(ensemble) = self.ensemble.take() {
            self.runtime.block_on(ensemble.shutdown());
        }
    }
}
