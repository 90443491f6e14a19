//! Standard input, read beside whatever else is waited for.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::mpsc;
use std::thread;

use rustyline::DefaultEditor;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// All of standard input.
///
/// It is read on a thread of its own, which ends with the process: a read cannot be called off, and
/// Ctrl-C must end the command nevertheless.
pub(crate) async fn all() -> Result<Vec<u8>, Failure> {
    let (give, bytes) = oneshot::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes);
        let _ = give.send(read); // nobody waits for it any more
    });
    let read = bytes.await.unwrap_or_else(|_| Err(io::Error::other("the thread has ended")));
    read.map_err(|error| Failure::io("cannot read standard input", error))
}

/// Lines of standard input, each read after the one before is done.
pub(crate) struct Lines {
    lines: tokio::sync::mpsc::Receiver<io::Result<String>>,
    /// Has the next one read.
    next: mpsc::Sender<()>,
    /// Whether a person types them.
    pub(crate) typed: bool,
}

impl Lines {
    /// Begins to read; a person sees the prompt.
    pub(crate) fn start(prompt: &'static str) -> Self {
        let typed = io::stdin().is_terminal();
        let (give, lines) = tokio::sync::mpsc::channel(1);
        let (next, wanted) = mpsc::channel();
        let mut give = move |line| give.blocking_send(line).is_ok() && wanted.recv().is_ok();
        thread::spawn(move || match typed {
            true => from_terminal(prompt, &mut give),
            false => from_pipe(&mut give),
        });
        Self { lines, next, typed }
    }

    /// The next line; none if there are no more. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        match self.lines.recv().await.transpose() {
            Ok(line) => Ok(line),
            Err(error) => Err(Failure::io("cannot read standard input", error)),
        }
    }

    /// The last line is done.
    pub(crate) fn done(&self) {
        let _ = self.next.send(()); // there may be no more
    }
}

fn from_pipe(give: &mut dyn FnMut(io::Result<String>) -> bool) {
    for line in io::stdin().lock().lines() {
        let failed = line.is_err();
        if !give(line) || failed {
            return;
        }
    }
}

fn from_terminal(prompt: &str, give: &mut dyn FnMut(io::Result<String>) -> bool) {
    let Ok(mut editor) = DefaultEditor::new() else { return from_pipe(give) };
    while let Ok(line) = editor.readline(prompt) {
        let _ = editor.add_history_entry(line.as_str()); // it is only convenience
        if !give(Ok(line)) {
            return;
        }
    }
}
