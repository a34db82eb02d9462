//! The options of an HTTP server that change what clients see, each on the command line and in the
//! file.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use common::{Server, Signal, run, text};

/// Creates a site with `index.html`, `404.html`, `about.html` and `app.js`, and a second one.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("site/index.html", "home");
    write("site/404.html", "none of ours");
    write("site/about.html", "about us");
    write("other/index.html", "the other home");
    write("users", USERS);
    folder
}

/// Runs `test` with a server that has these flags, and with one that has these keys.
fn both(flags: &[&str], keys: &str, test: impl Fn(&Server, &Path)) {
    let temp = folder();
    let site = temp.path().join("site");
    let flags: Vec<String> =
        flags.iter().map(|flag| flag.replace("DIR", temp.path().to_str().unwrap())).collect();
    let mut arguments = vec!["http", site.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    arguments.extend(flags.iter().map(String::as_str));
    let server = Server::serve("auto", &arguments);
    test(&server, temp.path());
    server.stop(Signal::TERM);

    let temp = folder();
    let file = temp.path().join("serve.toml");
    let described = format!(
        "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\nfolder = 'site'\n\
         {keys}\n"
    );
    fs::write(&file, described).unwrap();
    let server = Server::serve("auto", &["--config", file.to_str().unwrap()]);
    test(&server, temp.path());
    server.stop(Signal::TERM);
}

/// Sends a request, and reads to the end.
fn ask(at: SocketAddr, line: &str, fields: &[&str]) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let host = if fields.to_lowercase().contains("host:") { "" } else { "Host: a\r\n" };
    write!(stream, "{line} HTTP/1.1\r\n{host}{fields}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(server: &Server, path: &str, fields: &[&str]) -> String {
    ask(server.addr, &format!("GET {path}"), fields)
}

/// Checks that a start refuses the values, by flag and by key, with this message.
#[track_caller]
fn refused(flag: &str, values: &[&str], says: &str) {
    let temp = folder();
    let site = temp.path().join("site");
    for value in values {
        let output = run(&[
            "serve",
            "--check",
            "http",
            site.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            flag,
            value,
        ]);
        let (_, stderr) = text(&output);
        assert!(!output.status.success(), "{flag} {value:?} is taken");
        assert!(stderr.contains(says) && stderr.contains(flag), "{flag} {value:?}: {stderr}");
    }
}

#[test]
fn a_missing_path_gets_the_custom_page() {
    both(&["--not-found", "/404.html"], "not-found = '/404.html'", |server, _| {
        let answer = get(server, "/none", &[]);
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("none of ours"),
            "{answer}"
        );
    });
    refused("--not-found", &["404.html", "//a", "/a\r\nb"], "is not a path");
}

#[test]
fn an_applications_page_answers_its_paths() {
    both(&["--fallback", "/index.html"], "fallback = '/index.html'", |server, _| {
        let answer = get(server, "/users/7", &[]);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("home"), "{answer}");
        assert!(get(server, "/app.js", &[]).starts_with("HTTP/1.1 404 "));
        assert!(get(server, "/.git/config", &[]).starts_with("HTTP/1.1 404 "));
    });
}

#[test]
fn pages_are_found_without_their_ending() {
    both(&["--clean-urls"], "clean-urls = true", |server, _| {
        let answer = get(server, "/about", &[]);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("about us"), "{answer}");
    });
}

#[test]
fn every_answer_has_the_extra_fields() {
    both(
        &["--header", "X-Frame-Options: DENY", "--header", "Referrer-Policy:no-referrer"],
        "header = ['X-Frame-Options: DENY', 'Referrer-Policy: no-referrer']",
        |server, _| {
            for path in ["/", "/none"] {
                let answer = get(server, path, &[]);
                assert!(answer.contains("\r\nX-Frame-Options: DENY\r\n"), "{answer}");
                assert!(answer.contains("\r\nReferrer-Policy: no-referrer\r\n"), "{answer}");
            }
        },
    );
    refused("--header", &["X-A", "X-A: b\r\nSet-Cookie: c", "X\nA: b", ": b"], "header");
    refused("--header", &["Content-Length: 0", "Transfer-Encoding: chunked"], "itself sets");
}

