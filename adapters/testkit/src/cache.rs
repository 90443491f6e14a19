//! What is made once and kept in cargo's target directory: an environment, a compiled program.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::while_doing;

/// A directory in the target directory that this test was built in, or in the system's temporary
/// one.
pub(crate) fn cache_dir() -> io::Result<PathBuf> {
    let exe = std::env::current_exe().map_err(while_doing("cannot tell where this test lies"))?;
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()); // cargo's mark
    let dir = target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("zk-session-testkit");
    fs::create_dir_all(&dir)
        .map_err(while_doing(format_args!("cannot create {}", dir.display())))?;
    Ok(dir)
}

/// Holds a file of the cache locked, for tests of several processes race to fill it; dropping the
/// value lets the next one in.
pub(crate) fn cache_lock(cache: &Path, name: &str) -> io::Result<File> {
    let locked = File::create(cache.join(name)).and_then(|file| file.lock().map(|()| file));
    locked.map_err(while_doing(format_args!("cannot lock {name} in {}", cache.display())))
}

/// Removes a directory with all it holds; one that is not there is fine.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(while_doing(format_args!("cannot remove {}", dir.display()))(error))
        }
        _ => Ok(()),
    }
}
