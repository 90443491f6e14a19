//! A sample, drawn.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row, Table};

use super::parse::Connection;
use super::sample::{Sample, Server};
use crate::output::printable;

/// How many connections a frame has that is printed.
const PRINTED: usize = 50;

/// What is told of each server.
const HEADS: [&str; 10] = [
    "server",
    "mode",
    "ms min/avg/max",
    "req/s",
    "conns",
    "queued",
    "watches",
    "znodes",
    "zxid",
    "note",
];

/// A sample, to be drawn.
pub(super) struct View<'a>(pub(super) &'a Sample);

impl View<'_> {
    /// The rows that the whole of it takes, within reason.
    pub(super) fn rows(&self) -> u16 {
        let all = self.0.servers.len() + self.clients().len().min(PRINTED);
        // Two frames and their headings, and the line above.
        u16::try_from(all + 7).unwrap_or(u16::MAX)
    }

    /// All connections of sessions, the busiest first, each with its server.
    fn clients(&self) -> Vec<(&str, &Connection)> {
        let mut all: Vec<(&str, &Connection)> = Vec::new();
        for server in &self.0.servers {
            // Those without a session are our own and others that ask four-letter words.
            let clients = server.clients.iter().filter(|client| client.session.is_some());
            all.extend(clients.map(|client| (server.host.as_str(), client)));
        }
        all.sort_by(|(_, one), (_, other)| other.received.total_cmp(&one.received));
        all
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let servers = u16::try_from(self.0.servers.len()).unwrap_or(u16::MAX).saturating_add(3);
        let [head, upper, lower] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(servers),
            Constraint::Min(3),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.servers(), upper);
        frame.render_widget(self.connections(), lower);
    }

    /// The ensemble in one line.
    fn head(&self) -> Line<'_> {
        let servers = &self.0.servers;
        let up = servers.iter().filter(|server| server.error.is_none()).count();
        let most = |of: fn(&Server) -> Option<f64>| {
            servers
                .iter()
                .filter_map(of)
                .fold(None, |most: Option<f64>, n| Some(most.map_or(n, |m| m.max(n))))
        };
        let sum = |of: fn(&Server) -> Option<f64>| {
            servers
                .iter()
                .filter_map(of)
                .fold(None, |sum: Option<f64>, n| Some(sum.unwrap_or(0.0) + n))
        };
        let version = servers.iter().find_map(|server| server.version.as_deref()).unwrap_or("?");
        Line::from(format!(
            "zks top  {up} of {} servers up, {version}, {} znodes, {} sessions, {} connections, {} watches, {} requests/s",
            servers.len(),
            whole(most(|server| server.znodes)),
            whole(most(|server| server.sessions)),
            whole(sum(|server| server.connections)),
            whole(sum(|server| server.watches)),
            whole(sum(|server| server.rate)),
        ))
        .bold()
    }

    fn servers(&self) -> Table<'_> {
        let rows = self.0.servers.iter().map(|server| {
            let host = printable(&server.host).into_owned();
            if let Some((error, _)) = &server.error {
                let mut cells = vec![String::new(); HEADS.len()];
                for (at, cell) in [(0, host), (1, "down".to_owned()), (9, error.clone())] {
                    if let Some(place) = cells.get_mut(at) {
                        *place = printable(&cell).into_owned();
                    }
                }
                return Row::new(cells).style(Style::new().fg(Color::Red));
            }
            let mode = server.mode.as_deref().unwrap_or("?");
            let style = match mode {
                "leader" | "standalone" => Style::new().fg(Color::Green),
                "read-only" => Style::new().fg(Color::Yellow),
                _ => Style::new(),
            };
            let latency = server.latency.map_or_else(
                || "-".to_owned(),
                |[min, avg, max]| format!("{min:.0}/{avg:.1}/{max:.0}"),
            );
            Row::new([
                host,
                printable(mode).into_owned(),
                latency,
                whole(server.rate),
                whole(server.connections),
                whole(server.outstanding),
                whole(server.watches),
                whole(server.znodes),
                server.zxid.clone().unwrap_or_else(|| "-".to_owned()),
                if server.refused.is_empty() {
                    String::new()
                } else {
                    format!("no {}", server.refused.join(" "))
                },
            ])
            .style(style)
        });
        let widths = [
            Constraint::Min(22),
            Constraint::Length(10),
            Constraint::Length(15),
            Constraint::Length(8),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(12),
            Constraint::Min(20),
        ];
        Table::new(rows, widths)
            .header(Row::new(HEADS).style(Style::new().dim()))
            .block(Block::bordered().title("servers"))
    }

    fn connections(&self) -> Table<'_> {
        let rows = self.clients().into_iter().map(|(host, client)| {
            Row::new([
                client.session.clone().unwrap_or_else(|| "-".to_owned()),
                printable(&client.client).into_owned(),
                printable(host).into_owned(),
                whole(client.timeout),
                whole(Some(client.received)),
                whole(Some(client.queued)),
                client.last.as_deref().map(printable).unwrap_or_default().into_owned(),
                whole(client.average),
                whole(client.most),
            ])
        });
        let heads = [
            "session", "client", "server", "timeout", "requests", "queued", "last", "avg ms",
            "max ms",
        ];
        let widths = [
            Constraint::Length(19),
            Constraint::Min(22),
            Constraint::Min(22),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
        ];
        Table::new(rows, widths)
            .header(Row::new(heads).style(Style::new().dim()))
            .block(Block::bordered().title("connections"))
    }
}

/// A number without its fraction.
fn whole(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.0}"))
}
