//! `shell`: the same commands on one session.

mod helper;
mod line;

use std::cell::RefCell;
use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use rustyline::config::Config;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Editor, ExternalPrinter};
use tokio::runtime::Runtime;
use zk_session::client::KeeperState;

use crate::args::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt;
use crate::output::{Out, complain};
use crate::zk::Zk;

use helper::PathHelper;
use line::{Line, Unclear, is_about_secrets, parse};

/// A shell: the same commands on one session, with history and completion of paths
///
/// Lines that are piped in are done one after the other. The exit code is that of the first one that
/// failed.
#[derive(Args, Debug, Default)]
pub(crate) struct Shell {
    /// End with the first line that fails
    #[arg(short = 'e', long)]
    stop_on_error: bool,
}

/// The session of the shell; none after its end.
type Shared = Rc<RefCell<Option<Rc<Zk>>>>;

/// What a line leads to.
enum After {
    Next,
    Quit,
}

impl Shell {
    pub(crate) fn run(
        &self,
        runtime: &Runtime,
        settings: &Settings,
        out: &mut Out,
    ) -> Result<Exit, Failure> {
        let first = runtime.block_on(Zk::connect(settings))?;
        let typed = io::stdin().is_terminal();
        let mut lines = Lines {
            typed,
            stop_on_error: self.stop_on_error,
            zk: Rc::new(RefCell::new(Some(Rc::new(first)))),
            runtime,
            settings,
            first_failure: Exit::Done,
        };
        let done = match typed {
            true => lines.edited(out),
            false => lines.piped(out),
        };
        if let Some(zk) = lines.zk.take().and_then(Rc::into_inner) {
            runtime.block_on(zk.end())?;
        }
        done.map(|()| lines.first_failure)
    }
}

/// The lines, one after the other.
struct Lines<'a> {
    /// Whether a person types them.
    typed: bool,
    stop_on_error: bool,
    zk: Shared,
    runtime: &'a Runtime,
    settings: &'a Settings,
    first_failure: Exit,
}

