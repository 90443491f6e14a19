//! What metrics and tracing tell of sessions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::{builder, ensemble, soon, until};
use tracing_subscriber::fmt::format::FmtSpan;
use zk_session_testkit::Relay;
use zk_session_tokio::{ErrorKind, KeeperState};

/// What the recorder of this process has: a snapshot takes histograms away, so they are gathered.
struct Recorded {
    snapshotter: Snapshotter,
    values: BTreeMap<String, Vec<f64>>,
}

fn recorded() -> MutexGuard<'static, Recorded> {
    static RECORDED: OnceLock<Mutex<Recorded>> = OnceLock::new();
    let recorded = RECORDED.get_or_init(|| {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        recorder.install().unwrap();
        Mutex::new(Recorded { snapshotter, values: BTreeMap::new() })
    });
    recorded.lock().unwrap()
}

/// What was recorded under `name{labels}`: the value of a counter, all of a histogram, and of a gauge
/// what was added to or set since each snapshot, which takes it away.
fn values(what: &str) -> Vec<f64> {
    let mut recorded = recorded();
    for (key, _, _, value) in recorded.snapshotter.snapshot().into_vec() {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let kept = recorded.values.entry(format!("{}{{{}}}", key.name(), labels.join(",")));
        let kept = kept.or_default();
        match value {
            // It counts from the last snapshot on.
            DebugValue::Counter(n) => {
                let before = kept.pop().unwrap_or_default();
                kept.push(before + f64::from(u32::try_from(n).unwrap()));
            }
            DebugValue::Gauge(value) => kept.push(value.into_inner()),
            DebugValue::Histogram(more) => kept.extend(more.iter().map(|value| value.into_inner())),
        }
    }
    recorded.values.get(what).cloned().unwrap_or_default()
}

fn value(what: &str) -> f64 {
    values(what).first().copied().unwrap_or_default()
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_outcome() {
    drop(recorded());
    let ensemble = ensemble(1);
    let client = builder(ensemble.connect_string()).name("counted").connect().await.unwrap();
    for _ in 0..3 {
        client.exists("/").await.unwrap();
    }
    client.get("/none").await.unwrap_err();
    soon(client.close()).await.unwrap();
    client.get("/").await.unwrap_err();
    let requests = |op: &str, outcome: &str| {
        value(&format!("zk_session_requests_total{{client=counted,op={op},outcome={outcome}}}"))
    };
    assert_eq!(requests("Exists", "ok"), 3.0);
    assert_eq!(requests("GetData", "server_error"), 1.0);
    assert_eq!(requests("GetData", "session_over"), 1.0);
    assert_eq!(requests("GetData", "ok"), 0.0);
    let seconds = values("zk_session_request_seconds{client=counted,op=Exists}");
    assert_eq!(seconds.len(), 3);
    assert!(seconds.iter().all(|s| *s > 0.0 && *s < 5.0), "{seconds:?}");
}

#[tokio::test]
async fn requests_that_never_leave_are_counted_too() {
    drop(recorded());
    let client = builder("127.0.0.1:1").name("waiting").start().unwrap();
    let error = client.get("/a").deadline(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotSent);
    drop(client.get("/b").send());
    let waiting = client.get("/c").send();
    client.clone().detach();
    soon(waiting).await.unwrap_err();
    for outcome in ["not_sent", "dropped", "session_over"] {
        let what =
            format!("zk_session_requests_total{{client=waiting,op=GetData,outcome={outcome}}}");
        assert_eq!(value(&what), 1.0, "{outcome}");
    }
}

#[tokio::test]
async fn a_session_that_idles_shows_pings_silence_and_watches() {
    drop(recorded());
    let ensemble = ensemble(1);
    let client = builder(ensemble.connect_string()).name("idle").connect().await.unwrap();
    let (_, watch) = client.exists("/a").watch().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await; // two pings of a timeout of 3 s
    let pings = values("zk_session_ping_seconds{client=idle}");
    assert!(!pings.is_empty() && pings.iter().all(|s| *s > 0.0 && *s < 0.9), "{pings:?}");
    let silence = values("zk_session_silence_seconds{client=idle}");
    assert!(silence.iter().any(|s| *s > 0.5 && *s < 3.0), "{silence:?}");
    let watches = || values("zk_session_watches{client=idle}").iter().sum::<f64>();
    assert_eq!(watches(), 1.0);
    drop(watch);
    soon(client.close()).await.unwrap();
    assert_eq!(watches(), 0.0);
}

/// Counts requests, and wants nothing else.
#[derive(Default)]
struct CountsOnly(Arc<AtomicU64>);

impl CounterFn for CountsOnly {
    fn increment(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn absolute(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }
}

impl Recorder for CountsOnly {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "zk_session_requests_total" => Counter::from_arc(Arc::new(Self(self.0.clone()))),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_recorder_that_wants_no_times_still_counts() {
    let recorder = CountsOnly::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let ensemble = ensemble(1);
    let client = builder(ensemble.connect_string()).name("untimed").connect().await.unwrap();
    for _ in 0..5 {
        client.exists("/").await.unwrap();
    }
    client.get("/none").await.unwrap_err();
    soon(client.close()).await.unwrap();
    assert_eq!(recorder.0.load(Ordering::Relaxed), 6);
}

/// Where a subscriber writes its lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn transitions_and_requests_are_traced_and_reconnects_counted() {
    drop(recorded());
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let ensemble = ensemble(1);
    let addr = ensemble.connect_string().parse().unwrap();
    let relay = Relay::start(addr).unwrap();
    let client = builder(relay.addr().to_string()).name("traced").connect().await.unwrap();
    client.create("/secret-free", b"hidden data").await.unwrap();
    let mut transitions = client.transitions();
    relay.cut();
    until(&mut transitions, KeeperState::Disconnected).await;
    relay.mend().unwrap();
    until(&mut transitions, KeeperState::SyncConnected).await;
    assert_eq!(value("zk_session_reconnects_total{client=traced}"), 1.0);
    let connected = "zk_session_transitions_total{client=traced,state=SyncConnected}";
    assert_eq!(value(connected), 2.0);
    let id = client.session_id().to_string();
    soon(client.close()).await.unwrap();

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let line = |parts: &[&str]| {
        text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
            || panic!("no {parts:?} in\n{text}")
    };
    let session = r#"zk_session{client="traced""#;
    assert!(line(&["INFO", session, "SyncConnected", "a new session was established", &id]));
    assert!(line(&["WARN", session, "Disconnected", "closed by the peer"]));
    assert!(line(&["INFO", session, "SyncConnected", "the session was resumed", &id]));
    assert!(line(&["INFO", session, "Closed", "confirmed"]));
    assert!(line(&["DEBUG", "zk_request", "Create", "/secret-free", r#"outcome="ok""#, "close"]));
    assert!(!text.contains("hidden"), "{text}");
}