#[test]
fn scripts_of_other_sites_may_read_answers() {
    both(&["--cors", "https://a.example"], "cors = ['https://a.example']", |server, _| {
        let allowed = "\r\nAccess-Control-Allow-Origin: https://a.example\r\n";
        assert!(get(server, "/", &["Origin: https://a.example"]).contains(allowed));
        assert!(!get(server, "/", &["Origin: https://b.example"]).contains("Allow-Origin"));
        let first = ["Origin: https://a.example", "Access-Control-Request-Method: GET"];
        let answer = ask(server.addr, "OPTIONS /", &first);
        assert!(answer.starts_with("HTTP/1.1 204 ") && answer.contains(allowed), "{answer}");
    });
    refused("--cors", &["a.example", "https://a.example/x"], "is not an origin");
}

#[test]
fn moved_paths_are_redirected() {
    both(
        &["--redirect", "/old=/about.html", "--redirect", "/blog/*=https://blog.example/"],
        "redirect = ['/old=/about.html', '/blog/*=https://blog.example/']",
        |server, _| {
            for (path, place) in [
                ("/old", "/about.html"),
                ("/blog/2026?a=b", "https://blog.example/2026?a=b"),
                ("/blog//evil.example", "https://blog.example/evil.example"),
            ] {
                let answer = get(server, path, &[]);
                assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
                assert!(answer.contains(&format!("\r\nLocation: {place}\r\n")), "{answer}");
            }
        },
    );
    refused(
        "--redirect",
        &["/old", "old=/new", "/old=//evil", "/a=/b\r\nX: y"],
        "cannot be redirected",
    );
}

#[test]
fn clients_of_http_are_sent_to_https() {
    both(&["--redirect-https"], "redirect-https = true", |server, _| {
        let answer = get(server, "/about.html?q", &["Host: a.example:80"]);
        assert!(answer.contains("\r\nLocation: https://a.example/about.html?q\r\n"), "{answer}");
    });
}

#[test]
fn each_host_has_its_folder() {
    both(&["--host", "b.example=DIR/other"], "host = ['b.example=other']", |server, _| {
        assert!(get(server, "/", &["Host: b.example"]).ends_with("the other home"));
        assert!(get(server, "/", &["Host: c.example"]).ends_with("\r\nhome"));
    });
    refused("--host", &["b.example:80=.", "b.example", "=.", "b.example=/no/such"], "host");
}

/// `htpasswd -nbB -C 4 alice secret`
const USERS: &str = "alice:$2y$04$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C\n";

#[test]
fn only_users_with_a_password_get_answers_and_the_log_has_their_names() {
    let right = "Authorization: Basic YWxpY2U6c2VjcmV0";
    both(&["--auth", "DIR/users"], "auth = 'users'", |server, _| {
        let answer = get(server, "/", &[]);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("\r\nWww-Authenticate: Basic realm="), "{answer}");
        assert!(get(server, "/", &[right]).ends_with("\r\nhome"));
        assert!(get(server, "/", &["Authorization: Basic YWxpY2U6U2VjcmV0"]).contains(" 401 "));
        assert!(get(server, "/none", &[]).starts_with("HTTP/1.1 401 "), "nothing is told");
    });
    let temp = folder();
    let (site, log) = (temp.path().join("site"), temp.path().join("log"));
    let (site, log_path) = (site.to_str().unwrap(), log.to_str().unwrap());
    let users = temp.path().join("users");
    let server = Server::serve(
        "auto",
        &[
            "http",
            site,
            "--listen",
            "127.0.0.1:0",
            "--auth",
            users.to_str().unwrap(),
            "--access-log",
            log_path,
            "--trust-forwarded",
            "127.0.0.0/8",
        ],
    );
    get(&server, "/", &[right, "X-Forwarded-For: 6.6.6.6, 192.0.2.9"]);
    server.stop(Signal::TERM);
    let lines = fs::read_to_string(&log).unwrap();
    assert!(lines.starts_with("192.0.2.9 - alice ["), "{lines}");
}

