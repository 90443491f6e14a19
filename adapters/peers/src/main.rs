//! ZooKeeper clients side by side, on the same servers, in one run: what an operation costs the
//! client in CPU time, system calls and instructions, and how that compares with a hand-written
//! socket loop, the floor.
//!
//! ```sh
//! cargo run --release --manifest-path adapters/peers/Cargo.toml -- --help
//! ```

mod args;
mod child;
mod count;
mod drive;
mod meter;
mod peer;
mod rounds;
mod server;
mod table;
mod work;

use std::process::ExitCode;

use args::{Args, Command};

fn main() -> ExitCode {
    let command = match Args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(wrong) => {
            eprintln!("{wrong}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => {
            println!("{}", args::USAGE);
            Ok(())
        }
        Command::Serve(kind) => server::serve(&kind).map_err(|error| error.to_string()),
        Command::Child { peer, job } => child::play(peer, &job),
        Command::Compare(args) => rounds::compare(&args),
        Command::Instructions(args) => count::instructions(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
