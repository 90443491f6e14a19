//! A script of bytes, times and wishes, and the laws after each step.

use zk_session::client::{ClientConfig, ClientSession, Link, ProbeAnswer};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{AddWatchMode, CreateMode, Request, WatcherType, Xid};
use zk_session::{Duration, Instant, Machine, SubmitError};

use crate::input::Input;
use crate::records::accepted;
use crate::seen::Seen;

const RECV: usize = 512;
const TRANSMIT: usize = 256;
const REGISTRY: usize = 128;
const REQUESTS: usize = 4;

/// Plays a script, one step a byte or more: the network, the clock and the application are all the
/// fuzzer's. Two sessions play it, one in lent memory that gets its bytes as they come and one on
/// the heap that gets them one by one: they say and want the same. The script is played without
/// SASL and with it.
pub fn script(bytes: &[u8]) {
    let config = ClientConfig::new("a,b,c/app", 1)
        .timeout(Duration::from_millis(3000))
        .allow_read_only()
        .new_session_deadline(Duration::from_secs(20))
        .stolen_after(3);
    play(Input(bytes), config.clone());
    play(Input(bytes), config.sasl());
}

fn play(mut input: Input<'_>, config: ClientConfig<'static>) {
    let mut memory = Fixed::<RECV, TRANSMIT, REGISTRY, REQUESTS>::new();
    let mut limits = Limits::default();
    (limits.recv, limits.transmit) = (RECV, TRANSMIT);
    (limits.registry, limits.requests) = (REGISTRY, REQUESTS);
    let now = Instant::from_millis(1000);
    let mut twins = Twins {
        lent: ClientSession::new(config.clone(), memory.lend(), now).expect("a sound session"),
        owned: ClientSession::new(config, Storage::owned(limits), now).expect("a sound session"),
        waiting: Vec::new(),
        now,
    };
    while let Some(step) = input.next() {
        twins.step(step, &mut input);
        twins.pull();
        twins.check();
    }
}

struct Twins<'b> {
    lent: ClientSession<'b>,
    owned: ClientSession<'static>,
    waiting: Vec<Xid>,
    now: Instant,
}

