//! Comparison with other parsers (danger H4). If this parser accepts a request, each of the others
//! must see the same one: this one may only be stricter.
//!
//! The oracles are llhttp, as Node embeds it, and Go's net/http: neither shares code or origin with
//! httparse. If a program is missing, its comparison is skipped, and the test prints so.

mod support;

use std::cell::RefCell;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use http::{Request, Response};
use overlapped_wire::http::{Answer, Content, Http};
use testkit::Rng;

const ORACLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles");

/// One request as one parser sees it.
#[derive(Debug)]
struct View {
    method: String,
    target: Vec<u8>,
    /// `None` if no service was called (`OPTIONS *`).
    body: Option<Vec<u8>>,
}

impl View {
    fn agrees(&self, other: &View) -> bool {
        let is_same = |(ours, theirs)| ours == theirs;
        self.method == other.method
            && self.target == other.target
            && self.body.as_ref().zip(other.body.as_ref()).is_none_or(is_same)
    }
}

/// Returns the requests that our parser accepts.
fn ours(bytes: &[u8]) -> Vec<View> {
    let bodies = RefCell::new(Vec::new());
    let service = |_: Request<()>, body: &mut dyn Read| -> Answer {
        let mut read = Vec::new();
        let _ = body.read_to_end(&mut read);
        bodies.borrow_mut().push(read);
        Response::new(Content::EMPTY)
    };
    let outcome = support::whole_input(&mut Http::new(service), bytes);
    let mut bodies = bodies.into_inner().into_iter();
    let view = |one: &support::Served| {
        let mut words = one.record.request.split(' ');
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap().as_bytes().to_vec();
        let body = (target != b"*").then(|| bodies.next().unwrap());
        View { method, target, body }
    };
    outcome.served.iter().map(view).collect()
}

/// An oracle's verdict on one message: the requests that it sees, and how it ended.
struct Verdict {
    requests: Vec<View>,
    end: String,
}

fn verdict(line: &str) -> Verdict {
    let mut parts: Vec<&str> = line.split(',').collect();
    let end = parts.pop().unwrap().to_owned();
    let view = |part: &str| {
        let mut words = part.split(' ');
        let mut word = || words.next().unwrap();
        View { method: word().to_owned(), target: unhex(word()), body: Some(unhex(word())) }
    };
    Verdict { requests: parts.into_iter().map(view).collect(), end }
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Asks an oracle about all messages at once.
fn ask(mut oracle: Command, messages: &[Vec<u8>]) -> Vec<Verdict> {
    let mut child = oracle.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut all = Vec::new();
    for message in messages {
        all.extend((message.len() as u32).to_be_bytes());
        all.extend(message);
    }
    let writer = std::thread::spawn(move || stdin.write_all(&all));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the oracle failed: {}", output.status);
    let results = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<Verdict> = results.lines().map(verdict).collect();
    assert_eq!(verdicts.len(), messages.len());
    verdicts
}

fn node() -> Option<Command> {
    let is_there = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut command = Command::new("node");
    command.arg(Path::new(ORACLES).join("llhttp.js"));
    is_there.then_some(command)
}

fn go() -> Option<Command> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http-oracle");
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&program).arg(Path::new(ORACLES).join("net_http.go"));
    let built = build.env("GO111MODULE", "off").status().ok()?;
    assert!(built.success(), "the oracle in Go does not compile");
    Some(Command::new(program))
}

/// Bytes and texts that parsers treat specially.
const SPECIAL: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\"",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xa0",
    b"\xff",
    b"0",
    b"1",
    b"+",
    b"-",
    b"%",
    b"#",
    b"/",
    b"@",
    b"\\",
    b"\r\n ",
    b"\r\n\t",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"5;a=b\r\n",
    b";x y",
    b";\"\n\"",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length : 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:chunked\r\n",
    b"Host: b\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"chunked, ",
    b", chunked",
    b"0x",
    b"00000000000000000",
];

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.remove(at)),
            3 => {
                let end = (at + random.below(30)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                let special = SPECIAL[random.below(SPECIAL.len())];
                bytes.splice(at..at, special.iter().copied());
            }
        }
    }
}

/// Compares the verdicts with ours, and returns how many requests both see.
fn compare(name: &str, messages: &[Vec<u8>], verdicts: &[Verdict]) -> u64 {
    let mut same = 0;
    let mut differ = Vec::new();
    for (message, verdict) in messages.iter().zip(verdicts) {
        for (at, ours) in ours(message).iter().enumerate() {
            match verdict.requests.get(at) {
                Some(theirs) if ours.agrees(theirs) => same += 1,
                // llhttp knows a fixed list of methods; RFC 9110 has none.
                None if verdict.end == "HPE_INVALID_METHOD" => break,
                // A parser that closes sees no further requests, so none that differ. (A tab after
                // `keep-alive`, `close` in a trailer.)
                None if verdict.end == "HPE_CLOSED_CONNECTION" => break,
                // Our service did not read the body, which may be broken.
                None if ours.body.is_none() => break,
                theirs => {
                    let end = &verdict.end;
                    let message = message.escape_ascii();
                    differ.push(format!("{message}\n  ours {ours:?}\n  {name} {theirs:?} {end}"));
                    break;
                }
            }
        }
    }
    assert!(differ.is_empty(), "{} differ from {name}:\n{}", differ.len(), differ.join("\n"));
    same
}

#[test]
fn h4_where_we_accept_a_request_other_parsers_see_the_same_one() {
    let mut random = Rng(4);
    let rounds = testkit::rounds(3_000, 100_000);
    let make = |_| {
        let mut message = support::messages::requests(&mut random);
        mutate(&mut random, &mut message);
        message
    };
    let messages: Vec<Vec<u8>> = (0..rounds).map(make).collect();
    let accepted: usize = messages.iter().map(|message| ours(message).len()).sum();
    assert!(accepted > rounds / 3, "only {accepted} requests are accepted");
    let mut results = Vec::new();
    for (name, oracle) in [("llhttp", node()), ("Go", go())] {
        let Some(oracle) = oracle else {
            println!("SKIPPED: the program for {name} is missing");
            continue;
        };
        let verdicts = ask(oracle, &messages);
        let theirs: usize = verdicts.iter().map(|verdict| verdict.requests.len()).sum();
        let same = compare(name, &messages, &verdicts);
        results.push(format!("{name} sees the same {same} and {theirs} in all"));
    }
    assert!(testkit::rounds(0, 1) == 0 || results.len() == 2, "both oracles are needed");
    let results = results.join(", ");
    println!("RELIABILITY H4 {rounds} mutated messages, {accepted} requests accepted; {results}");
}
