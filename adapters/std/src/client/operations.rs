//! One method an operation: asks, waits, and takes the answer apart.

use std::time::Duration;

use zk_session::ErrorCode;
use zk_session::wire::{
    Acl, AddWatchMode, Create, CreateMode, CreateTtl, MultiOp, OpCode, Reconfig, Request, Stat,
    WatcherType,
};

use super::{Client, Error, ErrorKind};
use zk_session::owned::{AclEntry, Answer, Identity, ItemAnswer};

impl Client {
    /// Creates a znode that is open to anyone; returns its path, with the digits of a sequential
    /// one.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NodeExists`, `NoNode` (of the parent),
    /// `NoChildrenForEphemerals`, `NoAuth` and others.
    pub fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<String, Error> {
        self.create_with_acl(path, data, mode, Acl::OPEN)
    }

    /// Creates a znode with an ACL.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `InvalidAcl`.
    pub fn create_with_acl(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        acl: &[Acl<'_>],
    ) -> Result<String, Error> {
        let create = new_znode(path, data, mode, acl);
        let request = match mode {
            CreateMode::Container => Request::CreateContainer(create),
            _ => Request::Create(create),
        };
        self.call(&request, |answer| match answer {
            Answer::Path(path) | Answer::Created(path, _) => Some(path),
            _ => None,
        })
    }

    /// Creates a znode and returns its metadata too.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `InvalidAcl`.
    pub fn create2(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        acl: &[Acl<'_>],
    ) -> Result<(String, Stat), Error> {
        let create = new_znode(path, data, mode, acl);
        let request = match mode {
            CreateMode::Container => Request::CreateContainer(create),
            _ => Request::Create2(create),
        };
        self.call(&request, into_created)
    }

    /// Creates a znode that goes when it has had no change for its time to live, and no children;
    /// `mode` is one of the two with a time to live.
    ///
    /// # Errors
    /// As [`create`](Self::create); `Unimplemented` from servers without
    /// `extendedTypesEnabled`, `BadArguments` for another mode or for less than a millisecond.
    pub fn create_ttl(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        acl: &[Acl<'_>],
        ttl: Duration,
    ) -> Result<(String, Stat), Error> {
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let create = new_znode(path, data, mode, acl);
        self.call(&Request::CreateTtl(CreateTtl { create, ttl }), into_created)
    }

    /// Deletes a znode whose version is the expected one, if one is given.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `BadVersion`, `NotEmpty`, `NoAuth` and others.
    pub fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        let request = Request::delete(path, version.unwrap_or(-1));
        self.call(&request, |answer| (answer == Answer::Empty).then_some(()))
    }

    /// A znode's metadata; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error`]; a missing znode is none.
    pub fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.stat(&Request::exists(path, false))
    }

    /// As [`exists`](Self::exists), and arms a watch for the next creation, deletion or change of
    /// the znode.
    ///
    /// # Errors
    /// As [`exists`](Self::exists).
    pub fn exists_watched(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.stat(&Request::exists(path, true))
    }

    fn stat(&self, request: &Request<'_>) -> Result<Option<Stat>, Error> {
        match self.call(request, into_stat) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A znode's data and metadata; null data reads as empty.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `NoAuth` and others.
    pub fn get_data(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        self.call(&Request::get_data(path, false), into_data)
    }

    /// As [`get_data`](Self::get_data), and arms a watch for the next change or deletion of the
    /// znode.
    ///
    /// # Errors
    /// As [`get_data`](Self::get_data); no watch is armed then.
    pub fn get_data_watched(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        self.call(&Request::get_data(path, true), into_data)
    }

    /// Sets the data of a znode whose version is the expected one, if one is given.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `BadVersion`, `NoAuth` and others.
    pub fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        self.call(&Request::set_data(path, data, version.unwrap_or(-1)), into_stat)
    }

    /// The names of a znode's children, in no particular order, and its metadata.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `NoAuth` and others.
    pub fn get_children(&self, path: &str) -> Result<(Vec<String>, Stat), Error> {
        self.call(&Request::get_children2(path, false), into_children)
    }

    /// As [`get_children`](Self::get_children), and arms a watch for the next child that comes or
    /// goes.
    ///
    /// # Errors
    /// As [`get_children`](Self::get_children); no watch is armed then.
    pub fn get_children_watched(&self, path: &str) -> Result<(Vec<String>, Stat), Error> {
        self.call(&Request::get_children2(path, true), into_children)
    }

    /// Makes the connected server catch up with the leader before later reads of this client.
    ///
    /// # Errors
    /// [`Error`].
    pub fn sync(&self, path: &str) -> Result<(), Error> {
        self.call(&Request::sync(path), |answer| matches!(answer, Answer::Path(_)).then_some(()))
    }

    /// Adds an identity, such as scheme `digest` with `user:password`; the session shows it on every
    /// later connection too.
    ///
    /// # Errors
    /// [`Error`]; a refused credential ends the session.
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Error> {
        let request = Request::add_auth(scheme, auth);
        self.call(&request, |answer| (answer == Answer::Empty).then_some(()))
    }

    /// Who may do what with a znode, and its metadata.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `NoAuth` and others.
    pub fn get_acl(&self, path: &str) -> Result<(Vec<AclEntry>, Stat), Error> {
        self.call(&Request::GetAcl { path: path.into() }, |answer| match answer {
            Answer::Acl(acl, stat) => Some((acl, stat)),
            _ => None,
        })
    }

    /// Sets the ACL of a znode whose *ACL* version is the expected one, if one is given.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `BadVersion`, `InvalidAcl`, `NoAuth` and others.
    pub fn set_acl(
        &self,
        path: &str,
        acl: &[Acl<'_>],
        aversion: Option<i32>,
    ) -> Result<Stat, Error> {
        let version = aversion.unwrap_or(-1);
        self.call(&Request::SetAcl { path: path.into(), acl: acl.into(), version }, into_stat)
    }

    /// How many znodes lie below one, children's children included.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoNode`, `NoAuth` and others.
    pub fn get_all_children_number(&self, path: &str) -> Result<usize, Error> {
        self.call(&Request::GetAllChildrenNumber { path: path.into() }, |answer| match answer {
            Answer::Count(count) => usize::try_from(count).ok(),
            _ => None,
        })
    }

    /// The paths of this session's ephemeral znodes that begin with `prefix`, which is plain text;
    /// `/` for all of them. Those outside the chroot are left out.
    ///
    /// # Errors
    /// [`Error`].
    pub fn get_ephemerals(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.call(&Request::get_ephemerals(prefix), |answer| match answer {
            Answer::Children(paths) => Some(paths),
            _ => None,
        })
    }

    /// Does several writes and checks, all or nothing; returns one result an item.
    ///
    /// # Errors
    /// [`ErrorKind::Item`] with the item that failed, and why; nothing was done then.
    pub fn multi(&self, items: &[MultiOp<'_>]) -> Result<Vec<ItemAnswer>, Error> {
        let results = self.call(&Request::multi(items), into_items)?;
        let failed =
            results.iter().zip(items).enumerate().find_map(|(at, (result, item))| match result {
                ItemAnswer::Failed(code) => Some((at, *code, item)),
                _ => None,
            });
        match failed {
            None => Ok(results),
            Some((at, code, item)) => {
                let path = item.path().as_str().unwrap_or_default();
                Err(Error::of(OpCode::Multi, path, ErrorKind::Item { at, code }))
            }
        }
    }

    /// Does several reads ([`MultiOp::get_data`], [`MultiOp::get_children`]); each fails by itself.
    ///
    /// # Errors
    /// [`Error`]; the failure of an item is none.
    pub fn multi_read(&self, items: &[MultiOp<'_>]) -> Result<Vec<ItemAnswer>, Error> {
        self.call(&Request::multi_read(items), into_items)
    }

    /// Adds a watch that stays until it is [removed](Self::remove_watches), be the znode there or
    /// not.
    ///
    /// # Errors
    /// [`Error`].
    pub fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Error> {
        self.call(&Request::add_watch(path, mode), into_nothing)
    }

    /// Removes this session's watches of a kind at a path.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `NoWatcher` and, before 3.9 for the two persistent kinds,
    /// `MarshallingError`: there `Any` is the way.
    pub fn remove_watches(&self, path: &str, kind: WatcherType) -> Result<(), Error> {
        self.call(&Request::remove_watches(path, kind), into_nothing)
    }

    /// Whether the server has watches of a kind at a path from this session.
    ///
    /// # Errors
    /// [`Error`]; `MarshallingError` as in [`remove_watches`](Self::remove_watches).
    pub fn check_watches(&self, path: &str, kind: WatcherType) -> Result<bool, Error> {
        match self.call(&Request::check_watches(path, kind), into_nothing) {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(ErrorCode::NoWatcher) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The identities of the connection: its address, and what it has authenticated as.
    ///
    /// # Errors
    /// [`Error`].
    pub fn who_am_i(&self) -> Result<Vec<Identity>, Error> {
        self.call(&Request::WhoAmI, |answer| match answer {
            Answer::WhoAmI(identities) => Some(identities),
            _ => None,
        })
    }

    /// The ensemble's configuration, whatever the chroot.
    ///
    /// # Errors
    /// [`Error`].
    pub fn get_config(&self) -> Result<(Vec<u8>, Stat), Error> {
        self.call(&Request::get_config(false), into_data)
    }

    /// As [`get_config`](Self::get_config), and arms a watch for its next change; the notification
    /// names [`CONFIG_NODE`](zk_session::wire::CONFIG_NODE).
    ///
    /// # Errors
    /// As [`get_config`](Self::get_config).
    pub fn get_config_watched(&self) -> Result<(Vec<u8>, Stat), Error> {
        self.call(&Request::get_config(true), into_data)
    }

    /// Changes the ensemble's membership; returns the new configuration.
    ///
    /// # Errors
    /// [`Error`]; the server's codes are `ReconfigDisabled`, `NoAuth`, `BadArguments`,
    /// `BadVersion`, `NewConfigNoQuorum`, `ReconfigInProgress` and others.
    pub fn reconfig(&self, change: Reconfig<'_>) -> Result<(Vec<u8>, Stat), Error> {
        self.call(&Request::Reconfig(change), into_data)
    }
}

fn new_znode<'a>(
    path: &'a str,
    data: &'a [u8],
    mode: CreateMode,
    acl: &'a [Acl<'a>],
) -> Create<'a> {
    Create { path: path.into(), data: Some(data), acl: acl.into(), flags: mode.to_flags() }
}

fn into_nothing(answer: Answer) -> Option<()> {
    (answer == Answer::Empty).then_some(())
}

fn into_created(answer: Answer) -> Option<(String, Stat)> {
    match answer {
        Answer::Created(path, stat) => Some((path, stat)),
        _ => None,
    }
}

fn into_items(answer: Answer) -> Option<Vec<ItemAnswer>> {
    match answer {
        Answer::Multi(items) => Some(items),
        _ => None,
    }
}

fn into_stat(answer: Answer) -> Option<Stat> {
    match answer {
        Answer::Stat(stat) => Some(stat),
        _ => None,
    }
}

fn into_data(answer: Answer) -> Option<(Vec<u8>, Stat)> {
    match answer {
        Answer::Data(data, stat) => Some((data.unwrap_or_default(), stat)),
        _ => None,
    }
}

fn into_children(answer: Answer) -> Option<(Vec<String>, Stat)> {
    match answer {
        Answer::Children2(names, stat) => Some((names, stat)),
        _ => None,
    }
}
