//! tokio with tokio_util's codecs: `LinesCodec`, and one here for lengths.
//!
//! The answers to all messages that have arrived go out together: `feed` for each, `flush` once.

use crate::error::say;
use crate::subjects::endpoint::{ADDRESS, announce};
use crate::subjects::tokio::runtime;
use crate::traits::servers::{Framing, Servers};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::io;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Decoder, Encoder, Framed, LinesCodec};

pub(super) struct Tokio;

/// The length that no message may exceed.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The number of digits of `MESSAGE_BYTES_MAX`.
const DIGITS_MAX: usize = 7;

/// A codec for a decimal number and a line feed, then that many bytes.
struct LengthCodec;

impl Decoder for LengthCodec {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let digits = match input.iter().take(DIGITS_MAX + 1).position(|&byte| byte == b'\n') {
            Some(digits) => digits,
            None if input.len() > DIGITS_MAX => return Err(bad()),
            None => return Ok(None),
        };
        let text = std::str::from_utf8(&input[..digits]).map_err(|_| bad())?;
        let length: usize = text.parse().map_err(|_| bad())?;
        if length > MESSAGE_BYTES_MAX {
            return Err(bad());
        }
        if input.len() < digits + 1 + length {
            input.reserve(digits + 1 + length - input.len());
            return Ok(None);
        }
        input.advance(digits + 1);
        Ok(Some(input.split_to(length).freeze()))
    }
}

impl Encoder<Bytes> for LengthCodec {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, output: &mut BytesMut) -> io::Result<()> {
        output.extend_from_slice(&message);
        Ok(())
    }
}

/// Answers until the client has finished. An error ends the connection.
async fn answer<C, M, E>(stream: TcpStream, codec: C)
where
    C: Decoder<Item = M, Error = E> + Encoder<M, Error = E>,
    E: From<io::Error>,
{
    let mut framed = Framed::new(stream, codec);
    while let Some(Ok(message)) = framed.next().await {
        if framed.feed(message).await.is_err() {
            return;
        }
        while let Some(Some(Ok(message))) = framed.next().now_or_never() {
            if framed.feed(message).await.is_err() {
                return;
            }
        }
        if framed.flush().await.is_err() {
            return;
        }
    }
}

impl Servers for Tokio {
    fn framed(&self, framing: Framing) -> Result<(), String> {
        runtime()?.block_on(async {
            let listener = TcpListener::bind(ADDRESS).await.map_err(say)?;
            announce(listener.local_addr().map_err(say)?);
            loop {
                let (stream, _) = listener.accept().await.map_err(say)?;
                stream.set_nodelay(true).map_err(say)?;
                match framing {
                    Framing::Length => tokio::spawn(answer(stream, LengthCodec)),
                    Framing::Line => {
                        let codec = LinesCodec::new_with_max_length(MESSAGE_BYTES_MAX);
                        tokio::spawn(answer(stream, codec))
                    }
                };
            }
        })
    }
}