impl Twins<'_> {
    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        let now = self.now;
        match step % 12 {
            0 => self.bytes(input.bytes()),
            1 => {
                self.lent.handle_connected(now);
                self.owned.handle_connected(now);
            }
            2 => {
                self.lent.handle_disconnected(now);
                self.owned.handle_disconnected(now);
            }
            3 => self.now = now.after(Duration::from_millis(u64::from(input.byte()) * 20)),
            4 => self.time(now),
            5 => {
                let n = self.lent.poll_transmit().len().min(usize::from(input.byte()));
                self.lent.handle_transmitted(now, n);
                self.owned.handle_transmitted(now, n);
            }
            6 => self.request(input.byte()),
            7 => {
                // A clock that runs backwards, or far ahead.
                let millis = u64::from(input.byte()) << (input.byte() % 48);
                self.time(Instant::from_millis(millis));
            }
            8 => self.deadline(),
            9 => self.bytes(&accepted(input.byte() % 4 == 3)),
            10 => self.sasl(input.byte()),
            _ => self.rare(input.byte()),
        }
    }

    /// Received bytes: whole, and one by one.
    fn bytes(&mut self, bytes: &[u8]) {
        let now = self.now;
        if bytes.is_empty() {
            return; // no byte says what time it is
        }
        let mut rest = bytes;
        let mut whole = Vec::new();
        loop {
            let taken = self.lent.handle_bytes(now, rest);
            assert!(taken <= rest.len());
            rest = &rest[taken..];
            while let Some(event) = self.lent.poll_event() {
                whole.push(Seen::of(&event));
            }
            if taken == 0 || rest.is_empty() {
                break;
            }
        }
        let mut split = Vec::new();
        for byte in bytes {
            self.owned.handle_bytes(now, &[*byte]);
            while let Some(event) = self.owned.poll_event() {
                split.push(Seen::of(&event));
            }
        }
        assert_eq!(whole, split, "however bytes are split, they mean the same");
        whole.iter().for_each(|seen| self.answered(seen));
    }

    fn time(&mut self, now: Instant) {
        self.lent.handle_timeout(now);
        self.owned.handle_timeout(now);
    }

    /// The deadline comes, and moves on.
    fn deadline(&mut self) {
        let Some(at) = self.lent.poll_timeout() else { return };
        self.now = self.now.max(at);
        self.time(at);
        self.pull();
        let later = self.lent.poll_timeout().is_none_or(|next| next > at);
        assert!(later, "the deadline moves on");
    }

    fn request(&mut self, which: u8) {
        let kind = WatcherType::from_wire(i32::from(which / 16) % 6).unwrap_or(WatcherType::Any);
        let watch = which & 16 == 16;
        let request = match which % 16 {
            0 => Request::get_data("/a", watch),
            1 => Request::exists("/b", watch),
            2 => Request::get_children("/", watch),
            3 => Request::create("/a", b"data", CreateMode::EphemeralSequential),
            4 => Request::set_data("/a", &[0; 150], 3),
            5 => Request::delete("/a", -1),
            6 => Request::add_auth("digest", b"u:p"),
            7 => Request::remove_watches("/a", kind),
            8 => Request::get_config(watch),
            9 => Request::add_watch("/a", AddWatchMode::Persistent),
            10 => Request::add_watch("/", AddWatchMode::PersistentRecursive),
            11 => Request::sync("/"),
            12 => Request::exists("not absolute", true),
            13 => Request::get_children2("/a/rather/long/path", watch),
            14 => Request::Ping,
            _ => {
                let Some(xid) = self.waiting.first().copied() else { return };
                let given_up = self.lent.cancel(xid);
                assert_eq!(given_up, self.owned.cancel(xid));
                if given_up {
                    self.waiting.retain(|open| *open != xid);
                }
                return;
            }
        };
        let deadline = (which >= 192).then(|| self.now.after(Duration::from_millis(500)));
        let submit = |session: &mut ClientSession<'_>| match deadline {
            Some(deadline) => session.submit_before(&request, deadline),
            None => session.submit(&request),
        };
        let before = (self.lent.poll_transmit().to_vec(), self.lent.poll_timeout());
        let submitted = submit(&mut self.lent);
        assert_eq!(submitted, submit(&mut self.owned));
        match submitted {
            Ok(xid) => {
                assert!(!self.waiting.contains(&xid), "{xid} is in use");
                self.waiting.push(xid);
                assert!(self.waiting.len() <= REQUESTS);
            }
            Err(error) => self.unchanged(&before, error),
        }
    }

    fn unchanged(&self, before: &(Vec<u8>, Option<Instant>), error: SubmitError) {
        assert_eq!(before.0, self.lent.poll_transmit(), "{error}");
        assert_eq!(before.1, self.lent.poll_timeout(), "{error}");
    }

    fn sasl(&mut self, which: u8) {
        let answer = |session: &mut ClientSession<'_>| match which % 4 {
            0 => session.sasl_failed(),
            1 => session.sasl_done(),
            _ => session.submit_sasl(b"token"),
        };
        let answered = answer(&mut self.lent);
        assert_eq!(answered, answer(&mut self.owned));
    }

    fn rare(&mut self, which: u8) {
        let now = self.now;
        match which % 8 {
            0 => {
                self.lent.close(now);
                self.owned.close(now);
            }
            1 => {
                self.lent.reopen(now);
                self.owned.reopen(now);
            }
            2 => {
                self.lent.detach(now);
                self.owned.detach(now);
            }
            3..=5 => {
                let hosts = ["a,b,c", "b", "d,e", "a,b,c,d/app"];
                let hosts = hosts[usize::from(which / 8) % 4];
                assert!(self.lent.update_hosts(hosts, now).is_ok());
                assert!(self.owned.update_hosts(hosts, now).is_ok());
            }
            _ => {
                let answer = if which & 8 == 8 { b"rw" } else { b"ro" };
                if let Some(host) = self.lent.poll_probe() {
                    self.lent.handle_probed(now, host, ProbeAnswer::parse(answer));
                    self.owned.handle_probed(now, host, ProbeAnswer::parse(answer));
                }
            }
        }
    }

    fn pull(&mut self) {
        loop {
            let seen = self.lent.poll_event().map(|event| Seen::of(&event));
            let other = self.owned.poll_event().map(|event| Seen::of(&event));
            assert_eq!(seen, other, "lent and owned memory are the same");
            match seen {
                Some(seen) => self.answered(&seen),
                None => return,
            }
        }
    }

    /// Each accepted request is answered once, and before the loss is told.
    fn answered(&mut self, seen: &Seen) {
        match seen {
            Seen::Reply(xid, ..) => {
                let at = self.waiting.iter().position(|open| open == xid);
                self.waiting.remove(at.expect("an answer to a request that is open"));
            }
            Seen::State(state, _) if !state.is_connected() => {
                assert!(self.waiting.is_empty(), "{state:?} overtakes {:?}", self.waiting);
            }
            _ => {}
        }
    }

    /// Views answer the same twice, stay within the memory, and are the twins'.
    fn check(&mut self) {
        let Self { lent, owned, .. } = self;
        let link = lent.poll_link();
        let (timeout, transmit) = (lent.poll_timeout(), lent.poll_transmit().to_vec());
        let room = lent.poll_io().recv.len();
        assert!(room <= RECV && transmit.len() <= TRANSMIT);
        assert_eq!(room == 0, link != Link::Up, "a connected session has room, and no other");
        assert_eq!(link, lent.poll_link());
        assert_eq!(timeout, lent.poll_timeout());
        assert_eq!(transmit, lent.poll_io().transmit);

        assert_eq!(link, owned.poll_link());
        assert_eq!(timeout, owned.poll_timeout());
        assert_eq!(transmit, owned.poll_transmit());
        assert!(owned.poll_io().recv.len() <= RECV);
        assert_eq!(lent.session_id(), owned.session_id());
        assert_eq!(lent.last_zxid(), owned.last_zxid());
        assert_eq!(lent.watches(), owned.watches());
        assert_eq!(lent.safe_until(), owned.safe_until());
        assert_eq!(lent.state(), owned.state());
    }
}
