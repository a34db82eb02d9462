//! Connects to addresses, and moves bytes through connections.

use std::io::{self, ErrorKind, Read, Write};
use std::{iter, slice};

use overlapped::net::{SocketAddr, TcpStream, ToSocketAddrs};
use overlapped::task::no_switch;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, ProxyProtocol};

use crate::limit::within;

/// Opens connections, unless a proxy has opened one.
#[derive(Debug)]
pub struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        refuse_socks(details)?;
        let host = OneHost(&details.addrs);
        let stream = within(details.timeout, || TcpStream::connect(host))?;
        stream.set_nodelay(details.config.no_delay())?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(TcpTransport { stream, buffers })))
    }
}

/// The addresses of one host. They are tried concurrently (Happy Eyeballs), so that one that does
/// not answer delays nothing.
struct OneHost<'a>(&'a [SocketAddr]);

impl<'a> ToSocketAddrs for OneHost<'a> {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.0.iter().copied())
    }

    fn is_name(&self) -> bool {
        true
    }
}

/// Refuses SOCKS proxies: without ureq's connector for them, the request would bypass the proxy.
fn refuse_socks(details: &ConnectionDetails<'_>) -> Result<(), Error> {
    let proxy = details.config.proxy().filter(|proxy| !proxy.is_no_proxy(details.uri));
    match proxy.map(|proxy| proxy.protocol()) {
        None | Some(ProxyProtocol::Http | ProxyProtocol::Https) => Ok(()),
        Some(protocol) => {
            Err(Error::ConnectProxyFailed(format!("{protocol:?} proxies are not supported")))
        }
    }
}

/// A connection with the buffers through which ureq reads and writes.
#[derive(Debug)]
pub struct TcpTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        within(limit.for_write(), || self.stream.write_all(output))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let count = within(limit.for_read(), || self.stream.read(input))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Tells whether an idle connection can be used again: nothing has arrived, not even its end.
    ///
    /// ureq calls it while it holds its pool's mutex, so it must not switch to a tasklet that would
    /// block the thread on that mutex.
    fn is_open(&mut self) -> bool {
        let stream = &self.stream;
        no_switch(|| {
            let Ok(()) = stream.set_nonblocking(true) else { return false };
            let seen = stream.peek(&mut [0]);
            let quiet = seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            quiet && stream.set_nonblocking(false).is_ok()
        })
    }
}
