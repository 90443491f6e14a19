//! Foreign programs: run with a deadline, and signalled by name.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::while_doing;

const POLL: Duration = Duration::from_millis(10);

/// What a program wrote, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended; its own matter, so not an error of the run.
    pub status: ExitStatus,
    /// All of its standard output; bytes that are not UTF-8 replaced.
    pub stdout: String,
    /// All of its standard error; bytes that are not UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Turns an exit status other than 0 into an error that shows both outputs.
    ///
    /// # Errors
    /// The program did not end with 0.
    pub fn success(self) -> io::Result<Self> {
        if self.status.success() { Ok(self) } else { Err(io::Error::other(self.to_string())) }
    }
}

impl Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

/// Runs a program in a process group of its own, feeds it `input`, and kills the whole group at the
/// deadline.
///
/// `missing` is told when there is no such program: it names what to install.
pub(crate) fn run(
    command: &mut Command,
    input: &str,
    timeout: Duration,
    missing: &str,
) -> io::Result<Output> {
    let name = command.get_program().display().to_string();
    let deadline = Instant::now() + timeout;
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        piped.process_group(0).spawn().map_err(|error| not_started(&name, missing, error))?;

    let writer = child.stdin.take().map(|mut pipe| {
        let input = input.to_owned();
        // A program need not read all its input: an error here is its own matter.
        thread::spawn(move || drop(pipe.write_all(input.as_bytes())))
    });
    let (stdout, stderr) = (child.stdout.take().map(collect), child.stderr.take().map(collect));

    let ended = wait(&mut child, deadline);
    if !matches!(ended, Ok(Some(_))) {
        let _ = signal("KILL", -i64::from(child.id()));
        let _ = child.kill();
    }
    let status = child.wait();
    let (stdout, stderr) = (finish(stdout), finish(stderr));
    let _ = writer.map(JoinHandle::join);

    let output = Output { status: status.map_err(while_doing(&name))?, stdout, stderr };
    match ended {
        Ok(Some(_)) => Ok(output),
        Ok(None) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("`{name}` was killed, as it did not end within {timeout:?}: {output}"),
        )),
        Err(error) => Err(while_doing(format_args!("cannot wait for `{name}`"))(error)),
    }
}

/// The error of a program that cannot be started, with what to install if it is not there at all.
pub(crate) fn not_started(name: &str, missing: &str, error: io::Error) -> io::Error {
    let hint = if error.kind() == io::ErrorKind::NotFound { missing } else { "" };
    while_doing(format_args!(
        "cannot start `{name}`{}{hint}",
        if hint.is_empty() { "" } else { "; " }
    ))(error)
}

/// Sends a signal by its name, without `SIG`, to a process, or to a process group when the id is
/// negative.
///
/// The shell's own `kill` does it: a small Debian has no program of that name.
pub(crate) fn signal(name: &str, id: i64) -> io::Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", name]).arg(id.to_string());
    let output = shell.stdin(Stdio::null()).output().map_err(while_doing("cannot start `sh`"))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("cannot send SIG{name} to process {id}: {}", reason.trim())))
}

pub(crate) fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
}

pub(crate) fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes); // what came before an error is worth showing
        bytes
    })
}

pub(crate) fn finish(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_fed_and_heard() -> io::Result<()> {
        let mut shell = Command::new("sh");
        let output = run(
            shell.args(["-c", "cat; echo no >&2; exit 3"]),
            "yes",
            Duration::from_secs(10),
            "",
        )?;
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("yes", "no\n"));
        assert_eq!(output.status.code(), Some(3));
        assert!(output.success().is_err());
        Ok(())
    }

    #[test]
    fn at_the_deadline_a_program_dies_with_its_children() {
        let started = Instant::now();
        let mut shell = Command::new("sh");
        let result = run(
            shell.args(["-c", "echo early; sleep 50; true"]),
            "",
            Duration::from_millis(200),
            "",
        );
        let error = result.map(|_| ()).expect_err("it cannot have ended");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("early"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let result = run(
            &mut Command::new("no-such-program"),
            "",
            Duration::from_secs(1),
            "apt-get install it",
        );
        let error = result.map(|_| ()).expect_err("there is no such program");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("apt-get install it"), "{error}");
    }
}
