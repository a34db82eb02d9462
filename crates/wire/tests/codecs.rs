//! Protocols framed by codecs of `tokio_util`.

mod support;

use bytes::{Buf as _, Bytes, BytesMut};
use overlapped_wire::Protocol;
use overlapped_wire::codec::CodecProtocol;
use support::{End, byte_by_byte, in_two_parts, whole_input};
use testkit::Rng;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec};

fn lines() -> impl Protocol {
    let codec = LinesCodec::new_with_max_length(10);
    CodecProtocol::new(codec, |line: String| line.to_uppercase())
}

fn lengths() -> impl Protocol {
    let mut codec = LengthDelimitedCodec::builder();
    let codec = codec.length_field_length(2).max_frame_length(9).new_codec();
    CodecProtocol::new(codec, |frame: BytesMut| frame.freeze())
}

#[test]
fn frames_of_a_codec_are_answered_with_frames() {
    let outcome = whole_input(&mut lines(), b"one\r\ntwo\n\nrest");
    assert_eq!(outcome.served.iter().map(|one| one.end).collect::<Vec<_>>(), [5, 9, 10]);
    let last = End::Finished { rest: b"rest".to_vec(), reply: b"REST\n".to_vec() };
    assert_eq!((&outcome.output()[..], &outcome.end), (&b"ONE\nTWO\n\nREST\n"[..], &last));
    let frames = b"\0\x05hello\0\0\0\x01!";
    assert_eq!(whole_input(&mut lengths(), frames).output(), frames);
}

#[test]
fn a_codecs_error_closes_the_connection() {
    for (outcome, reason) in [
        (whole_input(&mut lines(), b"ok\n12345678901\n"), "max line length exceeded"),
        (whole_input(&mut lengths(), b"\0\x02ok\0\x0a1234567890"), "frame size too big"),
    ] {
        assert_eq!(outcome.served.len(), 1);
        let wanted = End::Malformed { reason: reason.to_owned(), body: vec![], reply: vec![] };
        assert_eq!(outcome.end, wanted);
    }
}

/// Covers a codec that consumes bytes before a frame is complete, as `LengthDelimitedCodec` does.
#[test]
fn h3_frames_are_the_same_however_their_bytes_are_split() {
    let mut random = Rng(7);
    let mut messages = 0;
    for _ in 0..testkit::rounds(50, 200) {
        let length: Vec<u8> = (0..1 + random.below(5))
            .flat_map(|_| {
                let size = random.below(11);
                [vec![0, size as u8], (0..size).map(|_| random.next() as u8).collect()].concat()
            })
            .collect();
        let text = support::messages::lines(&mut random);
        let wanted = (whole_input(&mut lengths(), &length), whole_input(&mut lines(), &text));
        for cut in 1..length.len() {
            assert_eq!(in_two_parts(&mut lengths(), &length, cut), wanted.0);
        }
        for cut in 1..text.len() {
            assert_eq!(in_two_parts(&mut lines(), &text, cut), wanted.1);
        }
        let byte_wise = (byte_by_byte(&mut lengths(), &length), byte_by_byte(&mut lines(), &text));
        assert_eq!(byte_wise, wanted);
        messages += 2;
    }
    println!("RELIABILITY H3 {messages} messages in frames of codecs, the same events each time");
}

/// Makes two frames of each byte, which no driver can separate.
struct Twice(bool);

impl Decoder for Twice {
    type Item = ();
    type Error = std::io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> std::io::Result<Option<()>> {
        if std::mem::take(&mut self.0) {
            return Ok(Some(()));
        }
        let is_there = !bytes.is_empty();
        if is_there {
            bytes.advance(1);
            self.0 = true;
        }
        Ok(is_there.then_some(()))
    }
}

impl Encoder<Bytes> for Twice {
    type Error = std::io::Error;

    fn encode(&mut self, bytes: Bytes, out: &mut BytesMut) -> std::io::Result<()> {
        out.extend_from_slice(&bytes);
        Ok(())
    }
}

#[test]
fn a_frame_of_no_bytes_is_an_error_not_an_endless_loop() {
    let outcome =
        whole_input(&mut CodecProtocol::new(Twice(false), |()| Bytes::from_static(b"x")), b"ab");
    assert_eq!(outcome.served.len(), 1);
    assert!(matches!(&outcome.end, End::Malformed { reason, .. } if reason.contains("zero bytes")));
}
