//! A file that holds a session's ticket: whoever reads it can speak for the session.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::failure::Failure;

/// Where a session's ticket is kept.
#[derive(Debug)]
pub(crate) struct TicketFile(PathBuf);

impl TicketFile {
    pub(crate) const fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// The ticket; none if there is no file, or nothing in it.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok((!bytes.is_empty()).then_some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    /// Puts a ticket in the place of the one there, all of it or none, for the owner's eyes only.
    pub(crate) fn write(&self, ticket: &[u8]) -> Result<(), Failure> {
        let mut name = self.0.clone().into_os_string();
        name.push(format!(".{}.new", std::process::id()));
        let new = PathBuf::from(name);
        let written = private(&new)
            .and_then(|mut file| file.write_all(ticket).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, &self.0));
        written.map_err(|error| {
            let _ = fs::remove_file(&new); // there may be none
            self.failed("write", error)
        })
    }

    /// Its session is over.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.0); // what cannot be removed opens nothing any more
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn failed(&self, what: &str, error: io::Error) -> Failure {
        Failure::io(format!("cannot {what} the ticket {}", self.0.display()), error)
    }
}

/// A new file that nobody else can read.
fn private(file: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}