impl Lines<'_> {
    fn piped(&mut self, out: &mut Out) -> Result<(), Failure> {
        let mut input = input::Lines::start("");
        loop {
            let next = self.runtime.block_on(async {
                tokio::select! {
                    line = input.next() => line,
                    () = interrupt::signal() => Err(Failure::Interrupted),
                }
            });
            let Some(line) = next? else { return Ok(()) };
            if let After::Quit = self.line(&line, out)? {
                return Ok(());
            }
            input.done();
        }
    }

    fn edited(&mut self, out: &mut Out) -> Result<(), Failure> {
        let config = Config::builder()
            .history_ignore_space(true)
            .auto_add_history(false)
            .completion_type(rustyline::CompletionType::List)
            .build();
        let failed = |error| Failure::io("cannot use the terminal", io::Error::other(error));
        let mut editor: Editor<PathHelper, FileHistory> =
            Editor::with_config(config).map_err(failed)?;
        let handle = self.runtime.handle().clone();
        editor.set_helper(Some(PathHelper::new(self.zk.clone(), handle)));
        let history = history_file();
        if let Some(file) = &history {
            let _ = editor.load_history(file); // there may be none yet
        }
        if let (Ok(printer), Some(zk)) = (editor.create_external_printer(), &*self.zk.borrow()) {
            self.tell_transitions(zk, printer);
        }
        let prompt = format!("zks {}> ", short(&self.settings.servers));
        let done = loop {
            match editor.readline(&prompt) {
                Ok(line) => {
                    if !is_about_secrets(&line) {
                        let _ = editor.add_history_entry(line.as_str()); // it is only convenience
                    }
                    match self.line(&line, out) {
                        Ok(After::Next) => {}
                        Ok(After::Quit) => break Ok(()),
                        Err(failure) => break Err(failure),
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break Ok(()),
                Err(error) => break Err(failed(error)),
            }
        };
        // Mistakes of the one who types are no failure of the shell.
        self.first_failure = Exit::Done;
        if let Some(file) = &history {
            let made = file.parent().map_or(Ok(()), fs::create_dir_all);
            let kept = made.map_err(ReadlineError::Io).and_then(|()| editor.save_history(file));
            if let Err(error) = kept {
                out.remark(&format!("cannot keep the history in {}: {error}", file.display()))?;
            }
        }
        done
    }

    /// Does a line. Only what ends the shell is an error.
    fn line(&mut self, line: &str, out: &mut Out) -> Result<After, Failure> {
        let failure = match parse(line) {
            Ok(None) => return Ok(After::Next),
            Ok(Some(Line::Quit)) => return Ok(After::Quit),
            Ok(Some(line)) => match self.command(&line, out) {
                Ok(()) => return Ok(After::Next),
                Err(Failure::Unheard) => return Err(Failure::Unheard),
                // Of a script it ends all; at a prompt only what runs.
                Err(Failure::Interrupted) if !self.typed => return Err(Failure::Interrupted),
                Err(failure) => failure,
            },
            Err(Unclear::Help(text)) => {
                out.remark(text.trim_end())?;
                out.flush()?;
                return Ok(After::Next);
            }
            Err(Unclear::Wrong(failure)) => failure,
        };
        out.flush()?;
        if self.stop_on_error {
            return Err(failure);
        }
        complain(&failure, self.settings.json, self.settings.color);
        if self.first_failure == Exit::Done {
            self.first_failure = failure.exit();
        }
        Ok(After::Next)
    }

    fn command(&self, line: &Line, out: &mut Out) -> Result<(), Failure> {
        self.runtime.block_on(async {
            tokio::select! {
                done = self.on_the_session(line, out) => done,
                () = interrupt::signal() => Err(Failure::Interrupted),
            }
        })
    }

    /// The session may have ended while nobody typed: then there is a new one, and a word about it.
    async fn on_the_session(&self, line: &Line, out: &mut Out) -> Result<(), Failure> {
        let now = self.zk.borrow().clone();
        let zk = match now.filter(|zk| !zk.client().state().is_final()) {
            Some(zk) => zk,
            None => {
                let zk = Rc::new(Zk::connect(self.settings).await?);
                let id = zk.client().session_id();
                let what = format!("the session was over; this is done in a new one, {id}");
                let told = Failure::other(what, Exit::Expired);
                complain(&told, self.settings.json, self.settings.color);
                *self.zk.borrow_mut() = Some(zk.clone());
                zk
            }
        };
        line.run(&zk, out).await?;
        out.flush()
    }

    /// Tells what happens to the session while a line is being typed.
    fn tell_transitions(&self, zk: &Zk, mut printer: impl ExternalPrinter + Send + 'static) {
        let mut transitions = zk.client().transitions();
        self.runtime.spawn(async move {
            while let Some(change) = transitions.next().await {
                if change.state == KeeperState::Closed {
                    return; // who typed quit knows
                }
                let line = format!("{:?}: {}\n", change.state, change.cause);
                if printer.print(line).is_err() {
                    return;
                }
            }
        });
    }
}

/// The servers as a prompt shows them: of many the first, and how many more.
fn short(servers: &str) -> String {
    let (hosts, chroot) = servers.find('/').map_or((servers, ""), |at| servers.split_at(at));
    match hosts.split_once(',') {
        Some((first, others)) => format!("{first}+{}{chroot}", others.split(',').count()),
        None => servers.to_owned(),
    }
}

/// Where the history is kept: ZKS_HISTORY, or the user's directory for such things.
fn history_file() -> Option<PathBuf> {
    if let Some(file) = env::var_os("ZKS_HISTORY") {
        return (!file.is_empty()).then(|| file.into());
    }
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| Some(env::home_dir()?.join(".local").join("state")))?;
    Some(state.join("zks").join("history"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prompt_has_room_for_one_server() {
        assert_eq!(super::short("h"), "h");
        assert_eq!(super::short("h:1/app"), "h:1/app");
        assert_eq!(super::short("h:1,i:2,j:3"), "h:1+2");
        assert_eq!(super::short("h:1,i:2/app/a"), "h:1+1/app/a");
    }
}
