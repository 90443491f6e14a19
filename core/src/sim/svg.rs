//! A timeline as a picture.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::timeline::{Ending, Entry, Timeline, What, Who};
use crate::client::KeeperState;
use crate::time::{Duration, Instant};

const WIDTH: u64 = 1000;
const LEFT: u64 = 90;
const RIGHT: u64 = 20;
const TOP: u64 = 34;
const LANE: u64 = 30;
const BAR: u64 = 14;

/// What a stretch of a lane is painted like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    Nothing,
    Connected,
    ReadOnly,
    Away,
    Expired,
    Over,
    Runs,
    Down,
}

impl Paint {
    const fn class(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Connected => "connected",
            Self::ReadOnly => "readonly",
            Self::Away => "away",
            Self::Expired => "expired",
            Self::Over => "over",
            Self::Runs => "runs",
            Self::Down => "down",
        }
    }

    const fn of(state: KeeperState) -> Self {
        match state {
            KeeperState::SyncConnected => Self::Connected,
            KeeperState::ConnectedReadOnly => Self::ReadOnly,
            KeeperState::Disconnected => Self::Away,
            KeeperState::Expired => Self::Expired,
            KeeperState::Closed | KeeperState::AuthFailed => Self::Over,
        }
    }
}

const STYLE: &str = "text{font:12px sans-serif;fill:#333}.t{font-size:10px;fill:#777}\
.connected{fill:#58a55c}.readonly{fill:#a5c85c}.away{fill:#f0a030}.expired{fill:#d04040}\
.over{fill:#b0b0b0}.runs{fill:#8fb4dd}.down{fill:#e8e8e8;stroke:#bbb}.nothing{fill:#f2f2f2}\
.ping{stroke:#fff;stroke-width:1}.try{fill:#333}.fault{fill:#7030a0}.told{fill:#2060c0}\
.end{stroke:#d04040;stroke-width:1.5;stroke-dasharray:3 2}.grid{stroke:#ddd}";

impl Timeline {
    /// The timeline as an SVG document: a lane for each server and each client. Colours are states
    /// (green: connected, orange: disconnected, red: expired, grey: closed; blue: a server that
    /// runs), white ticks pings, dots attempts, violet marks faults, and red lines the expiry of
    /// sessions in the ensemble. Each mark says what it is when it is pointed at.
    pub fn svg(&self) -> String {
        let first = self.entries().next().map_or(Instant::ORIGIN, |entry| entry.at);
        let last = self.entries().next_back().map_or(first, |entry| entry.at);
        // Some room for what came of the last entry.
        let span = last.since(first).scaled(51, 50).max(Duration::from_millis(1));
        let scale = Scale { first, span };
        let servers = (0..self.servers()).map(Who::Server);
        let lanes: Vec<Who> = servers.chain((0..self.clients()).map(Who::Client)).collect();
        let height = lane_top(lanes.len()).saturating_add(30);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\">\
             <style>{STYLE}</style>\n"
        );
        scale.grid(lane_top(lanes.len()), &mut out);
        for (row, who) in lanes.iter().enumerate() {
            self.lane(*who, lane_top(row), &scale, &mut out);
        }
        for entry in self.of(Who::World) {
            let is_expiry = matches!(entry.what, What::Ended { how: Ending::Expired, .. });
            let x = scale.x(entry.at);
            if is_expiry {
                let (top, bottom) = (TOP, lane_top(lanes.len()));
                let line = format!(
                    "<line class=\"end\" x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\">"
                );
                titled(&mut out, &line, entry, "line");
            } else {
                let mark = format!("<circle class=\"fault\" cx=\"{x}\" cy=\"26\" r=\"3\">");
                titled(&mut out, &mark, entry, "circle");
            }
        }
        out.push_str("</svg>\n");
        out
    }

    fn lane(&self, who: Who, top: u64, scale: &Scale, out: &mut String) {
        let (name, mut paint) = match who {
            Who::Client(n) => (format!("client {n}"), Paint::Nothing),
            Who::Server(n) => (format!("server {n}"), Paint::Runs),
            Who::World => return,
        };
        let baseline = top.saturating_add(11);
        line(out, format_args!("<text x=\"8\" y=\"{baseline}\">{name}</text>"));
        let mut since = scale.first;
        for entry in self.of(who) {
            let next = match &entry.what {
                What::State { state, .. } => Paint::of(*state),
                What::Started => Paint::Runs,
                What::Stopped => Paint::Down,
                _ => continue,
            };
            scale.bar(since, entry.at, top, paint, out);
            (since, paint) = (entry.at, next);
        }
        scale.bar(since, scale.end(), top, paint, out);
        self.of(who).for_each(|entry| scale.mark(entry, top, out));
    }
}

