//! An ensemble's state on disk: the records of its engine in one table of a redb database.
//!
//! The bytes of a key decide the order, in which the engine takes its records back. Each commit is
//! one transaction of redb, which holds all or nothing of what a turn has changed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableTable, StorageBackend, TableDefinition};
use zk_session::Instant;
use zk_session::server::{Change, Engine, EngineConfig, Record, Restore};

use super::error::StoreError;

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");
const FILE: &str = "state.redb";
/// The engine holds all of it in memory anyway.
const CACHE_BYTES: usize = 16 << 20;

/// When what is kept is forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fsync {
    /// With every commit, before anything of it is acknowledged: what a client has been told
    /// survives the end of the process, of the system and of the power supply.
    #[default]
    Always,
    /// Never: the system writes when it likes. What a client has been told survives the end of the
    /// process, also by SIGKILL; when the system or the power supply fails, all that is kept may be
    /// lost, for nothing orders what has been written. As ZooKeeper's `forceSync=no`.
    Never,
}

/// A store that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    dir: PathBuf,
    size: Arc<AtomicU64>,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// The database's file.
#[derive(Debug)]
struct Backend {
    file: FileBackend,
    fsync: Fsync,
    /// Its length in bytes, known without asking the system.
    size: Arc<AtomicU64>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.file.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.size.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self, eventual: bool) -> io::Result<()> {
        match self.fsync {
            Fsync::Always => self.file.sync_data(eventual),
            Fsync::Never => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

impl Store {
    /// Opens the store in a directory, or makes both.
    pub(super) fn open(dir: &Path, fsync: Fsync) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|error| of_file(error, dir))?;
        let path = dir.join(FILE);
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(|error| of_file(error, &path))?;
        let file = FileBackend::new(file).map_err(|error| of_database(error, dir))?;
        let size = Arc::new(AtomicU64::new(file.len()?));
        let backend = Backend { file, fsync, size: Arc::clone(&size) };
        let mut builder = Database::builder();
        // Later versions of redb read this format only.
        builder.create_with_file_format_v3(true).set_cache_size(CACHE_BYTES);
        let database = builder.create_with_backend(backend);
        let database = database.map_err(|error| of_database(error, dir))?;
        if fsync == Fsync::Always && cfg!(unix) {
            File::open(dir)?.sync_all()?; // that there is such a file has to survive, too
        }
        let dir = std::path::absolute(dir)?;
        Ok(Self { database, dir, size, key: Vec::new(), value: Vec::new() })
    }

    /// Where it is, as an absolute path.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many bytes it takes.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// The engine that is kept; `None` if there is none yet.
    pub(super) fn load(
        &self,
        config: EngineConfig,
        now: Instant,
    ) -> Result<Option<Engine>, StoreError> {
        let reading = self.database.begin_read().map_err(of)?;
        let table = match reading.open_table(RECORDS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            table => table.map_err(of)?,
        };
        let mut restore = Restore::new(config, now);
        for entry in table.iter().map_err(of)? {
            let (_, value) = entry.map_err(of)?;
            let record = Record::decode(value.value()).map_err(StoreError::Record)?;
            restore.add(&record).map_err(StoreError::Restore)?;
        }
        restore.finish().map(Some).map_err(StoreError::Restore)
    }

    /// Keeps all of a fresh engine.
    pub(super) fn fill(&mut self, engine: &Engine) -> Result<(), StoreError> {
        self.write(engine.records().map(Change::Put))
    }

    /// Keeps what has changed. When this returns it is kept; if it fails nothing of it is.
    pub(super) fn commit(&mut self, engine: &Engine) -> Result<(), StoreError> {
        self.write(engine.poll_changes())
    }

    fn write<'a>(&mut self, changes: impl Iterator<Item = Change<'a>>) -> Result<(), StoreError> {
        let mut writing = self.database.begin_write().map_err(of)?;
        // Writes all to the file with one call to `sync_data` behind it.
        writing.set_durability(Durability::Immediate);
        {
            let mut table = writing.open_table(RECORDS).map_err(of)?;
            for change in changes {
                self.key.clear();
                match change {
                    Change::Put(record) => {
                        record.key().encode(&mut self.key);
                        self.value.clear();
                        record.encode(&mut self.value);
                        table.insert(&*self.key, &*self.value).map_err(of)?;
                    }
                    Change::Remove(key) => {
                        key.encode(&mut self.key);
                        table.remove(&*self.key).map_err(of)?;
                    }
                }
            }
        }
        writing.commit().map_err(of)
    }
}

fn of(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => error.into(),
        other => StoreError::Damaged(other.to_string()),
    }
}

fn of_database(error: redb::DatabaseError, dir: &Path) -> StoreError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(dir.into()),
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) => {
            let path = dir.join(FILE);
            match error.kind() {
                io::ErrorKind::InvalidData => {
                    StoreError::Damaged(format!("{} is no store", path.display()))
                }
                _ => of_file(error, &path),
            }
        }
        other => of(other),
    }
}

/// The system names no file.
fn of_file(error: io::Error, path: &Path) -> StoreError {
    io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
}
