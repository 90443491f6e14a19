//! What all servers say at one time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::parse::{Connection, connections, number, value};
use crate::access::Access;
use crate::exit::Exit;
use crate::tls;
use crate::words::{ask, is_refusal};

/// What all servers say at one time.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    unix_millis: u64,
    pub(super) servers: Vec<Server>,
}

/// What one server says. What it does not say is none.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) host: String,
    /// Why it says nothing, and how the program ends if none says anything.
    pub(super) error: Option<(String, Exit)>,
    /// The words that its whitelist does not hold.
    pub(super) refused: Vec<&'static str>,
    pub(super) version: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) zxid: Option<String>,
    pub(super) latency: Option<[f64; 3]>,
    pub(super) connections: Option<f64>,
    pub(super) outstanding: Option<f64>,
    pub(super) received: Option<f64>,
    /// Requests a second since the sample before.
    pub(super) rate: Option<f64>,
    pub(super) znodes: Option<f64>,
    pub(super) watches: Option<f64>,
    pub(super) ephemerals: Option<f64>,
    pub(super) sessions: Option<f64>,
    pub(super) bytes: Option<f64>,
    pub(super) clients: Vec<Connection>,
}

impl Sample {
    /// Asks all servers at once.
    pub(super) async fn take(
        access: &Arc<Access>,
        hosts: &[String],
        patience: Duration,
        before: Option<&Self>,
    ) -> Self {
        let mut asked = Vec::new();
        for host in hosts {
            asked.push(tokio::spawn(Server::ask(access.clone(), host.clone(), patience)));
        }
        let mut servers = Vec::new();
        for (answer, host) in asked.into_iter().zip(hosts) {
            servers.push(answer.await.unwrap_or_else(|error| Server {
                host: host.clone(),
                error: Some((error.to_string(), Exit::Failed)),
                ..Server::default()
            }));
        }
        let at = Instant::now();
        for server in &mut servers {
            let past = before.and_then(|before| {
                let same = before.servers.iter().find(|other| other.host == server.host)?;
                Some((same.received?, at.duration_since(before.at).as_secs_f64()))
            });
            server.rate = past.zip(server.received).and_then(|((then, seconds), now)| {
                // Smaller: it was restarted.
                (now >= then && seconds > 0.0).then_some((now - then) / seconds)
            });
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_millis = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        Self { at, unix_millis, servers }
    }

    pub(super) fn json(&self) -> Value {
        let servers: Vec<Value> = self.servers.iter().map(Server::json).collect();
        json!({ "unix_ms": self.unix_millis, "servers": servers })
    }
}

impl Server {
    async fn ask(access: Arc<Access>, host: String, patience: Duration) -> Self {
        let mut server = Self { host, ..Self::default() };
        let words = tokio::join!(
            ask(&access, &server.host, "srvr", patience),
            ask(&access, &server.host, "mntr", patience),
            ask(&access, &server.host, "cons", patience),
            ask(&access, &server.host, "wchs", patience),
        );
        let srvr = match words.0 {
            Ok(answer) => server.answered("srvr", answer),
            Err(error) => {
                let exit = tls::exit(&error);
                let short = exit == Exit::NoConnection;
                let text = if short { error.kind().to_string() } else { error.to_string() };
                server.error = Some((text, exit));
                return server;
            }
        };
        let mut rest = |word, answer: std::io::Result<String>| {
            server.answered(word, answer.unwrap_or_default())
        };
        let (mntr, cons, wchs) =
            (rest("mntr", words.1), rest("cons", words.2), rest("wchs", words.3));
        if value(&srvr, "Mode").is_none() && !server.refused.contains(&"srvr") {
            // As a server without a quorum says.
            let said = srvr.lines().next().unwrap_or("it says nothing").to_owned();
            server.error = Some((said, Exit::NoConnection));
            return server;
        }
        server.read(&srvr, &mntr);
        server.clients = connections(&cons);
        let watches = wchs.lines().find_map(|line| line.strip_prefix("Total watches:"));
        let watches = watches.and_then(|count| count.trim().parse().ok());
        server.watches = watches.or(server.watches);
        server
    }

    /// The answer, or nothing with a note.
    fn answered(&mut self, word: &'static str, answer: String) -> String {
        if is_refusal(&answer) {
            self.refused.push(word);
            return String::new();
        }
        answer
    }

    fn read(&mut self, srvr: &str, mntr: &str) {
        let text = |answer, name| value(answer, name).map(str::to_owned);
        let both = |long, short| number(srvr, long).or_else(|| number(mntr, short));
        self.version = text(srvr, "Zookeeper version").or_else(|| text(mntr, "zk_version"));
        self.version = self
            .version
            .take()
            .map(|version| version.split([',', ' ']).next().unwrap_or_default().to_owned());
        self.mode = text(srvr, "Mode").or_else(|| text(mntr, "zk_server_state"));
        self.zxid = text(srvr, "Zxid");
        self.latency = value(srvr, "Latency min/avg/max").and_then(|three| {
            let numbers: Vec<f64> = three.split('/').filter_map(|n| n.parse().ok()).collect();
            numbers.try_into().ok()
        });
        self.connections = both("Connections", "zk_num_alive_connections");
        self.outstanding = both("Outstanding", "zk_outstanding_requests");
        self.received = both("Received", "zk_packets_received");
        self.znodes = both("Node count", "zk_znode_count");
        self.watches = number(mntr, "zk_watch_count");
        self.ephemerals = number(mntr, "zk_ephemerals_count");
        self.sessions = number(mntr, "zk_global_sessions");
        self.bytes = number(mntr, "zk_approximate_data_size");
    }

    fn json(&self) -> Value {
        let client = |connection: &Connection| {
            json!({
                "client": connection.client,
                "session": connection.session,
                "received": connection.received,
                "queued": connection.queued,
                "timeout_ms": connection.timeout,
                "last_operation": connection.last,
                "average_latency_ms": connection.average,
                "max_latency_ms": connection.most,
            })
        };
        let clients: Vec<Value> = self.clients.iter().map(client).collect();
        json!({
            "host": self.host,
            "error": self.error.as_ref().map(|(error, _)| error),
            "refused_words": self.refused,
            "version": self.version,
            "mode": self.mode,
            "zxid": self.zxid,
            "latency_ms": self.latency.map(|[min, avg, max]| json!({ "min": min, "avg": avg, "max": max })),
            "connections": self.connections,
            "outstanding": self.outstanding,
            "received": self.received,
            "requests_per_second": self.rate,
            "znodes": self.znodes,
            "watches": self.watches,
            "ephemerals": self.ephemerals,
            "sessions": self.sessions,
            "bytes": self.bytes,
            "clients": clients,
        })
    }
}
