//! Answers that are sent before a client has sent all of its request.

mod site;

use std::io::{Read, Write};

use overlapped_serve::{Peer, Server};
use overlapped_wire::http::{Answer, Http, Limits, text};

use site::{Site, connect};

/// Most clients read an answer only after they have sent all of a body.
#[test]
fn an_early_refusal_reaches_a_client_that_sends_all_of_a_large_body_first() {
    let (site, address) = Site::run(|| {
        let mut server = Server::new();
        let early = |request: http::Request<()>, _: &mut dyn Read| -> Answer {
            text(http::StatusCode::METHOD_NOT_ALLOWED, request.uri().path().to_owned())
        };
        let limits = Limits { body_bytes_max: 64 << 20, ..Default::default() };
        let factory = move |_: &Peer| Http::with_limits(early, limits);
        let address = server.listen("127.0.0.1:0", factory).unwrap().tcp().unwrap();
        (server, address)
    });
    // The second request is refused for its length.
    for (length, status) in [(48_usize << 20, "405"), (65 << 20, "413")] {
        let mut stream = connect(address);
        let head = format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let piece = vec![b'x'; 1 << 20];
        for at in 0..length >> 20 {
            let sent = stream.write_all(&piece);
            sent.unwrap_or_else(|error| panic!("{status}: after {at} MiB: {error}"));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.get(9..12), Some(status), "{answer}");
    }
    site.stop();
}
