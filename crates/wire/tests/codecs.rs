//! Codecs of `tokio_util` as framings.

mod rig;

use bytes::{Buf as _, Bytes, BytesMut};
use overlapped_wire::Protocol;
use overlapped_wire::codec::CodecProtocol;
use rig::random::Random;
use rig::{End, at_once, dripping, in_two};
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
    let seen = at_once(&mut lines(), b"one\r\ntwo\n\nrest");
    assert_eq!(seen.served.iter().map(|one| one.end).collect::<Vec<_>>(), [5, 9, 10]);
    let last = End::Finished { rest: b"rest".to_vec(), reply: b"REST\n".to_vec() };
    assert_eq!((&seen.output()[..], &seen.end), (&b"ONE\nTWO\n\nREST\n"[..], &last));
    let frames = b"\0\x05hello\0\0\0\x01!";
    assert_eq!(at_once(&mut lengths(), frames).output(), frames);
}

#[test]
fn a_codecs_error_closes_the_connection() {
    for (seen, reason) in [
        (at_once(&mut lines(), b"ok\n12345678901\n"), "max line length exceeded"),
        (at_once(&mut lengths(), b"\0\x02ok\0\x0a1234567890"), "frame size too big"),
    ] {
        assert_eq!(seen.served.len(), 1);
        let wanted = End::Malformed { reason: reason.to_owned(), body: vec![], reply: vec![] };
        assert_eq!(seen.end, wanted);
    }
}

/// A codec that takes what it can before a frame is complete, as `LengthDelimitedCodec` does.
#[test]
fn h3_frames_are_the_same_however_their_bytes_are_split() {
    let mut random = Random(7);
    let mut messages = 0;
    for _ in 0..rig::rounds(50, 200) {
        let length: Vec<u8> = (0..1 + random.below(5))
            .flat_map(|_| {
                let size = random.below(11);
                [vec![0, size as u8], (0..size).map(|_| random.next() as u8).collect()].concat()
            })
            .collect();
        let text = rig::messages::lines(&mut random);
        let wanted = (at_once(&mut lengths(), &length), at_once(&mut lines(), &text));
        for cut in 1..length.len() {
            assert_eq!(in_two(&mut lengths(), &length, cut), wanted.0);
        }
        for cut in 1..text.len() {
            assert_eq!(in_two(&mut lines(), &text, cut), wanted.1);
        }
        let dripped = (dripping(&mut lengths(), &length), dripping(&mut lines(), &text));
        assert_eq!(dripped, wanted);
        messages += 2;
    }
    println!("RELIABILITY H3 {messages} messages in frames of codecs, the same events each time");
}

/// Makes two frames of each byte, which no driver can tell apart.
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
    let seen = at_once(&mut CodecProtocol::new(Twice(false), |()| Bytes::from_static(b"x")), b"ab");
    assert_eq!(seen.served.len(), 1);
    assert!(matches!(&seen.end, End::Malformed { reason, .. } if reason.contains("no bytes")));
}