/// Runs a server with passwords and an access log, and returns the log's contents at the end.
fn with_users(more: &[&str], test: impl Fn(&Server, &Path)) -> String {
    let temp = folder();
    let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let (site, users, log) = (path("site"), path("users"), path("log"));
    let usual = ["http", &site, "--listen", "127.0.0.1:0", "--auth", &users, "--access-log", &log];
    let server = Server::serve("auto", &[&usual[..], more].concat());
    test(&server, temp.path());
    server.stop(Signal::TERM);
    fs::read_to_string(&log).unwrap()
}

#[test]
fn a_password_that_is_wrong_is_logged_with_the_name_that_was_tried() {
    let lines = with_users(&[], |server, _| {
        // mallory:guess, and a name that would be two fields.
        get(server, "/", &["Authorization: Basic bWFsbG9yeTpndWVzcw=="]);
        get(server, "/", &["Authorization: Basic YSBiOmM="]);
        get(server, "/", &[]);
        server.wait_for_stderr(|message| {
            message.contains("wrong")
                && message.contains("mallory")
                && message.contains("127.0.0.1")
        });
    });
    let users: Vec<&str> = lines.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(users, ["mallory", "a_b", "-"], "{lines}");
    assert!(lines.lines().all(|line| line.contains("\" 401 ")), "{lines}");
}

#[test]
fn too_many_wrong_passwords_are_reported_to_client_and_log() {
    let lines = with_users(&[], |server, _| {
        let wrong = "Authorization: Basic bWFsbG9yeTpndWVzcw==";
        let mut last = String::new();
        for _ in 0..60 {
            last = get(server, "/", &[wrong]);
            if last.contains(" 429 ") {
                break;
            }
        }
        let (head, body) = last.split_once("\r\n\r\n").unwrap();
        let wait = head.lines().find_map(|line| line.strip_prefix("Retry-After: ")).unwrap();
        let says = format!("too many wrong passwords from this address; try again in {wait} s");
        assert!(head.starts_with("HTTP/1.1 429 ") && body.contains(&says), "{last}");
        server.wait_for_stderr(|message| {
            message.contains("too many wrong passwords")
                && message.contains("127.0.0.1")
                && message.contains("30")
        });
    });
    assert!(lines.lines().last().unwrap().contains(" - mallory ["), "{lines}");
}

#[test]
fn a_certificate_authority_needs_no_password_for_its_token_only() {
    let more = ["--list", "--fallback", "/index.html", "--not-found", "/404.html"];
    with_users(&more, |server, folder| {
        let well_known = folder.join("site/.well-known");
        fs::create_dir_all(well_known.join("acme-challenge/folder")).unwrap();
        fs::write(well_known.join("acme-challenge/to-ken_1"), "the answer").unwrap();
        fs::write(well_known.join("acme-challenge/index.html"), "an index").unwrap();
        fs::write(well_known.join("acme-challenge/folder/x"), "deeper").unwrap();
        fs::write(well_known.join("other"), "a secret").unwrap();
        let challenge = "/.well-known/acme-challenge";
        let got = get(server, &format!("{challenge}/to-ken_1"), &[]);
        assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\nthe answer"), "{got}");
        // A missing page shows nothing of the site.
        let got = get(server, &format!("{challenge}/none"), &[]);
        assert!(got.starts_with("HTTP/1.1 404 "), "{got}");
        assert!(!got.contains("home") && !got.contains("none of ours"), "{got}");
        for path in [
            "",
            "/",
            "/index.html",
            "/folder",
            "/folder/x",
            "/../other",
            "/%2e%2e/other",
            "/..%2fother",
            "/to-ken_1/",
            "/to%2dken_1",
        ] {
            let got = get(server, &format!("{challenge}{path}"), &[]);
            assert!(got.starts_with("HTTP/1.1 401 "), "{path}: {got}");
        }
        let got = get(server, "/.well-known/other", &[]);
        assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
        let got = ask(server.addr, &format!("POST {challenge}/to-ken_1"), &["Content-Length: 0"]);
        assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
    });
}

