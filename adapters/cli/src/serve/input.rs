//! The lines that are typed or piped in.

use std::io::{self, BufRead, IsTerminal};
use std::sync::mpsc;
use std::thread;

use rustyline::DefaultEditor;

/// Lines of standard input, each read after the one before is done.
pub(super) struct Input {
    lines: tokio::sync::mpsc::Receiver<String>,
    /// Has the next one read.
    next: mpsc::Sender<()>,
    typed: bool,
    /// There are no more.
    over: bool,
}

impl Input {
    /// Begins to read, on a thread of its own: reading cannot be waited for in any other way, and
    /// the thread ends with the process.
    pub(super) fn start() -> Self {
        let typed = io::stdin().is_terminal();
        let (give, lines) = tokio::sync::mpsc::channel(1);
        let (next, wanted) = mpsc::channel();
        let mut give = move |line| give.blocking_send(line).is_ok() && wanted.recv().is_ok();
        thread::spawn(move || match typed {
            true => from_terminal(&mut give),
            false => from_pipe(&mut give),
        });
        Self { lines, next, typed, over: false }
    }

    /// The next line; none if the one who types has no more. What is piped may end without that
    /// meaning anything.
    pub(super) async fn next(&mut self) -> Option<String> {
        if !self.over {
            if let Some(line) = self.lines.recv().await {
                return Some(line);
            }
            self.over = true;
        }
        if self.typed { None } else { std::future::pending().await }
    }

    /// The last line is done.
    pub(super) fn done(&self) {
        let _ = self.next.send(()); // there may be no more
    }
}

fn from_pipe(give: &mut dyn FnMut(String) -> bool) {
    for line in io::stdin().lock().lines() {
        // Bytes that are no text are no fault; the end of all input is near.
        let Ok(line) = line else { return };
        if !give(line) {
            return;
        }
    }
}

fn from_terminal(give: &mut dyn FnMut(String) -> bool) {
    let Ok(mut editor) = DefaultEditor::new() else { return from_pipe(give) };
    while let Ok(line) = editor.readline("serve> ") {
        let _ = editor.add_history_entry(line.as_str()); // it is only convenience
        if !give(line) {
            return;
        }
    }
}
