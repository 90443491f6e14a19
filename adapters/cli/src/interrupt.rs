//! Ctrl-C and SIGTERM: each is heard by whoever waits for one now, or else by who waits next.

use tokio::runtime::Runtime;
use tokio::sync::Notify;

static CAME: Notify = Notify::const_new();

/// Begins to listen; until then signals end the program.
pub(crate) fn listen(runtime: &Runtime) {
    let _inside = runtime.enter();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            // Where the system keeps it from us, it ends us by itself.
            let Ok(mut signals) = signal(kind) else { continue };
            runtime.spawn(async move {
                while signals.recv().await.is_some() {
                    CAME.notify_one();
                }
            });
        }
    }
    #[cfg(not(unix))]
    runtime.spawn(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            CAME.notify_one();
        }
    });
}

/// Waits for one of them.
pub(crate) async fn signal() {
    CAME.notified().await;
}
