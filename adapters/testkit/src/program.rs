//! A client program in another language: compiled once, and in dialogue with the test that runs it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::{cache_dir, cache_lock, remove_dir};
use crate::error::while_doing;
use crate::node::{INSTALL_ZOOKEEPER, JVM, classpath};
use crate::reaper::Reaper;
use crate::run::{Output, collect, finish, not_started, run, signal, wait};
use crate::temp_dir::TempDir;

const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);
const C_HEADER: &str = "/usr/include/zookeeper/zookeeper.h";
const INSTALL_C_CLIENT: &str = "on Debian: apt-get install gcc libc6-dev libzookeeper-mt-dev";
/// Eclipse's compiler runs on the Java that Debian's ZooKeeper brings; javac would need a JDK.
const INSTALL_ECJ: &str = "on Debian: apt-get install ecj";

/// A client program that is ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    command: Vec<OsString>,
    missing: &'static str,
}

impl Program {
    pub(crate) fn new<const N: usize>(command: [&OsStr; N], missing: &'static str) -> Self {
        Self { command: command.map(OsStr::to_owned).into(), missing }
    }

    /// Compiles a Java source file whose public class is named like the file, against Debian's
    /// ZooKeeper client.
    ///
    /// The classes lie in cargo's target directory and are kept until the source changes.
    ///
    /// # Errors
    /// The source cannot be read, ZooKeeper or the compiler (`ecj`) is not installed, or the
    /// compiler refuses; then with what it says.
    pub fn java(source: &Path) -> io::Result<Self> {
        let jars = classpath()?;
        let classes = compiled(source, |out| {
            let mut ecj = Command::new("ecj");
            ecj.args(["-11", "-proc:none", "-cp", &jars, "-d"]).arg(out).arg(source);
            run(&mut ecj, "", COMPILE_TIMEOUT, INSTALL_ECJ)?.success().map(drop)
        })?;
        let mut path = classes.into_os_string();
        path.push(":");
        path.push(jars);
        let main = source.file_stem().unwrap_or_default();
        let mut command: Vec<OsString> = vec!["java".into()];
        command.extend(JVM.map(OsString::from));
        command.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into());
        command.extend(["-cp".into(), path, main.to_owned()]);
        Ok(Self { command, missing: INSTALL_ZOOKEEPER })
    }

    /// Compiles a C source file against Debian's multi-threaded ZooKeeper client; warnings are
    /// errors.
    ///
    /// The program lies in cargo's target directory and is kept until the source changes.
    ///
    /// # Errors
    /// The source cannot be read, the compiler (`cc`) or the client is not installed, or the
    /// compiler refuses; then with what it says.
    pub fn c(source: &Path) -> io::Result<Self> {
        if !Path::new(C_HEADER).exists() {
            let message = format!("there is no {C_HEADER}; {INSTALL_C_CLIENT}");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let dir = compiled(source, |out| {
            let mut cc = Command::new("cc");
            cc.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-DTHREADED"]);
            cc.arg("-pthread").arg("-o").arg(out.join("program")).arg(source).arg("-lzookeeper_mt");
            run(&mut cc, "", COMPILE_TIMEOUT, INSTALL_C_CLIENT)?.success().map(drop)
        })?;
        Ok(Self::new([dir.join("program").as_os_str()], INSTALL_C_CLIENT))
    }

    /// Runs the program in a directory and a process group of its own until it has ended.
    ///
    /// `answer` is told each line that it writes to its standard output, and what it returns goes to
    /// the program's standard input as one line. When the time is up, `answer` panics or the test
    /// process is killed, the program is killed.
    ///
    /// How it ended is in the [`Output`]; see [`Output::success`].
    ///
    /// # Errors
    /// It cannot be started, or had to be killed; then with what it wrote so far.
    pub fn talk(
        &self,
        args: &[&str],
        timeout: Duration,
        mut answer: impl FnMut(&str) -> Option<String>,
    ) -> io::Result<Output> {
        let deadline = Instant::now() + timeout;
        let mut talk = self.start(args)?;
        let mut stdout = String::new();
        let in_time = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match talk.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            };
            stdout.push_str(&line);
            stdout.push('\n');
            if let (Some(mut told), Some(stdin)) = (answer(&line), talk.stdin.as_mut()) {
                told.push('\n');
                // A program that has ended hears nothing; how it ended is told below.
                let _ = stdin.write_all(told.as_bytes());
            }
        };
        let ended = if in_time { wait(&mut talk.running.child, deadline) } else { Ok(None) };
        talk.running.kill();
        let status = talk.running.child.wait();
        let stderr = finish(talk.stderr.take());
        let output =
            Output { status: status.map_err(while_doing(&talk.running.name))?, stdout, stderr };
        match ended? {
            Some(_) => Ok(output),
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "`{}` was killed, as it did not end within {timeout:?}: {output}",
                    talk.running.name
                ),
            )),
        }
    }

    fn start(&self, args: &[&str]) -> io::Result<Talk> {
        let dir = TempDir::new()?;
        let own = dir.path().join("program");
        fs::create_dir(&own).map_err(while_doing("cannot create a program's directory"))?;
        let (name, first) = match self.command.split_first() {
            Some((name, first)) => (name, first),
            None => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        let mut command = Command::new(name);
        command.args(first).args(args).current_dir(&own).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = name.display().to_string();
        let child = command.spawn().map_err(|error| not_started(&name, self.missing, error))?;
        let mut running = Running { child, name, _reaper: None, _dir: dir };
        running._reaper = Some(Reaper::watch(running.child.id(), &own)?);

        let (sender, lines) = channel();
        if let Some(stdout) = running.child.stdout.take() {
            thread::spawn(move || read_lines(stdout, |line| sender.send(line).is_ok()));
        }
        let stderr = running.child.stderr.take().map(collect);
        Ok(Talk { stdin: running.child.stdin.take(), lines, stderr, running })
    }
}

