//! A directory that goes away with its value.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::while_doing;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new, empty directory; removed with all it holds on drop.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Under the system's temporary directory.
    pub(crate) fn new() -> io::Result<Self> {
        Self::under(&std::env::temp_dir())
    }

    pub(crate) fn under(parent: &Path) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("zk-session-testkit-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left by an earlier process of this id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(while_doing(format_args!("cannot create {}", path.display()))(
                        error,
                    ));
                }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
