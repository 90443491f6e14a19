//! The adapter of microcontrollers, on a thread, over the system's network.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embedded_hal_async::delay::DelayNs;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use zk_session::client::{ClientConfig, Host, KeeperState};
use zk_session::wire::{CreateMode, SessionId};
use zk_session_embedded::{Clock, Dial, DialError, Error, Memory, Session, SessionEvent};

use crate::asked::{self, Asked};
use crate::driver::{Driver, FRAME, Failure, Op, Outcome, of_op, of_submit};

/// So many requests fit at once.
const REQUESTS: usize = 64;

type Shared = Session<'static, CriticalSectionRawMutex>;

pub(crate) struct Embedded {
    session: Arc<Shared>,
    states: Mutex<mpsc::UnboundedReceiver<KeeperState>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    device: Mutex<Option<JoinHandle<()>>>,
    /// Where the application waits.
    ours: Runtime,
}

/// The system's network and clock, as a device has them.
#[derive(Clone, Copy)]
struct Board {
    origin: Instant,
}

struct Connection(TcpStream);

impl Clock for Board {
    fn now(&self) -> zk_session::Instant {
        let millis = self.origin.elapsed().as_millis();
        zk_session::Instant::from_millis(u64::try_from(millis).unwrap())
    }
}

impl DelayNs for Board {
    async fn delay_ns(&mut self, ns: u32) {
        tokio::time::sleep(Duration::from_nanos(ns.into())).await;
    }
}

impl Dial for Board {
    type Connection<'d> = Connection;

    async fn dial(&self, host: Host<'_>) -> Result<Connection, DialError> {
        let stream = TcpStream::connect((host.name, host.port)).await;
        let stream = stream.map_err(|_| DialError::Refused(ErrorKind::ConnectionRefused))?;
        let _ = stream.set_nodelay(true);
        Ok(Connection(stream))
    }
}

impl ErrorType for Connection {
    type Error = ErrorKind;
}

impl Read for Connection {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).await.map_err(|_| ErrorKind::Other)
    }
}

impl Write for Connection {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).await.map_err(|_| ErrorKind::Other)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// What the device does until it is switched off.
async fn device(
    session: &Shared,
    states: mpsc::UnboundedSender<KeeperState>,
    stop: oneshot::Receiver<()>,
) {
    let board = Board { origin: Instant::now() };
    let mut driver = session.driver(&board, board).unwrap();
    let mut events = session.events().unwrap();
    let telling = async {
        let mut path = [0; 64];
        // The first is the state that is.
        let mut known = KeeperState::Disconnected;
        loop {
            if let SessionEvent::State { state, .. } = events.next(&mut path).await.unwrap()
                && state != known
            {
                known = state;
                let _ = states.send(state);
            }
        }
    };
    let life = async {
        let _ = driver.run().await;
        std::future::pending::<()>().await // the session is over, the device lives
    };
    tokio::select! {
        () = telling => {}
        () = life => {}
        _ = stop => {}
    }
}

impl Embedded {
    fn asked<'d>(&'d self, op: Op<'d>) -> Asked<'d> {
        let session = &self.session;
        Box::pin(async move {
            let asked = match op {
                Op::Create(path) => session.create(path, b"", CreateMode::Persistent).await,
                Op::Ephemeral(path) => session.create(path, b"", CreateMode::Ephemeral).await,
                Op::Get(path) => {
                    let mut memory = [0; FRAME];
                    let got = session.get_data(path, &mut memory).await;
                    return got.map(|(data, _)| data.to_vec()).map_err(of_error);
                }
                Op::Set(path, data) => session.set_data(path, data, None).await.map(drop),
                Op::Delete(path) => session.delete(path, None).await,
                Op::Sync(path) => session.sync(path).await,
            };
            asked.map(|()| Vec::new()).map_err(of_error)
        })
    }
}

impl Driver for Embedded {
    type Begun<'d> = Asked<'d>;

    fn start(hosts: &str, timeout: Duration) -> Self {
        let session = Arc::new(Shared::new());
        // For the life of the process, as a device's.
        let memory = Box::leak(Box::new(Memory::<FRAME, FRAME, 512, REQUESTS>::new()));
        let hosts: &'static str = Box::leak(hosts.to_owned().into_boxed_str());
        let timeout = zk_session::Duration::from_millis(timeout.as_millis().try_into().unwrap());
        let config = ClientConfig::new(hosts, 7).timeout(timeout);
        session.open(config, memory, zk_session::Instant::ORIGIN).unwrap();
        let (tell, states) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let running = Arc::clone(&session);
        let device = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(device(&running, tell, stopped));
        });
        let ours = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        Self {
            session,
            states: Mutex::new(states),
            stop: Mutex::new(Some(stop)),
            device: Mutex::new(Some(device)),
            ours,
        }
    }

    fn request(&self, op: Op<'_>) -> Outcome {
        self.ours.block_on(self.asked(op))
    }

    fn begin<'d>(&'d self, op: Op<'d>) -> Self::Begun<'d> {
        asked::begin(&self.ours, self.asked(op))
    }

    fn finish(&self, begun: Self::Begun<'_>) -> Outcome {
        self.ours.block_on(begun)
    }

    fn cancel(&self, op: Op<'_>, polls: usize) -> bool {
        asked::cancel(&self.ours, self.asked(op), polls)
    }

    fn next_state(&self, patience: Duration) -> Option<KeeperState> {
        let mut states = self.states.lock().unwrap();
        self.ours.block_on(async { tokio::time::timeout(patience, states.recv()).await.ok()? })
    }

    fn session_id(&self) -> SessionId {
        self.session.session_id()
    }

    fn close(&self) -> bool {
        self.session.close();
        let start = Instant::now();
        while self.session.state() != KeeperState::Closed {
            if start.elapsed() > Duration::from_secs(5) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn shut_down(&self) {
        drop(self.stop.lock().unwrap().take());
        if let Some(device) = self.device.lock().unwrap().take() {
            device.join().unwrap();
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn of_error(error: Error) -> Failure {
    match error {
        Error::Op(error) => of_op(error),
        Error::Submit(error) => of_submit(error),
        Error::NotTaken => Failure::NotTaken,
        other => Failure::Other(other.to_string()),
    }
}
