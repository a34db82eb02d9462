//! A small HTTP/1.1 server for the tests of `get`, in threads: it does as told, including what no
//! server should do.

#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::PROGRAM;

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Fields with lower-case names.
    pub(crate) headers: HashMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the first byte of `Range: bytes=N-`.
    pub(crate) fn range(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        Some(range.strip_suffix('-').expect("an open range").parse().unwrap())
    }
}

/// The fate of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    /// With TLS, after its close_notify.
    Close,
    /// With TLS, without close_notify.
    Cut,
    Reset,
}

/// The stream for an answer.
pub(crate) type Out<'a> = &'a mut dyn Write;

type Handler = dyn Fn(&Request, Out<'_>) -> io::Result<Then> + Send + Sync;

/// A running server. It runs until the test program ends.
pub(crate) struct Site {
    addr: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    tls: Option<Arc<ServerConfig>>,
    requests: Mutex<Vec<Request>>,
    /// The requests that are being answered, and their highest number so far.
    pending: AtomicUsize,
    peak: AtomicUsize,
    connections: AtomicUsize,
}

impl Site {
    pub(crate) fn start(
        handler: impl Fn(&Request, Out<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Site {
        Site::launch(Box::new(handler), None)
    }

    /// Starts with TLS, and a certificate signed by the authority.
    pub(crate) fn start_tls(
        authority: &Authority,
        handler: impl Fn(&Request, Out<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Site {
        Site::launch(Box::new(handler), Some(authority.server_config()))
    }

    /// Starts with TLS, with a certificate and its key in PEM.
    pub(crate) fn start_tls_with(
        certificate: &[u8],
        key: &[u8],
        handler: impl Fn(&Request, Out<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Site {
        let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        Site::launch(Box::new(handler), Some(Arc::new(config)))
    }

    fn launch(handler: Box<Handler>, tls: Option<Arc<ServerConfig>>) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            handler,
            tls,
            requests: Mutex::default(),
            pending: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let theirs = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                theirs.connections.fetch_add(1, Ordering::SeqCst);
                let shared = theirs.clone();
                // Clients that leave in the middle are part of the tests.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Site { addr, scheme, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        // The certificate is for the name.
        format!("{}://localhost:{}{path}", self.scheme, self.addr.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Returns the requests for one path.
    pub(crate) fn requests_for(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    pub(crate) fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let raw = stream.try_clone()?;
        let then = match &self.tls {
            None => self.converse(&mut BufReader::new(stream))?,
            Some(config) => {
                let tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                let mut tls = BufReader::new(StreamOwned::new(tls, stream));
                let then = self.converse(&mut tls)?;
                if then == Then::Close {
                    tls.get_mut().conn.send_close_notify();
                    tls.get_mut().flush()?;
                }
                then
            }
        };
        if then == Then::Reset {
            socket2::SockRef::from(&raw).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    fn converse<S: Read + Write>(&self, stream: &mut BufReader<S>) -> io::Result<Then> {
        loop {
            let Some(request) = read_request(stream)? else { return Ok(Then::Close) };
            self.requests.lock().unwrap().push(request.clone());
            let pending = self.pending.fetch_add(1, Ordering::SeqCst) + 1;
            self.peak.fetch_max(pending, Ordering::SeqCst);
            let then = (self.handler)(&request, stream.get_mut());
            self.pending.fetch_sub(1, Ordering::SeqCst);
            match then? {
                Then::Keep => {}
                then => return Ok(then),
            }
        }
    }
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("").to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(Request { path, headers }))
}

/// Writes a complete answer with its length.
pub(crate) fn answer(out: Out<'_>, status: &str, fields: &str, body: &[u8]) -> io::Result<Then> {
    let length = body.len();
    write!(out, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n")?;
    out.write_all(body)?;
    out.flush()?;
    Ok(Then::Keep)
}

/// Writes only the beginning of an answer that announces more.
pub(crate) fn answer_cut(
    out: Out<'_>,
    fields: &str,
    body: &[u8],
    cut: usize,
    then: Then,
) -> io::Result<Then> {
    let length = body.len();
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n")?;
    out.write_all(&body[..cut])?;
    out.flush()?;
    Ok(then)
}

/// Writes the file from byte `start` on, as an answer to a range.
pub(crate) fn answer_range(
    out: Out<'_>,
    fields: &str,
    body: &[u8],
    start: usize,
) -> io::Result<Then> {
    let (last, whole) = (body.len() - 1, body.len());
    let range = format!("Content-Range: bytes {start}-{last}/{whole}\r\n{fields}");
    answer(out, "206 Partial Content", &range, &body[start..])
}

/// Makes bytes that differ from position to position.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// An authority that signs certificates for localhost.
pub(crate) struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Authority { issuer: rcgen::CertifiedIssuer::self_signed(parameters, key).unwrap() }
    }

    /// Writes its certificate to a file.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    fn server_config(&self) -> Arc<ServerConfig> {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// Runs `overlapped get` in a folder of its own, on this port, with quick retries.
pub(crate) fn get(port: &str, folder: &Path, arguments: &[&str]) -> Output {
    command(port, folder, arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs `get` with text on standard input.
pub(crate) fn get_with_input(port: &str, folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(port, folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Starts `get` without waiting for its end.
pub(crate) fn start_get(port: &str, folder: &Path, arguments: &[&str]) -> Child {
    let mut command = command(port, folder, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn command(port: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--port", port, "get", "--retry-delay", "10ms"]).args(arguments);
    command.current_dir(folder);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(variable).env_remove(variable.to_lowercase());
    }
    command
}

/// Returns the names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|e| name(e).into_string().unwrap()).collect();
    names.sort();
    names
}
