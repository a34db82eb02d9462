//! overlapped, once for each of its ports.

use super::announce::{announce_path, announce_ports, path};
use crate::error::say;
use crate::subjects::endpoint::{ADDRESS, BUFFER_BYTES};
use crate::traits::sockets::Sockets;
use ::overlapped::net::UdpSocket;
use ::overlapped::os::unix::net::{UnixListener, UnixStream};
use ::overlapped::port::PortChoice;
use ::overlapped::{Config, spawn};
use std::io::{Read, Result, Write};

pub(crate) struct Overlapped {
    pub(crate) port: PortChoice,
}

impl Sockets for Overlapped {
    fn serve_unix(&self) -> std::result::Result<(), String> {
        let served = Config::new().port(self.port).run(|| -> Result<()> {
            let listener = UnixListener::bind(path())?;
            announce_path();
            loop {
                let (stream, _) = listener.accept()?;
                spawn(move || echo(stream));
            }
        });
        served.map_err(say)?.map_err(say)
    }

    fn serve_datagrams(&self, sockets: usize) -> std::result::Result<(), String> {
        let served = Config::new().port(self.port).run(|| -> Result<()> {
            let bound = (0..sockets).map(|_| UdpSocket::bind(ADDRESS));
            let bound = bound.collect::<Result<Vec<_>>>()?;
            let addresses = bound.iter().map(UdpSocket::local_addr);
            announce_ports(addresses.collect::<Result<Vec<_>>>()?);
            bound.into_iter().for_each(|socket| drop(spawn(move || echo_datagrams(&socket))));
            Ok(())
        });
        served.map_err(say)?.map_err(say)
    }
}

fn echo(mut stream: UnixStream) -> Result<()> {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}

fn echo_datagrams(socket: &UdpSocket) -> Result<()> {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        let (n, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..n], from)?;
    }
}
