//! `zks`: ZooKeeper on the command line; see `--help` and `docs/zks.md`.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "documentation of arguments is the help: [X] there is what may be left out"
)]

mod access;
mod args;
mod auth;
mod bench;
mod commands;
mod exit;
mod failure;
mod input;
mod interrupt;
mod output;
mod serve;
mod shell;
mod ticket;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod top;
mod words;
mod zk;

use std::env;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use crate::args::{Cli, Command, Settings, ZnodeCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Out, complain};
use crate::zk::Zk;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            if exit == Exit::Usage && env::args_os().any(|argument| argument == "--json") {
                complain(&Failure::unclear(&error), true, Colour::Never);
            } else {
                let _ = error.print(); // nobody is left to tell it
            }
            return ExitCode::from(exit.code());
        }
    };
    let (json, colour) = (cli.settings.json, cli.settings.color);
    let mut out = Out::new(json, colour);
    let done = run(&cli, &mut out);
    let done = done.and_then(|exit| out.flush().map(|()| exit));
    let exit = match done {
        Ok(exit) => exit,
        Err(failure) => {
            // What was found before comes first.
            let _ = out.flush();
            complain(&failure, json, colour);
            failure.exit()
        }
    };
    // Destructors flush, too, into a pipe that may have been closed.
    std::mem::forget(out);
    ExitCode::from(exit.code())
}

fn run(cli: &Cli, out: &mut Out) -> Result<Exit, Failure> {
    let settings = &cli.settings;
    // The session has a thread of its own: it lives on while a command waits for a file or a person.
    let start = || {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().map_err(no_runtime)?;
        interrupt::listen(&runtime);
        Ok::<_, Failure>(runtime)
    };
    let shell = commands::Shell::default();
    match &cli.command {
        Some(Command::Completions(it)) => it.run(out),
        Some(Command::Man(it)) => it.run(out),
        Some(Command::Demo(it)) => it.run(settings, out),
        None => return shell.run(&start()?, settings, out),
        Some(Command::Shell(it)) => return it.run(&start()?, settings, out),
        Some(Command::Top(it)) => it.run(&start()?, settings, out),
        Some(Command::Serve(it)) => start()?.block_on(it.run(settings, out)),
        Some(Command::Session(it)) => start()?.block_on(it.run(settings, out)),
        Some(Command::Bench(it)) => {
            let runtime = it.runtime().map_err(no_runtime)?;
            interrupt::listen(&runtime);
            runtime.block_on(it.run(settings, out))
        }
        Some(Command::Word(it)) => start()?.block_on(it.run(settings, out)),
        Some(Command::Znode(it)) => start()?.block_on(on_a_session(it, settings, out)),
    }?;
    Ok(Exit::Done)
}

fn no_runtime(error: std::io::Error) -> Failure {
    Failure::io("cannot start", error)
}

/// A session, a command, and the end of the session: what becomes of it decides nothing any more.
async fn on_a_session(
    command: &ZnodeCommand,
    settings: &Settings,
    out: &mut Out,
) -> Result<(), Failure> {
    let zk = Zk::connect(settings).await?;
    let done = tokio::select! {
        done = command.run(&zk, out) => done,
        () = interrupt::signal() => Err(Failure::Interrupted),
    };
    let ended = zk.end().await;
    done.and(ended)
}