/// A program that runs, and both ways to it.
struct Talk {
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
    running: Running,
}

/// Kills its process group on drop.
struct Running {
    child: Child,
    name: String,
    _reaper: Option<Reaper>, // before the directory that both remove
    _dir: TempDir,
}

impl Running {
    /// Kills the program with its children, unless it has ended.
    fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = signal("KILL", -i64::from(self.child.id()));
            let _ = self.child.kill();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(pipe: impl Read, mut each: impl FnMut(String) -> bool) {
    let mut pipe = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while matches!(pipe.read_until(b'\n', &mut bytes), Ok(1..)) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if !each(line) {
            return;
        }
        bytes.clear();
    }
}

/// The directory that holds what `compile` makes of a source; made once for each content.
fn compiled(source: &Path, compile: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let content =
        fs::read(source).map_err(while_doing(format_args!("cannot read {}", source.display())))?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let stem = source.file_stem().unwrap_or_default().display();
    let cache = cache_dir()?;
    let _lock = cache_lock(&cache, &format!("{stem}.lock"))?;
    let done = cache.join(format!("{stem}-{:016x}", hasher.finish()));
    if !done.exists() {
        let made = done.with_extension("new");
        remove_dir(&made)?;
        fs::create_dir_all(&made)
            .map_err(while_doing(format_args!("cannot create {}", made.display())))?;
        let what = format!("cannot compile {}", source.display());
        compile(&made).map_err(while_doing(what))?;
        fs::rename(&made, &done).map_err(while_doing("cannot keep what was compiled"))?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Program {
        Program::new(["sh".as_ref(), "-c".as_ref(), script.as_ref(), "sh".as_ref()], "")
    }

    #[test]
    fn a_program_asks_and_is_answered() -> io::Result<()> {
        let program = shell("echo \"? $1\"; read -r told; echo \"ok $told\"; echo no >&2; exit 3");
        let mut heard = Vec::new();
        let output = program.talk(&["stop"], LONG, |line| {
            heard.push(line.to_owned());
            line.strip_prefix("? ").map(|request| format!("{request} done"))
        })?;
        assert_eq!(heard, ["? stop", "ok stop done"]);
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("? stop\nok stop done\n", "no\n")
        );
        assert_eq!(output.status.code(), Some(3));
        Ok(())
    }

    #[test]
    fn a_program_that_talks_on_is_killed_at_its_deadline() {
        let started = Instant::now();
        let program = shell("while :; do echo more; sleep 0.05; done");
        let error = program.talk(&[], Duration::from_millis(300), |_| None).map(drop);
        let error = error.expect_err("it cannot have ended");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("more"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_source_that_does_not_compile_shows_why() -> io::Result<()> {
        let dir = TempDir::new()?;
        for (name, make) in [
            ("Wrong.java", Program::java as fn(&Path) -> io::Result<Program>),
            ("wrong.c", Program::c),
        ] {
            let source = dir.path().join(name);
            fs::write(&source, "this is neither")?;
            let error = make(&source).map(drop).expect_err("it cannot compile");
            assert!(error.to_string().contains("neither"), "{error}");
        }
        Ok(())
    }
}