/// Sends these bytes, and reads to the end.
fn send(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // An early answer may be followed by a reset.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn answers_to_malformed_requests_have_the_extra_fields() {
    let flags = ["--header", "X-A: b", "--header", "Server: of mine", "--head-timeout", "1s"];
    let keys = "header = ['X-A: b', 'Server: of mine']\nmax-body = 1000\n\
                [server.limits]\nhead-timeout = '1s'";
    both(&[&flags[..], &["--max-body", "1000"]].concat(), keys, |server, _| {
        let long = "x".repeat(200_000);
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX".to_owned(), 408),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n".to_owned(), 413),
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n".to_owned(), 417),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
            ("GET / HTTP/1.7\r\nHost: a\r\n\r\n".to_owned(), 505),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), 204),
            ("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), 404),
        ] {
            let answer = send(server.addr, request.as_bytes());
            let start: String = request.chars().take(40).collect();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{start}: {answer}");
            for field in ["\r\nX-A: b\r\n", "\r\nServer: of mine\r\n"] {
                assert_eq!(answer.matches(field).count(), 1, "{start}: {answer}");
            }
        }
    });
}

#[test]
fn a_served_or_malformed_password_file_is_refused() {
    let temp = folder();
    let site = temp.path().join("site");
    fs::write(site.join("users"), USERS).unwrap();
    fs::write(temp.path().join("plain"), "alice:secret\n").unwrap();
    for (file, says) in
        [("site/users", "would be served"), ("plain", "htpasswd -B"), ("none", "cannot read")]
    {
        let file = temp.path().join(file);
        let (site, file) = (site.to_str().unwrap(), file.to_str().unwrap());
        let output =
            run(&["serve", "--check", "http", site, "--listen", "127.0.0.1:0", "--auth", file]);
        assert!(text(&output).1.contains(says), "{}", text(&output).1);
        assert!(!text(&output).1.contains("alice:secret"));
    }
}

#[test]
fn only_a_trusted_proxy_sets_the_scheme() {
    both(
        &["--trust-forwarded", "127.0.0.1", "--redirect-https"],
        "trust-forwarded = ['127.0.0.1']\nredirect-https = true",
        |server, _| {
            assert!(get(server, "/", &["X-Forwarded-Proto: https"]).ends_with("\r\nhome"));
            assert!(get(server, "/", &["X-Forwarded-Proto: http"]).contains(" 308 "));
        },
    );
    both(
        &["--trust-forwarded", "192.0.2.0/24", "--redirect-https"],
        "trust-forwarded = ['192.0.2.0/24']\nredirect-https = true",
        |server, _| assert!(get(server, "/", &["X-Forwarded-Proto: https"]).contains(" 308 ")),
    );
    refused("--trust-forwarded", &["10.0.0.0/33", "proxy"], "is not a network");
}

#[test]
fn a_client_above_its_request_rate_gets_429() {
    both(&["--request-rate", "1"], "request-rate = 1", |server, _| {
        // Ten at once, and one more for each second that this takes.
        let mut last = String::new();
        for _ in 0..200 {
            last = get(server, "/", &[]);
            if last.contains(" 429 ") {
                break;
            }
        }
        assert!(
            last.contains("HTTP/1.1 429 ") && last.contains("\r\nRetry-After: 1\r\n"),
            "{last}"
        );
    });
}
