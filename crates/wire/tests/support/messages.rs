//! Generates messages for every protocol, well formed or nearly so.

use testkit::Rng;

const METHODS: &[&str] = &["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "REPORT"];
const TARGETS: &[&str] = &[
    "/",
    "/index.html",
    "/a/b%20c?d=e&f",
    "/?%",
    "*",
    "http://example.org/x",
    "https://example.org:8443",
    "/a//b/../c;d=1",
];
const FIELDS: &[&str] = &[
    "Host: example.org",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    "Accept: */*",
    "Accept-Encoding: gzip, br",
    "Connection: keep-alive",
    "Cookie: a=b; c=\"d\"",
    "X-Empty:",
    "X-Spaces:   \t x  y \t ",
    "Referer: https://example.org/?q=\u{e4}",
    "If-None-Match: \"abc\", W/\"def\"",
    "Range: bytes=0-99,-5",
];
const ODD_FIELDS: &[&str] = &[
    "Connection: close",
    "Expect: 100-continue",
    "Content-Length: 3",
    "Content-Length: +3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Host: other.example",
    " folded: line",
    "Space : before",
    "no colon",
    "X-Control: \u{1}",
];

/// Appends one HTTP request with its body; one of eight is invalid.
pub(crate) fn request(random: &mut Rng, out: &mut Vec<u8>) {
    let is_odd = random.below(8) == 0;
    let version = if random.below(10) == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
    let (method, target) = (*random.pick(METHODS), *random.pick(TARGETS));
    let target = if target == "*" && method != "OPTIONS" { "/" } else { target };
    out.extend(format!("{method} {target} {version}\r\nHost: example.org\r\n").bytes());
    for _ in 0..random.below(5) {
        let field = FIELDS[1 + random.below(FIELDS.len() - 1)];
        out.extend(format!("{field}\r\n").bytes());
    }
    if is_odd {
        let field = random.pick(ODD_FIELDS);
        let end = random.pick(&["\r\n", "\r\n", "\r\n", "\n", "\r"]);
        out.extend(format!("{field}{end}").bytes());
    }
    match random.below(4) {
        0 if version == "HTTP/1.1" => {
            out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            chunks(random, out);
        }
        1 => {
            let length = random.below(40);
            out.extend(format!("Content-Length: {length}\r\n\r\n").bytes());
            out.extend((0..length).map(|_| b"body\r\n0 :"[random.below(9)]));
        }
        _ => out.extend(b"\r\n"),
    }
}

/// Appends a chunked body; one of twelve is invalid.
pub(crate) fn chunks(random: &mut Rng, out: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let length = 1 + random.below(20);
        let extension = random.pick(&["", "", ";a=b", ";quoted=\"x y\""]);
        out.extend(format!("{length:x}{extension}\r\n").bytes());
        out.extend((0..length).map(|_| b"data\r\n0;"[random.below(8)]));
        out.extend(random.pick(&["\r\n"; 11]).bytes());
    }
    let trailer = random.pick(&["", "", "", "Trailer: x\r\n", "A: b\r\nC:\r\n", "wrong\r\n"]);
    out.extend(format!("0\r\n{trailer}\r\n").bytes());
}

/// Generates up to four pipelined requests.
pub(crate) fn requests(random: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + random.below(3) {
        request(random, &mut out);
    }
    if random.below(6) == 0 {
        out.truncate(random.below(out.len()));
    }
    out
}

/// Generates lines, of which some exceed 60 bytes.
pub(crate) fn lines(random: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + random.below(5) {
        let length = random.below(62);
        out.extend((0..length).map(|_| b"lines \r\0\xff"[random.below(9)]));
        out.push(b'\n');
    }
    out.truncate(out.len() - random.below(4));
    out
}

/// Generates messages with their lengths, of which some exceed 60 bytes.
pub(crate) fn lengths(random: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + random.below(5) {
        let length = random.below(62);
        let spelling = match random.below(20) {
            0 => format!("0{length}"),
            1 => format!("+{length}"),
            2 => format!("{length} "),
            _ => length.to_string(),
        };
        out.extend(format!("{spelling}\n").bytes());
        out.extend((0..length).map(|_| b"123\n"[random.below(4)]));
    }
    out.truncate(out.len() - random.below(4));
    out
}

/// Generates questions of the Zen game, of which some exceed 60 bytes.
pub(crate) fn questions(random: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1 + random.below(5) {
        out.extend(
            random
                .pick(&[
                    "Beautiful is better than?",
                    "Explicit is better than?",
                    "Simple is better than?",
                    "Flat is better than?",
                    "?",
                    "\r\nSimple is better than?",
                    "Although practicality beats purity, what is better than purity then?",
                ])
                .bytes(),
        );
    }
    out.truncate(out.len() - random.below(4));
    out
}
