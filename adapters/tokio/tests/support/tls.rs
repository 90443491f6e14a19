//! Certificates, and a relay that ends TLS before a server that speaks none.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::TlsAcceptor;
use zk_session_tokio::rustls::pki_types::pem::PemObject;
use zk_session_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zk_session_tokio::rustls::server::WebPkiClientVerifier;
use zk_session_tokio::rustls::{RootCertStore, ServerConfig};

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By its name an authority is found.
        static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("Authority {number}"));
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For whom these names or addresses are theirs.
    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        self.identity_until(names, 4096)
    }

    /// The same, up to a year.
    pub(crate) fn identity_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// A server that proves itself by this, and lets in whom these authorities vouch for.
pub(crate) fn server(identity: &Identity, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(
        zk_session_tokio::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(zk_session_tokio::rustls::crypto::ring::default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

struct State {
    config: Mutex<Arc<ServerConfig>>,
    accepted: AtomicUsize,
    open: Mutex<Vec<AbortHandle>>,
}

/// Listens on 127.0.0.1 and hands what it decrypts to a server.
pub(crate) struct TlsRelay {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl TlsRelay {
    pub(crate) async fn start(target: String, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (config, open) = (Mutex::new(config), Mutex::new(Vec::new()));
        let state = Arc::new(State { config, accepted: AtomicUsize::new(0), open });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { return };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let (config, target) = (shared.config.lock().unwrap().clone(), target.clone());
                let relayed = tokio::spawn(async move {
                    let Ok(mut outer) = TlsAcceptor::from(config).accept(tcp).await else { return };
                    let Ok(mut inner) = TcpStream::connect(target).await else { return };
                    // How it ends is the ends' affair.
                    let _ = copy_bidirectional(&mut outer, &mut inner).await;
                });
                shared.open.lock().unwrap().push(relayed.abort_handle());
            }
        });
        Self { addr, state, task }
    }

    /// What is accepted from now on is served like this.
    pub(crate) fn serve(&self, config: Arc<ServerConfig>) {
        *self.state.config.lock().unwrap() = config;
    }

    /// Cuts all connections off in mid-stream, without a word.
    pub(crate) fn cut(&self) {
        for relayed in self.state.open.lock().unwrap().drain(..) {
            relayed.abort();
        }
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for TlsRelay {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}
