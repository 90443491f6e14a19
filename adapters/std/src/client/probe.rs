//! Asking a host whether it can write, on a thread that lasts as long as the question.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use zk_session::client::{HostIndex, ProbeAnswer};

use super::driver::dial;
use super::shared::{Inner, Shared};

/// The longest that connecting and answering may take; the session waits no longer either.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks the host that the session wants to be asked, unless another is still being asked. Whom it
/// wants asked changes with the time, and when one has answered.
pub(super) fn ask(shared: &Shared, inner: &mut Inner) {
    let Some(index) = inner.session.poll_probe().filter(|_| !inner.probing) else { return };
    let Some(host) = inner.session.host(index) else { return };
    let host = (host.name.to_owned(), host.port);
    let Some(theirs) = shared.me.upgrade() else { return };
    inner.probing = true;
    let thread = thread::Builder::new().name("zk-session-probe".to_owned());
    let spawned = thread.spawn(move || {
        let wanted = || theirs.lock().session.poll_probe() == Some(index);
        let answer = answer(&host, wanted);
        log::debug!("{}:{} answers: {answer:?}", host.0, host.1);
        tell(&theirs, index, answer);
    });
    if let Err(error) = spawned {
        log::warn!("no thread to probe with: {error}");
        inner.probing = false;
        inner.session.handle_probed(shared.clock.now(), index, ProbeAnswer::Failed);
    }
}

fn tell(shared: &Shared, host: HostIndex, answer: ProbeAnswer) {
    let mut inner = shared.lock();
    inner.probing = false;
    let now = shared.clock.now();
    inner.session.handle_probed(now, host, answer);
    ask(shared, &mut inner);
    drop(shared.deliver(inner));
}

fn answer(host: &(String, u16), wanted: impl Fn() -> bool) -> ProbeAnswer {
    let deadline = Instant::now() + PATIENCE;
    let mut answer = Vec::new();
    let asked = dial(host, PATIENCE, wanted).and_then(|mut stream| {
        stream.write_all(&ProbeAnswer::QUESTION)?;
        let mut piece = [0; ProbeAnswer::LONGEST];
        while answer.len() < ProbeAnswer::LONGEST {
            // Never zero, which would mean for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match stream.read(&mut piece)? {
                0 => break,
                n => answer.extend_from_slice(piece.get(..n).unwrap_or_default()),
            }
        }
        Ok(())
    });
    if let Err(error) = asked {
        log::debug!("probing {}:{} failed: {error}", host.0, host.1);
    }
    ProbeAnswer::parse(&answer)
}
