//! Creating znodes.

use std::time::Duration;

use zk_session::owned::Answer;
use zk_session::path;
use zk_session::wire::{Acl, CreateMode, CreateTtl, OpCode, Request, Stat};

use crate::call::{Call, Operation, sealed};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::Outcome;

/// Creates a znode; the result is its path, with the digits of a sequential one.
#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    path: &'a str,
    data: &'a [u8],
    acl: &'a [Acl<'a>],
    ephemeral: bool,
    sequential: bool,
    container: bool,
    ttl: Option<Duration>,
}

/// As [`Create`], with the znode's metadata in the result.
#[derive(Clone, Copy, Debug)]
pub struct CreateStat<'a>(Create<'a>);

/// A znode that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its path, with the digits of a sequential one.
    pub path: String,
    /// Its metadata.
    pub stat: Stat,
}

impl Client {
    /// Creates a znode: persistent and open to anyone, unless the call says otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
    /// # let client = zk_session_tokio::Client::connect(ensemble.connect_string()).await?;
    /// client.create("/workers", b"").await?;
    /// let me = client.create("/workers/w-", b"10.0.0.1").ephemeral().sequential().await?;
    /// assert_eq!(me, "/workers/w-0000000000");
    /// assert!(client.create("/workers", b"").await.is_err_and(|e| e.is_node_exists()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Of the server: `NodeExists`, `NoNode` (of the parent), `NoChildrenForEphemerals`, `NoAuth`,
    /// `InvalidAcl` and others; with [`ttl`](Call::ttl) `Unimplemented` from servers without
    /// `extendedTypesEnabled`. `BadArguments` is also this client's word for a mode that there is
    /// not, such as an ephemeral container.
    pub fn create<'a>(&'a self, path: &'a str, data: &'a [u8]) -> Call<'a, Create<'a>> {
        let (ephemeral, sequential, container, ttl) = (false, false, false, None);
        let create = Create { path, data, acl: Acl::OPEN, ephemeral, sequential, container, ttl };
        Call::new(self, create)
    }
}

impl<'a> Call<'a, Create<'a>> {
    /// The znode goes with the session.
    pub const fn ephemeral(mut self) -> Self {
        self.op.ephemeral = true;
        self
    }

    /// The server appends ten digits to the name, greater than those before.
    pub const fn sequential(mut self) -> Self {
        self.op.sequential = true;
        self
    }

    /// The znode goes some time after its last child has gone.
    pub const fn container(mut self) -> Self {
        self.op.container = true;
        self
    }

    /// The znode goes when it has had no change for so long, in whole milliseconds, and has no
    /// children.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.op.ttl = Some(ttl);
        self
    }

    /// Who may do what with the znode. Default: anyone anything.
    pub const fn acl(mut self, acl: &'a [Acl<'a>]) -> Self {
        self.op.acl = acl;
        self
    }

    /// Asks for the znode's metadata too.
    pub fn with_stat(self) -> Call<'a, CreateStat<'a>> {
        let Self { client, time, buffer, op } = self;
        Call { client, time, buffer, op: CreateStat(op) }
    }
}

impl<'a> Create<'a> {
    /// The mode; what there is not is left to the server to refuse, as a mode beyond the last.
    const fn flags(&self) -> i32 {
        const NONE: i32 = -1;
        match (self.ephemeral, self.sequential, self.container, self.ttl.is_some()) {
            (false, false, false, false) => CreateMode::Persistent.to_flags(),
            (true, false, false, false) => CreateMode::Ephemeral.to_flags(),
            (false, true, false, false) => CreateMode::PersistentSequential.to_flags(),
            (true, true, false, false) => CreateMode::EphemeralSequential.to_flags(),
            (false, false, true, false) => CreateMode::Container.to_flags(),
            (false, false, false, true) => CreateMode::PersistentTtl.to_flags(),
            (false, true, false, true) => CreateMode::PersistentSequentialTtl.to_flags(),
            _ => NONE,
        }
    }

    fn lend<R>(&self, view: &str, stat: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        let path = path::join(view, self.path);
        let create = zk_session::wire::Create {
            path: (&*path).into(),
            data: Some(self.data),
            acl: self.acl.into(),
            flags: self.flags(),
        };
        lend(&match self.ttl {
            Some(ttl) => {
                let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
                Request::CreateTtl(CreateTtl { create, ttl })
            }
            None if self.container => Request::CreateContainer(create),
            None if stat => Request::Create2(create),
            None => Request::Create(create),
        })
    }

    const fn code(&self, stat: bool) -> OpCode {
        match (self.ttl, self.container, stat) {
            (Some(_), ..) => OpCode::CreateTtl,
            (None, true, _) => OpCode::CreateContainer,
            (None, false, true) => OpCode::Create2,
            (None, false, false) => OpCode::Create,
        }
    }
}

/// The path as the client that asked names it.
pub(super) fn own(path: String, view: Option<&str>) -> String {
    match view {
        None => path,
        Some(view) => path::below(&path, view).map_or_else(|| path.clone(), str::to_owned),
    }
}

impl Operation for Create<'_> {}

impl sealed::Operation for Create<'_> {
    type Output = String;

    fn op(&self) -> OpCode {
        self.code(false)
    }

    fn path(&self) -> &str {
        self.path
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        self.lend(view, false, lend)
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<String, ErrorKind> {
        let view = outcome.view();
        outcome.answer(|answer| match answer {
            Answer::Path(path) | Answer::Created(path, _) => Some(own(path, view)),
            _ => None,
        })
    }
}

impl Operation for CreateStat<'_> {}

impl sealed::Operation for CreateStat<'_> {
    type Output = Created;

    fn op(&self) -> OpCode {
        self.0.code(true)
    }

    fn path(&self) -> &str {
        self.0.path
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        self.0.lend(view, true, lend)
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Created, ErrorKind> {
        let view = outcome.view();
        outcome.answer(|answer| match answer {
            Answer::Created(path, stat) => Some(Created { path: own(path, view), stat }),
            _ => None,
        })
    }
}
