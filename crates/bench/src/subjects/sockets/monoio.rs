//! monoio without timers, as in its own benchmarks.

use super::announce::{announce_path, announce_ports, path};
use crate::error::say;
use crate::subjects::endpoint::{ADDRESS, BUFFER_BYTES};
use crate::traits::sockets::Sockets;
use ::monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use ::monoio::net::udp::UdpSocket;
use ::monoio::net::{UnixListener, UnixStream};
use ::monoio::{IoUringDriver, Runtime, RuntimeBuilder, spawn};

pub(crate) struct Monoio;

fn runtime() -> Result<Runtime<IoUringDriver>, String> {
    RuntimeBuilder::<IoUringDriver>::new().build().map_err(say)
}

impl Sockets for Monoio {
    fn serve_unix(&self) -> Result<(), String> {
        runtime()?.block_on(async {
            let listener = UnixListener::bind(path()).map_err(say)?;
            announce_path();
            loop {
                let (stream, _) = listener.accept().await.map_err(say)?;
                spawn(echo(stream));
            }
        })
    }

    fn serve_datagrams(&self, sockets: usize) -> Result<(), String> {
        runtime()?.block_on(async {
            let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
            for _ in 0..sockets {
                let socket = UdpSocket::bind(ADDRESS).map_err(say)?;
                addresses.push(socket.local_addr().map_err(say)?);
                tasks.push(spawn(echo_datagrams(socket)));
            }
            announce_ports(addresses);
            for task in tasks {
                task.await.map_err(say)?;
            }
            Ok(())
        })
    }
}

async fn echo(mut stream: UnixStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (result, filled) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let (result, emptied) = stream.write_all(filled).await;
        result?;
        buffer = emptied;
    }
}

async fn echo_datagrams(socket: UdpSocket) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (result, filled) = socket.recv_from(buffer).await;
        let (_, from) = result?;
        let (result, emptied) = socket.send_to(filled, from).await;
        result?;
        buffer = emptied;
    }
}
