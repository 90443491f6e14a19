//! One device's life on an ensemble whose servers and wires fail.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use zk_session::wire::SessionId;
use zk_session_chaos::target::{TICK, Target};
use zk_session_testkit::four_letter;

use super::Options;
use super::observer::{Observer, PATIENCE, Sighting};
use super::qemu::Qemu;

/// The session timeout that the device asks for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(6);
/// A cut that nobody but TCP notices.
const SHORT_CUT: Duration = Duration::from_millis(1500);
/// An ensemble expires sessions on its tick, and a follower tells its leader every half tick who was
/// heard; the rest is for a machine that is busy.
const EXPIRED_WITHIN: Duration = Duration::from_millis(6000 + 500 + 250 + 750);
const ID: &str = "thermometer-1";

/// A device, the ensemble that it lives on, and who watches both.
pub(crate) struct Life<'a> {
    /// What the reports call it.
    pub(crate) name: &'static str,
    pub(crate) program: &'a Path,
    pub(crate) target: Target,
    pub(crate) options: &'a Options,
}

impl Life<'_> {
    /// Goes through all of it.
    ///
    /// # Errors
    /// The first thing that is not as it should be, with the device's log.
    pub(crate) fn run(&self) -> Result<()> {
        let addrs: Vec<_> = self.target.addrs().iter().map(ToString::to_string).collect();
        let observer = Observer::start(&addrs.join(","), "period_ms=100")?;
        let mut qemu = self.device()?;
        let outcome = self.live(&mut qemu, &observer);
        outcome.with_context(|| format!("{}; the device's log:\n{}", self.name, qemu.log()))
    }

    fn live(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        self.appears(observer)?;
        self.is_configured(qemu, observer)?;
        self.loses_its_server(qemu, observer)?;
        self.has_a_silent_server(qemu, observer)?;
        self.loses_its_cable_for_a_moment(qemu, observer)?;
        self.has_a_silent_network(qemu, observer)?;
        self.expires(qemu, observer)?;
        self.dies(qemu, observer)?;
        *qemu = self.device()?;
        self.reboots(qemu, observer)?;
        self.retires(qemu, observer)
    }

    fn device(&self) -> Result<Qemu> {
        // The host's 127.0.0.1 as the guest sees it.
        let hosts: Vec<_> =
            self.target.addrs().iter().map(|addr| format!("10.0.2.2:{}", addr.port())).collect();
        Qemu::builder(self.program)
            .argument("connect", hosts.join(","))
            .argument("id", ID)
            .argument("timeout", TIMEOUT.as_millis())
            .verbose(self.options.verbose)
            .start()
    }

    fn appears(&self, observer: &Observer) -> Result<()> {
        let start = Instant::now();
        let seen = observer.wait(ID, "it counts", |seen| seen.counter >= 2)?;
        self.server_of(seen.owner)?;
        self.tell(start, "it appeared and counts");
        Ok(())
    }

    /// The change comes by watch: the device never asks for its settings otherwise.
    fn is_configured(&self, qemu: &Qemu, observer: &Observer) -> Result<()> {
        let (mark, start) = (qemu.log().mark(), Instant::now());
        let version = observer.configure(b"period_ms=50")?;
        let applied = |seen: &Sighting| seen.config == Some(version) && seen.period == 50;
        observer.wait(ID, "it has applied its settings", applied)?;
        self.tell(start, "it applied its new settings");
        qemu.log().wait_for(mark, &["/config", "NodeDataChanged"], PATIENCE)?;
        qemu.log().wait_for(mark, &["settings applied", "50 ms"], PATIENCE)?;
        Ok(())
    }

    fn loses_its_server(&self, qemu: &Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        let server = self.server_of(before.owner)?;
        let (mark, start) = (qemu.log().mark(), Instant::now());
        self.target.kill(server)?;
        qemu.log().wait_for(mark, &["Disconnected"], PATIENCE)?;
        self.goes_on(&before, observer)?;
        self.tell(start, "its server was killed: the same session goes on");
        qemu.log().wait_for(mark, &["SyncConnected", "Resumed"], PATIENCE)?;
        let now = self.server_of(before.owner)?;
        ensure!(now != server, "the session is on server {now}, which was killed");
        self.target.restart(server)?;
        self.target.wait(server).context("restarting a server")
    }

    fn has_a_silent_server(&self, qemu: &Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        let server = self.server_of(before.owner)?;
        let (mark, start) = (qemu.log().mark(), Instant::now());
        self.target.pause(server)?;
        let gone_on = qemu.log().wait_for(mark, &["Disconnected", "ReadTimeout"], PATIENCE);
        let gone_on = gone_on.and_then(|_| self.goes_on(&before, observer));
        self.target.resume(server)?;
        gone_on?;
        self.tell(start, "its server fell silent: the same session goes on elsewhere");
        Ok(())
    }

    fn loses_its_cable_for_a_moment(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        qemu.set_link(false)?;
        thread::sleep(SHORT_CUT);
        let start = Instant::now();
        qemu.set_link(true)?;
        self.goes_on(&before, observer)?;
        self.tell(start, "its cable was out for a moment: the same session goes on");
        Ok(())
    }

    /// Nothing tells the device but that nobody answers.
    fn has_a_silent_network(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        let mark = qemu.log().mark();
        qemu.set_silent(true)?;
        qemu.log().wait_for(mark, &["Disconnected", "ReadTimeout"], PATIENCE)?;
        let start = Instant::now();
        qemu.set_silent(false)?;
        self.goes_on(&before, observer)?;
        qemu.log().wait_for(mark, &["SyncConnected", "Resumed"], PATIENCE)?;
        self.tell(start, "its network lost everything for a while: the same session goes on");
        Ok(())
    }

    fn expires(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        let mark = qemu.log().mark();
        qemu.set_link(false)?;
        self.vanishes(before.owner, observer, "its cable was out for long: its ephemeral is gone")?;
        let start = Instant::now();
        qemu.set_link(true)?;
        let counts = |seen: &Sighting| seen.owner != before.owner;
        observer.wait(ID, "it is back with a new session", counts)?;
        self.tell(start, "its cable is in: it is back with a new session");
        qemu.log().wait_for(mark, &["Expired", "ToldByServer"], PATIENCE)?;
        qemu.log().wait_for(mark, &["SyncConnected", "Established"], PATIENCE)?;
        Ok(())
    }

    fn dies(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        qemu.kill()?;
        self.vanishes(before.owner, observer, "it was killed: its ephemeral is gone")
    }

    /// Quickly enough to find its own ephemeral, of a session that nobody has the password of.
    fn reboots(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is back", |_| true)?;
        let start = Instant::now();
        qemu.kill()?;
        *qemu = self.device()?;
        let mark = Default::default();
        qemu.log().wait_for(mark, &["belongs to an earlier session"], PATIENCE)?;
        observer.wait(ID, "it has its znode", |seen| seen.owner != before.owner)?;
        self.tell(start, "it rebooted: its znode is its new session's, when the old one was over");
        Ok(())
    }

    /// A closed session leaves nothing behind.
    fn retires(&self, qemu: &mut Qemu, observer: &Observer) -> Result<()> {
        let before = observer.wait(ID, "it is there", |_| true)?;
        let start = Instant::now();
        observer.configure(b"period_ms=50 stop")?;
        let status = qemu.wait(PATIENCE)?;
        ensure!(status.code() == Some(0), "it ended with {status}");
        let took = observer.wait_gone(ID, before.owner)?;
        ensure!(took < TICK, "its ephemeral stayed for {took:?} after it had closed its session");
        self.tell(start, "it was told to stop: it closed its session and ended well");
        Ok(())
    }

    /// The session has survived, if its znode is the same one and is still written to.
    fn goes_on(&self, before: &Sighting, observer: &Observer) -> Result<()> {
        let counted =
            |seen: &Sighting| seen.created != before.created || seen.counter >= before.counter + 3;
        let now = observer.wait(ID, "it counts on", counted)?;
        ensure!(
            (now.owner, now.created) == (before.owner, before.created),
            "its znode was gone in between: {before:?}, then {now:?}"
        );
        Ok(())
    }

    fn vanishes(&self, owner: SessionId, observer: &Observer, what: &str) -> Result<()> {
        let start = Instant::now();
        let took = observer.wait_gone(ID, owner)?;
        ensure!(took <= EXPIRED_WITHIN, "its ephemeral stayed for {took:?}");
        self.tell(start, what);
        Ok(())
    }

    /// The server that has the connection of a session.
    fn server_of(&self, session: SessionId) -> Result<usize> {
        if let Target::Embedded(ensemble) = &self.target {
            return ensemble.server_of(session)?.context("no server has the session's connection");
        }
        let has_it = |addr| {
            let text = format!("sid=0x{:x},", session.0);
            four_letter(addr, "cons").is_ok_and(|connections| connections.contains(&text))
        };
        let server = self.target.addrs().into_iter().position(has_it);
        server.with_context(|| format!("no server has the connection of {session}"))
    }

    fn tell(&self, since: Instant, what: &str) {
        println!("firmware, {}: {what} ({} ms)", self.name, since.elapsed().as_millis());
    }
}
