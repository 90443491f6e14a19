//! One measurement in a process of its own, so that CPU time and memory are the client's alone, and
//! a client that hangs or crashes takes nothing else with it.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::args::child_arguments;
use crate::drive::Job;
use crate::meter::Figures;
use crate::peer::{Name, Result};
use crate::work::Work;

/// The C client's program; compiled once.
static C_PROGRAM: OnceLock<Result<PathBuf>> = OnceLock::new();

/// The client's side of it: runs the row and prints the figures, or why there are none.
pub(crate) fn play(peer: Name, job: &Job) -> Result {
    match peer.run(job) {
        Ok(figures) => println!("{}", figures.to_line()),
        Err(error) => println!("error: {error}"),
    }
    // Thousands of sessions need not be taken down in order.
    std::process::exit(0)
}

/// The command that plays a row.
pub(crate) fn command(peer: Name, job: &Job) -> Result<Vec<String>> {
    let program = match peer {
        Name::C => C_PROGRAM.get_or_init(compile).clone()?,
        _ => std::env::current_exe().map_err(|error| error.to_string())?,
    };
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(child_arguments(peer, job));
    Ok(words)
}

/// Runs a client's process to its end, or kills it when it takes too long.
pub(crate) fn measure(peer: Name, job: &Job, patience: Duration) -> Result<Figures> {
    let (said, _) = run(&command(peer, job)?, patience)?;
    Figures::from_line(&said).ok_or(said)
}

/// How long a row may take before its client is given up.
pub(crate) fn patience(job: &Job, time: Duration) -> Duration {
    let sessions = if let Work::Idle { sessions } = job.work { sessions } else { 0 };
    time * 3 + Duration::from_secs(10) + Duration::from_millis(3 * sessions as u64)
}

/// The last line that a program prints, and all it says on its standard error.
pub(crate) fn run(words: &[String], patience: Duration) -> Result<(String, String)> {
    let (program, arguments) = words.split_first().ok_or("there is nothing to run")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let said = gather(child.stdout.take());
    let wrong = gather(child.stderr.take());
    let Ok(said) = said.recv_timeout(patience) else {
        stop(&mut child);
        return Err(format!("hangs: nothing within {} s", patience.as_secs()));
    };
    stop(&mut child);
    let wrong = wrong.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    match said.lines().last() {
        Some(line) => match line.strip_prefix("error: ") {
            Some(error) => Err(error.to_owned()),
            None => Ok((line.to_owned(), wrong)),
        },
        None => {
            let panicked = wrong.lines().find(|line| line.contains("panicked"));
            let reason = panicked.or(wrong.lines().last()).unwrap_or("it says nothing");
            Err(format!("crashes: {reason}"))
        }
    }
}

/// Ends a process that has closed its output or is given up.
fn stop(child: &mut Child) {
    for _ in 0..100 {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    // It may end meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

fn gather(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stream) = stream {
            // Whatever came before an error is as much as there is.
            let _ = stream.read_to_string(&mut text);
        }
        let _ = sender.send(text);
    });
    receiver
}

/// Compiles the C client's program beside this one.
fn compile() -> Result<PathBuf> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = here.with_file_name("zk-session-peers-c");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/c/peer.c");
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-DTHREADED", "-o"])
        .arg(&program)
        .args([source, "-lzookeeper_mt", "-lpthread"])
        .output()
        .map_err(|error| format!("cc: {error}"))?;
    if output.status.success() {
        Ok(program)
    } else {
        Err("does not compile; apt-get install libzookeeper-mt-dev".to_owned())
    }
}
