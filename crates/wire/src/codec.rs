//! Codecs of `tokio_util` as framings.
//!
//! A codec takes bytes out of a buffer of its own, a [`Protocol`] is shown what has come and says
//! how much of it makes a request. So what comes is copied into the codec's buffer, each byte once,
//! and what the codec has taken until a frame is complete is the request. Nothing of tokio runs.

use std::fmt;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::{Decoded, Exchange, Malformed, Next, Protocol, Reply};

/// A protocol whose requests and answers are framed by a codec, and answered by a closure.
///
/// Limits are the codec's: one without limits takes all that the driver's buffer can hold. An error
/// of the codec closes the connection without an answer, since no codec has a frame for that.
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
    /// What has come and was not taken by the codec.
    held: BytesMut,
    /// How much of the input the codec has taken without making a frame of it.
    taken: usize,
    /// The answer's frame, on its way to the reply.
    frame: BytesMut,
}

impl<C, F> CodecProtocol<C, F> {
    /// With a codec for both directions, and what makes an answer of a request.
    pub fn new(codec: C, answer: F) -> CodecProtocol<C, F> {
        CodecProtocol { codec, answer, held: BytesMut::new(), taken: 0, frame: BytesMut::new() }
    }

    /// Copies what has come since the last time.
    fn hold(&mut self, input: &[u8]) {
        let known = self.taken + self.held.len();
        self.held.extend_from_slice(&input[known..]);
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
        self.hold(input);
        let decoded = self.codec.decode(&mut self.held).map_err(malformed)?;
        self.taken = input.len() - self.held.len();
        Ok(match decoded {
            None => Decoded::More,
            // A second frame out of the same bytes: there is none that the driver could take.
            Some(_) if self.taken == 0 => {
                return Err(Malformed::new("the codec makes a frame of no bytes", ""));
            }
            Some(request) => Decoded::Whole { request, taken: std::mem::take(&mut self.taken) },
        })
    }

    fn respond(&mut self, request: Self::Request<'_>, exchange: &mut Exchange<'_>) -> Next {
        self.answer(request, exchange.reply)
    }

    /// Frames that a codec makes of the end are answered, too.
    fn finish(&mut self, rest: &[u8], reply: &mut Reply) {
        self.hold(rest);
        while let Ok(Some(request)) = self.codec.decode_eof(&mut self.held) {
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
