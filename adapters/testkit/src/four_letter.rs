//! ZooKeeper's four letter words, and the one answer read out of them here.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::while_doing;

const PATIENCE: Duration = Duration::from_secs(2);

/// What part a serving node plays, as the `Mode:` line of its answer to `srvr` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// It serves alone.
    Standalone,
    /// It leads a quorum.
    Leader,
    /// It follows a quorum's leader.
    Follower,
    /// It follows without a vote.
    Observer,
}

impl Mode {
    /// Finds the mode in an answer to `srvr` or `stat`; `None` while the node does not serve.
    pub(crate) fn find(answer: &str) -> Option<Self> {
        match answer.lines().find_map(|line| line.strip_prefix("Mode: "))?.trim() {
            "standalone" => Some(Self::Standalone),
            "leader" => Some(Self::Leader),
            "follower" => Some(Self::Follower),
            "observer" => Some(Self::Observer),
            _ => None,
        }
    }
}

/// Sends a four letter word (`srvr`, `mntr`, `cons`, `wchp`, …) to a server and returns its whole
/// answer.
///
/// Connecting and each wait for bytes take 2 seconds at most.
///
/// # Errors
/// The server refused, was silent for too long, or answered what is not UTF-8.
pub fn four_letter(addr: SocketAddr, word: &str) -> io::Result<String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(while_doing(format_args!("asking {addr} for `{word}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_read_from_its_line() {
        let answer = "Zookeeper version: 3.8.0\nMode: follower\nNode count: 5\n";
        assert_eq!(Mode::find(answer), Some(Mode::Follower));
        assert_eq!(Mode::find("This ZooKeeper instance is not currently serving requests\n"), None);
    }
}
