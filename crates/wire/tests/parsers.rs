//! Other parsers' views of the same bytes (danger H4). Where this one accepts a request, each of
//! them must see the same one: it may only be stricter.
//!
//! The judges are llhttp, as Node brings it, and Go's net/http: neither shares code or origin with
//! httparse. Where a program is missing, its judgement is skipped, and that is said.

mod rig;

use std::cell::RefCell;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use http::{Request, Response};
use overlapped_wire::http::{Answer, Content, Http};
use rig::random::Random;

const JUDGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges");

/// One request as somebody sees it.
#[derive(Debug)]
struct View {
    method: String,
    target: Vec<u8>,
    /// Where somebody has seen it: the service is not asked about `OPTIONS *`.
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

/// What we accept of the bytes.
fn ours(bytes: &[u8]) -> Vec<View> {
    let bodies = RefCell::new(Vec::new());
    let service = |_: Request<()>, body: &mut dyn Read| -> Answer {
        let mut read = Vec::new();
        let _ = body.read_to_end(&mut read);
        bodies.borrow_mut().push(read);
        Response::new(Content::EMPTY)
    };
    let seen = rig::at_once(&mut Http::new(service), bytes);
    let mut bodies = bodies.into_inner().into_iter();
    let view = |one: &rig::Served| {
        let mut words = one.record.request.split(' ');
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap().as_bytes().to_vec();
        let body = (target != b"*").then(|| bodies.next().unwrap());
        View { method, target, body }
    };
    seen.served.iter().map(view).collect()
}

/// What a judge says of one message: the requests it sees, and how it ended.
struct Judgement {
    requests: Vec<View>,
    end: String,
}

fn judgement(line: &str) -> Judgement {
    let mut parts: Vec<&str> = line.split(',').collect();
    let end = parts.pop().unwrap().to_owned();
    let view = |part: &str| {
        let mut words = part.split(' ');
        let mut word = || words.next().unwrap();
        View { method: word().to_owned(), target: unhex(word()), body: Some(unhex(word())) }
    };
    Judgement { requests: parts.into_iter().map(view).collect(), end }
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Asks a program about all messages at once.
fn ask(mut judge: Command, messages: &[Vec<u8>]) -> Vec<Judgement> {
    let mut child = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut all = Vec::new();
    for message in messages {
        all.extend((message.len() as u32).to_be_bytes());
        all.extend(message);
    }
    let writer = std::thread::spawn(move || stdin.write_all(&all));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the judge failed: {}", output.status);
    let said = String::from_utf8(output.stdout).unwrap();
    let judgements: Vec<Judgement> = said.lines().map(judgement).collect();
    assert_eq!(judgements.len(), messages.len());
    judgements
}

fn node() -> Option<Command> {
    let is_there = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut command = Command::new("node");
    command.arg(Path::new(JUDGES).join("judge.js"));
    is_there.then_some(command)
}

fn go() -> Option<Command> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http-judge");
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&program).arg(Path::new(JUDGES).join("judge.go"));
    let built = build.env("GO111MODULE", "off").status().ok()?;
    assert!(built.success(), "the judge in Go does not compile");
    Some(Command::new(program))
}

/// Bytes and texts that parsers treat in a special way.
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

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
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

/// Compares; how many requests both see.
fn compare(name: &str, messages: &[Vec<u8>], judgements: &[Judgement]) -> u64 {
    let mut same = 0;
    let mut differ = Vec::new();
    for (message, judged) in messages.iter().zip(judgements) {
        for (at, ours) in ours(message).iter().enumerate() {
            match judged.requests.get(at) {
                Some(theirs) if ours.agrees(theirs) => same += 1,
                // llhttp knows a list of methods, RFC 9110 does not.
                None if judged.end == "HPE_INVALID_METHOD" => break,
                // Who closes sees no further requests, so none that are different. (A tab behind
                // `keep-alive`, `close` in a trailer.)
                None if judged.end == "HPE_CLOSED_CONNECTION" => break,
                // Nobody has looked at the body: it may be broken.
                None if ours.body.is_none() => break,
                theirs => {
                    let end = &judged.end;
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
    let mut random = Random(4);
    let rounds = rig::rounds(3_000, 100_000);
    let make = |_| {
        let mut message = rig::messages::requests(&mut random);
        mutate(&mut random, &mut message);
        message
    };
    let messages: Vec<Vec<u8>> = (0..rounds).map(make).collect();
    let accepted: usize = messages.iter().map(|message| ours(message).len()).sum();
    assert!(accepted > rounds / 3, "only {accepted} requests are accepted");
    let mut said = Vec::new();
    for (name, judge) in [("llhttp", node()), ("Go", go())] {
        let Some(judge) = judge else {
            println!("SKIPPED: the program for {name} is missing");
            continue;
        };
        let judgements = ask(judge, &messages);
        let theirs: usize = judgements.iter().map(|judged| judged.requests.len()).sum();
        let same = compare(name, &messages, &judgements);
        said.push(format!("{name} sees the same {same} and {theirs} in all"));
    }
    assert!(rig::rounds(0, 1) == 0 || said.len() == 2, "both judges are needed");
    let said = said.join(", ");
    println!("RELIABILITY H4 {rounds} mutated messages, {accepted} requests accepted; {said}");
}
