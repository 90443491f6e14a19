//! All clients in turns, round after round.

use crate::args::Args;
use crate::child::{measure, patience};
use crate::count::{self, Counter};
use crate::drive::Job;
use crate::meter::{Budget, Figures};
use crate::peer::{Name, Result};
use crate::server::{Kind, Server};
use crate::table;
use crate::work::Work;

/// One row of one server, measured.
pub(crate) struct Measured {
    pub(crate) server: Kind,
    pub(crate) work: Work,
    pub(crate) peers: Vec<Client>,
}

/// One client's figures in a row.
pub(crate) struct Client {
    pub(crate) peer: Name,
    /// One a round; a client that has failed is not asked again.
    pub(crate) rounds: Vec<Result<Figures>>,
    /// System calls an operation.
    pub(crate) calls: Option<f64>,
}

/// Compares, and prints the table.
pub(crate) fn compare(args: &Args) -> Result {
    let counter = Counter::find();
    let mut measured = Vec::new();
    for kind in &args.servers {
        let server = match Server::start(*kind) {
            Ok(server) => server,
            Err(error) if *kind == Kind::Real && !args.servers_are_chosen => {
                eprintln!("no ZooKeeper here, so none is measured: {error}");
                continue;
            }
            Err(error) => return Err(format!("{}: {error}", kind.name())),
        };
        for work in &args.rows {
            if *kind == Kind::Canned || work.runs_anywhere() {
                measured.push(row(args, &server, *kind, *work, counter.as_ref()));
            }
        }
    }
    table::print(&measured, args);
    Ok(())
}

fn row(
    args: &Args,
    server: &Server,
    kind: Kind,
    work: Work,
    counter: Option<&Counter>,
) -> Measured {
    eprintln!("{}, {} server", work.title(), kind.name());
    let job =
        Job { addr: server.addr, work, budget: Budget::Time(args.time), threads: args.threads };
    let client = |peer: &Name| Client { peer: *peer, rounds: Vec::new(), calls: None };
    let mut peers: Vec<_> = args.peers.iter().map(client).collect();
    for _ in 0..args.rounds {
        for client in &mut peers {
            if client.rounds.iter().all(Result::is_ok) {
                client.rounds.push(measure(client.peer, &job, patience(&job, args.time)));
            }
        }
    }
    if let Some(counter) = counter.filter(|_| kind == Kind::Canned && !work.is_idle()) {
        for client in peers.iter_mut().filter(|client| client.rounds.iter().all(Result::is_ok)) {
            let calls = count::difference(client.peer, &job, |words, patience| {
                counter.system_calls(words, patience)
            });
            match calls {
                Ok(calls) => client.calls = Some(calls),
                Err(error) => eprintln!("  {}: {error}", client.peer.word()),
            }
        }
    }
    Measured { server: kind, work, peers }
}
