//! Protocols framed by codecs of `tokio_util`.
//!
//! A codec takes bytes out of a buffer of its own, whereas a [`Protocol`] is passed the input and
//! returns how much of it makes a request. So the input is copied into the codec's buffer, each
//! byte once, and the bytes that the codec consumes until a frame is complete count as the request.
//! No runtime of tokio is needed.

use std::fmt;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::{Decoded, Exchange, Malformed, Next, Protocol, Reply};

/// A protocol whose messages are framed by a codec and whose requests are answered by a closure.
///
/// Limits are the codec's. A codec without limits buffers as much as the driver lets it. An error
/// of the codec closes the connection without an answer, since no codec has a frame for errors.
///
/// ```
/// use overlapped_wire::codec::CodecProtocol;
/// use overlapped_wire::{Decoded, Protocol};
/// use tokio_util::codec::LinesCodec;
///
/// let codec = LinesCodec::new_with_max_length(1000);
/// let mut lines = CodecProtocol::new(codec, |line: String| line.to_uppercase());
/// let Ok(Decoded::Whole { request, taken: 6 }) = lines.decode(b"hello\nwor") else { panic!() };
/// assert_eq!(request, "hello");
/// ```
pub struct CodecProtocol<C, F> {
    codec: C,
    answer: F,
    /// Input that the codec has not consumed yet.
    pending: BytesMut,
    /// The number of input bytes that the codec has consumed without completing a frame.
    taken: usize,
    /// The encoded answer, before it is added to the reply.
    frame: BytesMut,
}

impl<C, F> CodecProtocol<C, F> {
    /// Makes a protocol of a codec for both directions and a closure that answers a request.
    pub fn new(codec: C, answer: F) -> CodecProtocol<C, F> {
        CodecProtocol { codec, answer, pending: BytesMut::new(), taken: 0, frame: BytesMut::new() }
    }

    /// Copies the input that has arrived since the last call.
    fn buffer_input(&mut self, input: &[u8]) {
        let known = self.taken + self.pending.len();
        self.pending.extend_from_slice(&input[known..]);
    }

    fn answer<R, A>(&mut self, request: R, reply: &mut Reply) -> Next
    where
        C: Encoder<A>,
        F: FnMut(R) -> A,
    {
        self.frame.clear();
        match self.codec.encode((self.answer)(request), &mut self.frame) {
            Ok(()) => {
                reply.extend(&self.frame);
                Next::Keep
            }
            Err(_) => Next::Close,
        }
    }
}

impl<C, F, A> Protocol for CodecProtocol<C, F>
where
    C: Decoder<Error: fmt::Display> + Encoder<A>,
    F: FnMut(<C as Decoder>::Item) -> A,
{
    type Request<'a> = <C as Decoder>::Item;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<Self::Request<'a>>, Malformed> {
        self.buffer_input(input);
        let decoded = self.codec.decode(&mut self.pending).map_err(malformed)?;
        self.taken = input.len() - self.pending.len();
        Ok(match decoded {
            None => Decoded::More,
            // A second frame out of the same bytes: the driver would have no bytes to take for it.
            Some(_) if self.taken == 0 => {
                return Err(Malformed::new("the codec made a frame of zero bytes", ""));
            }
            Some(request) => Decoded::Whole { request, taken: std::mem::take(&mut self.taken) },
        })
    }

    fn respond(&mut self, request: Self::Request<'_>, exchange: &mut Exchange<'_>) -> Next {
        self.answer(request, exchange.reply)
    }

    /// Also answers the frames that the codec makes at the end of the stream.
    fn finish(&mut self, rest: &[u8], reply: &mut Reply) {
        self.buffer_input(rest);
        while let Ok(Some(request)) = self.codec.decode_eof(&mut self.pending) {
            if self.answer(request, reply) == Next::Close {
                break;
            }
        }
    }
}

fn malformed(error: impl fmt::Display) -> Malformed {
    Malformed::new(error.to_string(), "")
}

impl<C: fmt::Debug, F> fmt::Debug for CodecProtocol<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecProtocol").field("codec", &self.codec).finish_non_exhaustive()
    }
}
