//! Handlers of HTTP requests: files, CGI scripts, and a map from paths to handlers.
//!
//! ```text
//! request ─▶ Site: prefix → Handler ─┬▶ Files   below a folder, by openat2
//!                                    ├▶ Cgi     a process per request
//!                                    └▶ a function
//! ```
//!
//! # Layers
//!
//! A layer is a handler around another one: [`Headers`] adds fields to every answer, [`Cors`] lets
//! scripts of other sites read them, [`Redirects`] and [`Https`] redirect clients,
//! [`NotFoundResponse`] has a page for paths that do not exist, [`Hosts`] selects a site by the
//! host name, [`Forwarded`] takes the client's address from a trusted proxy, [`RequestLimit`]
//! limits the rate of requests, and [`BasicAuth`] requires a password.
//!
//! # The interface
//!
//! Nothing here knows connections or the syntax of HTTP: a [`Handler`] gets a request and a reader
//! of its body, and returns an answer made of parts. It runs in a tasklet and may wait: only its
//! connection waits with it. All connections and threads share the handlers; state of one thread,
//! such as the cache of [`Files`], is found through a thread-local.
//!
//! ```
//! use overlapped_serve::web::{Files, Site};
//! use overlapped_wire::http::Service;
//!
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("index.html"), "<p>hello")?;
//! let site = Site::new().at("/", Files::new(folder.path())?.listing(true));
//! overlapped::run(move || {
//!     let request = http::Request::get("/").body(()).unwrap();
//!     let answer = site.clone().call(request, &mut std::io::empty());
//!     assert_eq!(answer.status(), 200);
//!     assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
//! }).unwrap();
//! # std::io::Result::Ok(())
//! ```
//!
//! Behind a server, each connection has the site with its own [`Peer`](crate::Peer):
//!
//! ```no_run
//! use overlapped_serve::web::{Cgi, Files, Site};
//! use overlapped_serve::{Peer, Server};
//! use overlapped_wire::http::Http;
//!
//! let files = Files::new("/srv/www")?.listing(true);
//! let site = Site::new().at("/cgi-bin", Cgi::new("/srv/cgi")?).at("/", files);
//! let mut server = Server::new();
//! server.listen("127.0.0.1:8080", move |peer: &Peer| Http::new(site.for_peer(peer)))?;
//! server.run()?;
//! # std::io::Result::Ok(())
//! ```

mod below;
mod cgi;
mod file_stat;
mod files;
mod handler;
mod internal_redirect;
mod layers;
mod page;
mod site;
mod target;
mod user;

#[cfg(any(test, fuzzing))]
pub(crate) use cgi::check_header as check_script;
pub use cgi::{Cgi, kill_scripts};
pub use files::Files;
pub use handler::{Call, Handler};
pub use layers::{
    BasicAuth, Cors, Forwarded, Headers, Hosts, Https, Network, NotFoundResponse, Redirects,
    RequestLimit,
};
pub use site::Site;
pub use user::User;
