//! Bodies of any content, framed and split in any way, arrive unchanged.

mod support;

use std::io::Read;

use http::{Request, Response};
use overlapped_wire::http::{Answer, Content, Http};
use proptest::collection::vec;
use proptest::prelude::*;
use support::End;

/// Sends the body back, in chunks or with a length.
fn echo(chunked: bool) -> Http<impl FnMut(Request<()>, &mut dyn Read) -> Answer> {
    Http::new(move |_: Request<()>, body: &mut dyn Read| {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).unwrap();
        let len = (!chunked).then_some(bytes.len() as u64);
        Response::new(Content::Reader { reader: Box::new(std::io::Cursor::new(bytes)), len })
    })
}

/// Splits a reply into its body and its head.
fn parted(reply: &[u8]) -> (&[u8], &[u8]) {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (&reply[end..], &reply[..end])
}

/// Decodes chunks, independently of the decoder under test.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let at = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..at]).unwrap(), 16).unwrap();
        body.extend_from_slice(&chunks[at + 2..at + 2 + size]);
        assert_eq!(&chunks[at + 2 + size..at + 4 + size], b"\r\n");
        chunks = &chunks[at + 4 + size..];
        if size == 0 {
            assert!(chunks.is_empty());
            return body;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_body_comes_back_whatever_frames_it(
        pieces in vec(vec(any::<u8>(), 1..200), 0..6),
        cuts in vec(1..1500_usize, 0..8),
        sent_in_chunks: bool,
        answered_in_chunks: bool,
        upper_case: bool,
    ) {
        let body = pieces.concat();
        let mut whole = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
        if sent_in_chunks {
            whole.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in &pieces {
                let size = piece.len();
                let size = if upper_case { format!("{size:02X}") } else { format!("{size:x};a") };
                whole.extend([size.as_bytes(), b"\r\n", piece, b"\r\n"].concat());
            }
            whole.extend(b"0\r\n\r\n");
        } else {
            whole.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            whole.extend(&body);
        }
        let end = whole.len();
        whole.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < whole.len()).collect();
        cuts.sort();
        cuts.dedup();
        let outcome = support::drive(&mut echo(answered_in_chunks), &whole, &mut cuts.into_iter());
        prop_assert_eq!(&outcome.end, &End::Finished { rest: vec![], reply: vec![] });
        prop_assert_eq!(outcome.served.len(), 2);
        prop_assert_eq!(outcome.served[0].end, end);
        let (sent, head) = parted(&outcome.served[0].reply);
        let head = std::str::from_utf8(head).unwrap();
        if answered_in_chunks {
            prop_assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"));
            prop_assert_eq!(joined(sent), body);
        } else {
            let length = format!("\r\nContent-Length: {}\r\n", body.len());
            prop_assert!(head.contains(&length));
            prop_assert_eq!(sent, body);
        }
    }
}

#[test]
fn a_client_that_leaves_in_mid_body_gets_no_answer() {
    for whole in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut read = Vec::new();
        let service = |_: Request<()>, body: &mut dyn Read| {
            assert!(body.read_to_end(&mut read).is_err());
            Response::new(Content::EMPTY)
        };
        let outcome = support::whole_input(&mut Http::new(service), whole.as_bytes());
        assert!(outcome.served.is_empty());
        assert_eq!(outcome.end, End::Gone);
        assert_eq!(read, b"hello");
    }
}
