//! Four-letter words: what a server tells of itself.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zk_session::client::ConnectString;

use crate::access::Access;

/// The most that an answer is read of: `wchp` of a large ensemble has no end.
const MOST: u64 = 16 << 20;

/// The servers of a connection string, as `name:port`.
pub(crate) fn hosts(servers: &str) -> Vec<String> {
    ConnectString::parse(servers)
        .map(|parsed| parsed.hosts().map(|host| host.to_string()).collect())
        .unwrap_or_default()
}

/// Asks a server one word on a connection of its own.
pub(crate) async fn ask(
    access: &Access,
    host: &str,
    word: &str,
    patience: Duration,
) -> io::Result<String> {
    let asked = async {
        let mut stream = access.connect(host).await?;
        stream.write_all(word.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        match (&mut stream).take(MOST).read_to_end(&mut answer).await {
            // TLS minds how a stream ends; an answer that is there is one.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            read => drop(read?),
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
    }
}

/// Whether the answer is that the server does not answer this word.
pub(crate) fn is_refusal(answer: &str) -> bool {
    answer.contains("is not executed because it is not in the whitelist")
}
