//! hyper 1 on tokio's current thread.
//!
//! Its users read files in different ways, so there are three subjects. `hyper` reads them on
//! tokio's pool for blocking calls, in one job, as its documentation advises. `hyper-inline` breaks
//! that rule and reads them on the thread itself, which is faster as long as they are in the page
//! cache. `hyper-memory` has read them all beforehand, and is no file server.

use crate::error::say;
use crate::material::certificate;
use crate::material::site::NAMES;
use crate::subjects::endpoint::{ADDRESS, announce};
use crate::subjects::tokio::runtime;
use crate::traits::servers::{GREETING, Servers};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::TLS13;

/// The place that files are read from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Pool,
    Inline,
    Memory,
}

pub(crate) struct Hyper {
    pub(crate) source: Source,
}

/// A file's content, and the time of its last change.
type Found = (Bytes, HeaderValue);

/// The files that a request may ask for.
struct Content {
    source: Source,
    folder: PathBuf,
    memory: HashMap<String, Found>,
}

impl Content {
    fn new(source: Source, folder: &Path) -> io::Result<Content> {
        let mut memory = HashMap::new();
        if let Source::Memory = source {
            for name in NAMES.map(|name| format!("{name}.html")) {
                let found = read(&folder.join(&name))?;
                memory.insert(format!("/{name}"), found);
            }
        }
        Ok(Content { source, folder: folder.to_path_buf(), memory })
    }

    async fn find(&self, target: &str) -> io::Result<Found> {
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        let relative = Path::new(target.trim_start_matches('/'));
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(absent());
        }
        match self.source {
            Source::Memory => self.memory.get(target).cloned().ok_or_else(absent),
            Source::Inline => read(&self.folder.join(relative)),
            Source::Pool => {
                let path = self.folder.join(relative);
                tokio::task::spawn_blocking(move || read(&path)).await?
            }
        }
    }
}

/// Reads a file as a whole: files here are small.
fn read(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let found = file.metadata()?;
    let mut bytes = Vec::with_capacity(found.len() as usize + 1);
    file.read_to_end(&mut bytes)?;
    let changed = httpdate::fmt_http_date(found.modified()?);
    Ok((bytes.into(), HeaderValue::try_from(changed).map_err(io::Error::other)?))
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

async fn answer(content: Arc<Content>, request: Request<Incoming>) -> Answer {
    let Ok((bytes, changed)) = content.find(request.uri().path()).await else {
        let mut absent = Response::new(Full::default());
        *absent.status_mut() = StatusCode::NOT_FOUND;
        return Ok(absent);
    };
    let mut response = Response::new(Full::new(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(LAST_MODIFIED, changed);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

async fn greet(_: Request<Incoming>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_static(GREETING.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Speaks HTTP until the client has finished. Errors of the connection are ignored.
async fn converse<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Answer>,
{
    let io = TokioIo::new(stream);
    let _ = http1::Builder::new().serve_connection(io, service_fn(answer)).await;
}

impl Servers for Hyper {
    fn http(&self, folder: &Path) -> Result<(), String> {
        let content = Arc::new(Content::new(self.source, folder).map_err(say)?);
        runtime()?.block_on(async {
            let listener = listen().await?;
            loop {
                let (stream, _) = listener.accept().await.map_err(say)?;
                stream.set_nodelay(true).map_err(say)?;
                let content = content.clone();
                tokio::spawn(converse(stream, move |request| answer(content.clone(), request)));
            }
        })
    }

    fn tls(&self, folder: &Path) -> Result<(), String> {
        let acceptor = TlsAcceptor::from(server_config(folder)?);
        runtime()?.block_on(async {
            let listener = listen().await?;
            loop {
                let (stream, _) = listener.accept().await.map_err(say)?;
                stream.set_nodelay(true).map_err(say)?;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        converse(stream, greet).await;
                    }
                });
            }
        })
    }
}

/// Configures TLS by the certificate and the key in `folder`.
fn server_config(folder: &Path) -> Result<Arc<ServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(say)?
        .with_no_client_auth()
        .with_single_cert(certificate::chain(folder)?, certificate::key(folder)?)
        .map_err(say)?;
    // As in overlapped-serve: clients resume by tickets, and the server stores no sessions.
    config.ticketer = ring::Ticketer::new().map_err(say)?;
    Ok(Arc::new(config))
}

async fn listen() -> Result<TcpListener, String> {
    let listener = TcpListener::bind(ADDRESS).await.map_err(say)?;
    announce(listener.local_addr().map_err(say)?);
    Ok(listener)
}
