//! Spans and events of `tracing`.

use tracing::{Level, Span, debug_span, event, field, info_span};
use zk_session::client::KeeperState;
use zk_session::wire::OpCode;

use super::{DROPPED, Places, outcome};
use crate::slots::Failure;
use crate::states::Transition;

pub(super) struct Part {
    session: Span,
    requests: Places<Span>,
}

impl Part {
    pub(super) fn new(name: &str) -> Self {
        // Of nobody's doing: a session outlives the request or job that happened to begin it.
        let session =
            info_span!(parent: None, "zk_session", client = name, session_id = field::Empty);
        Self { session, requests: Places::new() }
    }

    #[inline]
    pub(super) fn asked(&mut self, place: u32, op: OpCode, path: &impl Fn() -> String) {
        let span = debug_span!("zk_request", ?op, path = path(), outcome = field::Empty);
        if !span.is_none() {
            span.follows_from(&self.session);
            self.requests.put(place, span);
        }
    }

    #[inline]
    pub(super) fn answered(&mut self, place: u32, failure: Option<Failure>) {
        if let Some(span) = self.requests.take(place) {
            span.record("outcome", outcome(failure));
        }
    }

    pub(super) fn dropped(&mut self, place: u32) {
        if let Some(span) = self.requests.take(place) {
            span.record("outcome", DROPPED);
        }
    }

    pub(super) fn refused(&self, op: OpCode, failure: Failure) {
        event!(parent: &self.session, Level::DEBUG, ?op, outcome = outcome(Some(failure)), "refused");
    }

    pub(super) fn all_failed(&mut self, failure: Failure) {
        for span in self.requests.drain() {
            span.record("outcome", outcome(Some(failure)));
        }
    }

    pub(super) fn changed(&self, transition: &Transition) {
        let Transition { state, cause, host, session_id, timeout, detail, .. } = transition;
        let (detail, timeout) = (detail.as_deref(), timeout.as_millis());
        self.session.record("session_id", field::display(session_id));
        macro_rules! tell {
            ($level:expr) => {
                event!(
                    parent: &self.session, $level,
                    ?state, %cause, host, %session_id, timeout_ms = timeout, detail, "session"
                )
            };
        }
        match state {
            KeeperState::SyncConnected | KeeperState::Closed => tell!(Level::INFO),
            _ => tell!(Level::WARN),
        }
    }

    pub(super) fn shrink(&mut self) {
        self.requests.shrink();
    }
}
