//! ZooKeeper's operations, one method each.

use embassy_sync::blocking_mutex::raw::RawMutex;
use zk_session::client::{
    AddAuth, AddWatch, CreateOpen, Delete, Exists, GetChildren, GetData, Operation, RawReply,
    RemoveWatches, SetData,
};
use zk_session::wire::{
    AddWatchMode, CreateMode, Reply, Request, Stat, Ustring, WatcherType, WireError,
};
use zk_session::{ErrorCode, OpError};

use crate::call::Call;
use crate::{Children, Error, Session};

/// The version that stands for any.
const ANY: i32 = -1;

impl<'b, M: RawMutex> Session<'b, M> {
    /// Sends any request, and shows its answer to `take`, which copies what it needs. It runs under
    /// the session's lock: it must be short and must not call the session.
    ///
    /// A program that calls this has the code of all requests and replies in it; see
    /// [`submit`](Self::submit).
    ///
    /// # Errors
    /// [`Error`], or whatever `take` returns.
    pub async fn request<T>(
        &self,
        request: Request<'_>,
        mut take: impl FnMut(Reply<'_>) -> Result<T, Error> + Unpin,
    ) -> Result<T, Error> {
        self.submit(request, |reply| take(reply.decode().map_err(unexpected)?)).await
    }

    /// As [`request`](Self::request), with an operation that has a type of its own, such as
    /// [`GetData`], and an answer that is not decoded yet: the program has no more code in it than
    /// these need.
    ///
    /// # Errors
    /// [`Error`], or whatever `take` returns.
    pub const fn submit<'s, T, O: Operation + Unpin, F>(
        &'s self,
        operation: O,
        take: F,
    ) -> Call<'s, 'b, M, O, F>
    where
        F: FnMut(RawReply<'_>) -> Result<T, Error> + Unpin,
    {
        Call::new(self, operation, take)
    }

    /// Creates a znode that is open to anyone; other ACLs go through [`request`](Self::request).
    ///
    /// # Errors
    /// [`Error`]; `NodeExists`, `NoNode`, `NoChildrenForEphemerals` and others of the server.
    pub async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<(), Error> {
        self.submit(CreateOpen { path, data, mode }, |_| Ok(())).await
    }

    /// As [`create`](Self::create), copying the path that the server chose, with its number, into
    /// `memory`.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn create_sequential<'m>(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        memory: &'m mut [u8],
    ) -> Result<&'m str, Error> {
        let len = self
            .submit(CreateOpen { path, data, mode }, |reply| {
                copy(reply.path().map_err(unexpected)?, memory)
            })
            .await?;
        core::str::from_utf8(memory.get(..len).unwrap_or_default())
            .map_err(|_| Error::UnexpectedReply)
    }

    /// Deletes a znode, whatever its version or if it is this one.
    ///
    /// # Errors
    /// [`Error`]; `NoNode`, `NotEmpty`, `BadVersion` and others of the server.
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.submit(Delete { path, version: version.unwrap_or(ANY) }, |_| Ok(())).await
    }

    /// A znode's metadata; none if there is no such znode.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        found(self.submit(Exists { path, watch: false }, stat).await)
    }

    /// As [`exists`](Self::exists), and tells [`Events`](crate::Events) once when the znode comes,
    /// goes or changes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn exists_watched(&self, path: &str) -> Result<Option<Stat>, Error> {
        found(self.submit(Exists { path, watch: true }, stat).await)
    }

    /// Copies a znode's data into `memory`; null is empty.
    ///
    /// # Errors
    /// [`Error`]; [`Error::BufferTooSmall`] with the bytes needed.
    pub async fn get_data<'m>(
        &self,
        path: &str,
        memory: &'m mut [u8],
    ) -> Result<(&'m [u8], Stat), Error> {
        self.data(GetData { path, watch: false }, memory).await
    }

    /// As [`get_data`](Self::get_data), and tells [`Events`](crate::Events) once when the data
    /// changes or the znode goes. With [`Error::BufferTooSmall`] too the watch is set.
    ///
    /// # Errors
    /// As [`get_data`](Self::get_data).
    pub async fn get_data_watched<'m>(
        &self,
        path: &str,
        memory: &'m mut [u8],
    ) -> Result<(&'m [u8], Stat), Error> {
        self.data(GetData { path, watch: true }, memory).await
    }

    async fn data<'m>(
        &self,
        operation: GetData<'_>,
        memory: &'m mut [u8],
    ) -> Result<(&'m [u8], Stat), Error> {
        let (len, stat) = self
            .submit(operation, |reply| {
                let got = reply.data().map_err(unexpected)?;
                let data = Ustring::from_bytes(got.data.unwrap_or_default());
                Ok((copy(data, memory)?, got.stat))
            })
            .await?;
        Ok((memory.get(..len).unwrap_or_default(), stat))
    }

    /// Sets a znode's data, whatever its version or if it is this one.
    ///
    /// # Errors
    /// [`Error`]; `NoNode`, `BadVersion` and others of the server.
    pub async fn set_data(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> Result<Stat, Error> {
        self.submit(SetData { path, data, version: version.unwrap_or(ANY) }, stat).await
    }

    /// Copies the names of a znode's children into `memory`, each with two bytes for its length.
    ///
    /// # Errors
    /// [`Error`]; [`Error::BufferTooSmall`] with the bytes needed.
    pub async fn get_children<'m>(
        &self,
        path: &str,
        memory: &'m mut [u8],
    ) -> Result<Children<'m>, Error> {
        self.children(GetChildren { path, watch: false }, memory).await
    }

    /// As [`get_children`](Self::get_children), and tells [`Events`](crate::Events) once when a
    /// child comes or goes, or the znode goes.
    ///
    /// # Errors
    /// As [`get_children`](Self::get_children).
    pub async fn get_children_watched<'m>(
        &self,
        path: &str,
        memory: &'m mut [u8],
    ) -> Result<Children<'m>, Error> {
        self.children(GetChildren { path, watch: true }, memory).await
    }

    async fn children<'m>(
        &self,
        operation: GetChildren<'_>,
        memory: &'m mut [u8],
    ) -> Result<Children<'m>, Error> {
        let len = self
            .submit(operation, |reply| {
                Children::copy(reply.children().map_err(unexpected)?.iter(), memory)
            })
            .await?;
        Ok(Children::new(memory.get(..len).unwrap_or_default()))
    }

    /// Adds a watch that stays until it is removed.
    ///
    /// # Errors
    /// [`Error`]; `Unimplemented` of servers before 3.6.
    pub async fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Error> {
        self.submit(AddWatch { path, mode }, |_| Ok(())).await
    }

    /// Removes watches.
    ///
    /// # Errors
    /// [`Error`]; `NoWatcher` and others of the server.
    pub async fn remove_watches(&self, path: &str, kind: WatcherType) -> Result<(), Error> {
        self.submit(RemoveWatches { path, kind }, |_| Ok(())).await
    }

    /// Makes the server catch up with the leader: what is read afterwards is no older than this call.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sync(&self, path: &str) -> Result<(), Error> {
        self.request(Request::sync(path), |_| Ok(())).await
    }

    /// Adds an identity, such as scheme `digest` with `user:password`, to this and all later
    /// connections.
    ///
    /// # Errors
    /// [`Error`]; a refused identity ends the session as `AuthFailed`.
    pub async fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Error> {
        self.submit(AddAuth { scheme, auth }, |_| Ok(())).await
    }
}

fn stat(reply: RawReply<'_>) -> Result<Stat, Error> {
    reply.stat().map_err(unexpected)
}

fn unexpected(error: WireError) -> Error {
    match error {
        WireError::BadOpCode { .. } => Error::UnexpectedReply,
        error => Error::Op(OpError::Malformed(error)),
    }
}

/// That there is no such znode is an answer.
fn found(result: Result<Stat, Error>) -> Result<Option<Stat>, Error> {
    match result {
        Ok(stat) => Ok(Some(stat)),
        Err(Error::Op(OpError::Server(ErrorCode::NoNode))) => Ok(None),
        Err(error) => Err(error),
    }
}

fn copy(from: Ustring<'_>, memory: &mut [u8]) -> Result<usize, Error> {
    let from = from.as_bytes().unwrap_or_default();
    let to = memory.get_mut(..from.len()).ok_or(Error::BufferTooSmall { needed: from.len() })?;
    to.copy_from_slice(from);
    Ok(from.len())
}
