//! What can be wrong with a configuration.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key has a value that it cannot have.
    BadValue {
        /// The file.
        file: PathBuf,
        /// The line that the entry starts in; the first is 1.
        line: usize,
        /// The key as it stands there.
        key: String,
        /// The value as it stands there, without the space around it.
        value: String,
        /// What the key can have.
        expected: &'static str,
    },
    /// A key makes sense only beside another one that is not there.
    Alone {
        /// The file.
        file: PathBuf,
        /// The line that the entry starts in; the first is 1.
        line: usize,
        /// The key that is there.
        key: String,
        /// The key that is not.
        missing: &'static str,
    },
    /// An address on the command line names nothing.
    BadAddress {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, source } => {
                write!(f, "cannot read {}: {source}", file.display())
            }
            Self::BadValue { file, line, key, value, expected } => {
                write!(f, "{}:{line}: {key}={value}: expected {expected}", file.display())
            }
            Self::Alone { file, line, key, missing } => {
                write!(f, "{}:{line}: {key} is set, but {missing} is not", file.display())
            }
            Self::BadAddress { address, source } => {
                write!(f, "cannot listen on {address:?}: expected HOST:PORT: {source}")
            }
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } | Self::BadAddress { source, .. } => Some(source),
            Self::BadValue { .. } | Self::Alone { .. } => None,
        }
    }
}
