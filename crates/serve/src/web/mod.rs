//! What answers HTTP requests: files, CGI scripts, and a map of which is where.
//!
//! ```text
//! request ─▶ Site: prefix → Handler ─┬▶ Files   beneath a folder, by openat2
//!                                    ├▶ Cgi     a process per request
//!                                    └▶ a function
//! ```
//!
//! # Layers
//!
//! A handler may have another one inside: [`Headers`] adds fields to every answer, [`Cors`] lets
//! scripts of other sites read them, [`Redirects`] and [`Https`] send clients elsewhere,
//! [`Missing`] has a page for paths that lead nowhere, [`Hosts`] tells sites apart by their names,
//! [`Forwarded`] believes a proxy what it says of its clients, [`RequestLimit`] limits how often
//! they ask, [`BasicAuth`] wants their passwords.
//!
//! # How it is asked
//!
//! Nothing here knows of connections or of how HTTP is written: a [`Handler`] gets a request and a
//! reader of its body, and returns an answer made of parts. It is run in a tasklet and may wait:
//! only its connection waits with it. Handlers are shared by all connections and threads; whatever
//! belongs to one thread, as the cache of [`Files`], is found through a thread-local.
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
//! Behind a server, each connection has the site with its own peer:
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

mod beneath;
mod cgi;
mod files;
mod handler;
mod internal_redirect;
mod layers;
mod page;
mod site;
mod target;
mod user;

#[cfg(any(test, fuzzing))]
pub(crate) use cgi::judge as judge_script;
pub use cgi::{Cgi, kill_scripts};
pub use files::Files;
pub use handler::{Call, Handler};
pub use layers::{
    BasicAuth, Cors, Forwarded, Headers, Hosts, Https, Missing, Network, Redirects, RequestLimit,
};
pub use site::Site;
pub use user::User;
