//! compio's default runtime, io_uring only.

use super::announce::{announce_path, announce_ports, path};
use crate::error::say;
use crate::subjects::endpoint::{ADDRESS, BUFFER_BYTES};
use crate::traits::sockets::Sockets;
use ::compio::BufResult;
use ::compio::io::{AsyncRead, AsyncWriteExt};
use ::compio::net::{UdpSocket, UnixListener, UnixStream};
use ::compio::runtime::{Runtime, spawn};

pub(crate) struct Compio;

impl Sockets for Compio {
    fn serve_unix(&self) -> Result<(), String> {
        Runtime::new().map_err(say)?.block_on(async {
            let listener = UnixListener::bind(path()).await.map_err(say)?;
            announce_path();
            loop {
                let (stream, _) = listener.accept().await.map_err(say)?;
                spawn(echo(stream)).detach();
            }
        })
    }

    fn serve_datagrams(&self, sockets: usize) -> Result<(), String> {
        Runtime::new().map_err(say)?.block_on(async {
            let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
            for _ in 0..sockets {
                let socket = UdpSocket::bind(ADDRESS).await.map_err(say)?;
                addresses.push(socket.local_addr().map_err(say)?);
                tasks.push(spawn(echo_datagrams(socket)));
            }
            announce_ports(addresses);
            for task in tasks {
                task.await.map_err(|_| "a task ended early")?.map_err(say)?;
            }
            Ok(())
        })
    }
}

async fn echo(mut stream: UnixStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        buffer.clear();
        let BufResult(result, filled) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let BufResult(result, emptied) = stream.write_all(filled).await;
        result?;
        buffer = emptied;
    }
}

async fn echo_datagrams(socket: UdpSocket) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        buffer.clear();
        let BufResult(result, filled) = socket.recv_from(buffer).await;
        let (_, from) = result?;
        let BufResult(result, emptied) = socket.send_to(filled, from).await;
        result?;
        buffer = emptied;
    }
}
