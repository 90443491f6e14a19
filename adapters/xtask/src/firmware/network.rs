//! The board and its network alone.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::qemu::Qemu;

const PATIENCE: Duration = Duration::from_secs(30);

/// The baseline's bytes come back from an echo server on the host, and it says so.
pub(crate) fn baseline(program: &Path, verbose: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = [0; 256];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                if bytes.get(..n).is_none_or(|bytes| stream.write_all(bytes).is_err()) {
                    break;
                }
            }
        }
    });
    let mut qemu = Qemu::builder(program).argument("connect", port).verbose(verbose).start()?;
    let status = qemu.wait(PATIENCE)?;
    ensure!(status.code() == Some(0), "the baseline ended with {status}\n{}", qemu.log());
    println!("firmware: the baseline talks to its host");
    Ok(())
}
