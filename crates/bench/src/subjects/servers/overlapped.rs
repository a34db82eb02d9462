//! overlapped_serve, once for each port of the library.

use crate::error::say;
use crate::material::certificate;
use crate::subjects::endpoint::{ADDRESS, announce};
use crate::traits::servers::{Framing, GREETING, Servers};
use overlapped::Config;
use overlapped::port::PortChoice;
use overlapped_serve::web::Files;
use overlapped_serve::{Address, Limits, Listen, Peer, Server, Tls};
use overlapped_wire::http::{Answer, Http, text};
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use std::io::{self, Read};
use std::path::Path;

pub(super) struct Overlapped {
    pub(super) port: PortChoice,
}

/// The limit of connections. The default lets in fewer, and fewer yet from one address.
const CONNECTIONS: usize = 16_384;

impl Overlapped {
    fn serve(
        &self,
        listen: impl FnOnce(&mut Server, Listen) -> io::Result<Address>,
    ) -> Result<(), String> {
        let mut server = Server::new().config(Config::new().port(self.port));
        let limits =
            Limits { connections: CONNECTIONS, per_address: CONNECTIONS, ..Limits::default() };
        let address = listen(&mut server, Listen::on(ADDRESS).limits(limits)).map_err(say)?;
        announce(address.tcp().ok_or("it listens elsewhere")?);
        server.run().map(drop).map_err(say)
    }
}

fn greet(_: hyper::http::Request<()>, _: &mut dyn Read) -> Answer {
    text(hyper::http::StatusCode::OK, GREETING)
}

impl Servers for Overlapped {
    fn http(&self, folder: &Path) -> Result<(), String> {
        let files = Files::new(folder).map_err(say)?;
        self.serve(|server, listen| server.listen(listen, move |_: &Peer| Http::new(files.clone())))
    }

    fn tls(&self, folder: &Path) -> Result<(), String> {
        let [chain, key] = certificate::paths(folder);
        let tls = Tls::from_files([(chain, key)]).map_err(say)?;
        self.serve(|server, listen| server.listen(listen.tls(tls), |_: &Peer| Http::new(greet)))
    }

    fn framed(&self, framing: Framing) -> Result<(), String> {
        self.serve(|server, listen| match framing {
            Framing::Length => server.listen(listen, |_: &Peer| Length::default()),
            Framing::Line => server.listen(listen, |_: &Peer| Line::default()),
        })
    }
}
