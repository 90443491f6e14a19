//! What `Drop` cannot do: clear up after a test process that was killed, aborted, or kept its
//! ensemble in a `static`.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::while_doing;

/// Waits for the end of the pipe that only this process holds open, then kills and removes.
const SCRIPT: &str = r#"read -r line
kill -s KILL "$1" 2>/dev/null
rm -rf -- "$2"
rmdir -- "${2%/*}" 2>/dev/null"#;

/// A shell that outlives this process just long enough to kill another one and to remove its
/// directory.
///
/// Dropping it ends the shell without harm to either.
#[derive(Debug)]
pub(crate) struct Reaper {
    shell: Child,
}

impl Reaper {
    pub(crate) fn watch(process: u32, dir: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "zk-session-reaper"]).arg(process.to_string()).arg(dir);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.process_group(0); // not hit by the terminal's interrupt, it hears of our end
        Ok(Self { shell: shell.spawn().map_err(while_doing("cannot start `sh`"))? })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