/// Time across the picture.
struct Scale {
    first: Instant,
    span: Duration,
}

impl Scale {
    fn end(&self) -> Instant {
        self.first.after(self.span)
    }

    fn x(&self, at: Instant) -> u64 {
        let room = WIDTH.saturating_sub(LEFT).saturating_sub(RIGHT);
        let along = at.since(self.first).scaled(room, self.span.as_millis());
        LEFT.saturating_add(along.as_millis())
    }

    fn bar(&self, from: Instant, to: Instant, top: u64, paint: Paint, out: &mut String) {
        let (x, end, class) = (self.x(from), self.x(to), paint.class());
        let width = end.saturating_sub(x);
        if width > 0 {
            line(
                out,
                format_args!(
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{BAR}\"/>"
                ),
            );
        }
    }

    fn mark(&self, entry: &Entry, top: u64, out: &mut String) {
        let x = self.x(entry.at);
        let (below, above) = (top.saturating_add(BAR), top.saturating_sub(2));
        match &entry.what {
            What::Ping => {
                let (from, to) = (top.saturating_add(4), below.saturating_sub(4));
                line(
                    out,
                    format_args!(
                        "<line class=\"ping\" x1=\"{x}\" x2=\"{x}\" y1=\"{from}\" y2=\"{to}\"/>"
                    ),
                );
            }
            What::Attempt { .. } => {
                let y = below.saturating_add(4);
                let dot = format!("<circle class=\"try\" cx=\"{x}\" cy=\"{y}\" r=\"1.5\">");
                titled(out, &dot, entry, "circle");
            }
            What::Notified { .. } => {
                let dot = format!("<circle class=\"told\" cx=\"{x}\" cy=\"{above}\" r=\"2\">");
                titled(out, &dot, entry, "circle");
            }
            What::Step(_) | What::Said(_) => {
                let flag = format!("<path class=\"fault\" d=\"M{x} {top}l-4 -7h8z\">");
                titled(out, &flag, entry, "path");
            }
            What::State { .. } => {
                let hair = format!(
                    "<rect x=\"{x}\" y=\"{top}\" width=\"1\" height=\"{BAR}\" fill=\"#fff\">"
                );
                titled(out, &hair, entry, "rect");
            }
            _ => {}
        }
    }

    /// Six lines with the seconds since the beginning.
    fn grid(&self, bottom: u64, out: &mut String) {
        for n in 0..=5 {
            let at = self.first.after(self.span.scaled(n, 5));
            let (x, label) = (self.x(at), bottom.saturating_add(16));
            let tenths = at.since(self.first).as_millis().checked_div(100).unwrap_or(0);
            let (secs, tenth) = (tenths.checked_div(10), tenths.checked_rem(10));
            let (secs, tenth) = (secs.unwrap_or(0), tenth.unwrap_or(0));
            line(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"t\" x=\"{x}\" y=\"{label}\" text-anchor=\"middle\">{secs}.{tenth} s</text>"
                ),
            );
        }
    }
}

fn lane_top(row: usize) -> u64 {
    TOP.saturating_add(LANE.saturating_mul(u64::try_from(row).unwrap_or(0)))
}

/// A mark with what it stands for.
fn titled(out: &mut String, open: &str, entry: &Entry, close: &str) {
    let text = format!("{entry}").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    line(out, format_args!("{open}<title>{}</title></{close}>", text.trim_start()));
}

fn line(out: &mut String, text: core::fmt::Arguments<'_>) {
    // A string takes all that is written to it.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::super::{Step, World, WorldConfig};
    use crate::client::ClientConfig;
    use crate::time::Duration;

    #[test]
    fn a_picture_shows_what_has_happened() {
        let mut world = World::new(WorldConfig::new(1).timeline(1000));
        let config = ClientConfig::new("s0,s1,s2", 1).timeout(Duration::from_secs(6));
        let client = world.join(config).unwrap();
        world.run(Duration::from_secs(10));
        let server = world.server_of(client).unwrap();
        world.apply(&Step::Stop { server });
        world.run(Duration::from_secs(5));
        (0..3).for_each(|server| world.apply(&Step::Cut { client, server }));
        world.run(Duration::from_secs(20));
        world.apply(&Step::HealAll);
        world.run(Duration::from_secs(10));
        assert_eq!(world.violation(), None);
        let svg = world.timeline().svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in ["connected", "away", "expired", "runs", "down", "ping", "try", "fault", "end"]
        {
            assert!(svg.contains(&std::format!("class=\"{part}\"")), "{part} is missing");
        }
        assert!(svg.contains("Cut { client: 0"));
        let (open, shut) = (svg.matches("<title>").count(), svg.matches("</title>").count());
        assert_eq!(open, shut);
    }
}
