//! tokio on one thread.

use super::announce::{announce_path, announce_ports, path};
use crate::error::say;
use crate::subjects::endpoint::{ADDRESS, BUFFER_BYTES};
use crate::traits::sockets::Sockets;
use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{UdpSocket, UnixListener, UnixStream};
use ::tokio::runtime::{Builder, Runtime};
use ::tokio::task::JoinSet;

pub(crate) struct Tokio;

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(say)
}

impl Sockets for Tokio {
    fn serve_unix(&self) -> Result<(), String> {
        runtime()?.block_on(async {
            let listener = UnixListener::bind(path()).map_err(say)?;
            announce_path();
            loop {
                let (stream, _) = listener.accept().await.map_err(say)?;
                ::tokio::spawn(echo(stream));
            }
        })
    }

    fn serve_datagrams(&self, sockets: usize) -> Result<(), String> {
        runtime()?.block_on(async {
            let (mut addresses, mut tasks) = (Vec::new(), JoinSet::new());
            for _ in 0..sockets {
                let socket = UdpSocket::bind(ADDRESS).await.map_err(say)?;
                addresses.push(socket.local_addr().map_err(say)?);
                tasks.spawn(echo_datagrams(socket));
            }
            announce_ports(addresses);
            while let Some(ended) = tasks.join_next().await {
                ended.map_err(say)?.map_err(say)?;
            }
            Ok(())
        })
    }
}

async fn echo(mut stream: UnixStream) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn echo_datagrams(socket: UdpSocket) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let (n, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..n], from).await?;
    }
}
