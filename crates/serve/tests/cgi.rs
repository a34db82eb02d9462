//! Scripts: their environment, their answers, their messages.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use overlapped::run;
use overlapped_serve::Peer;
use overlapped_serve::web::{Cgi, Files, Site, User};
use overlapped_wire::http::Service;
use testkit::wait_until_with;

mod rig;

use rig::{Got, get, post, request, script};

const PLAIN: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n";

/// Calls `test` with a folder that contains one script, and with its handler.
fn with_script(text: &str, test: impl FnOnce(&Path, Cgi)) {
    let temp = tempfile::tempdir().unwrap();
    script(temp.path(), "x", text);
    let cgi = Cgi::new(temp.path()).unwrap();
    run(|| test(temp.path(), cgi)).unwrap();
}

/// Returns the environment of a script from /proc, without a shell's additions.
fn environment(
    site: &mut Site,
    request: http::Request<()>,
    body: &str,
) -> BTreeMap<String, String> {
    let got = Got::of(site.call(request, &mut body.as_bytes()));
    assert_eq!(got.status, 200);
    let pairs = got.text().split_terminator('\0');
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn h9_the_environment_is_that_of_the_rfc_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    script(temp.path(), "sub/env", &format!("{PLAIN}cat /proc/$$/environ\n"));
    let cgi = Cgi::new(temp.path()).unwrap().documents("/srv/www").env("PATH", "/usr/bin:/bin");
    let cgi = cgi.env("LANG", "C").env("TZ", "UTC").env("LC_ALL", "C");
    let peer = Peer::default()
        .with_remote("[::ffff:192.0.2.7]:1234".parse().unwrap())
        .with_local("198.51.100.1:8080".parse().unwrap())
        .with_secure(true);
    let mut site = Site::new().at("/cgi-bin", cgi).for_peer(&peer);
    let fields = [
        ("host", "www.example.com:8080"),
        ("proxy", "http://evil.example"),
        ("authorization", "Basic c2VjcmV0"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("x-foo", "right"),
        ("x_foo", "wrong"),
        ("x-foo", "second"),
        ("x.foo", "wrong"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("content-type", "text/x-test"),
        ("content-length", "5"),
        ("connection", "close, upgrade"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("http-proxy", "harmless"),
        ("path", "/evil"),
        ("accept", "*/*"),
    ];
    let path = "/cgi-bin/sub/env/extra%20path//b/?query=1%20&x";
    let script = temp.path().join("sub/env");
    let script = script.to_str().unwrap();
    let expected = [
        ("CONTENT_LENGTH", "4"),
        ("CONTENT_TYPE", "text/x-test"),
        ("DOCUMENT_ROOT", "/srv/www"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("HTTPS", "on"),
        ("HTTP_ACCEPT", "*/*"),
        ("HTTP_COOKIE", "a=1; b=2"),
        ("HTTP_HOST", "www.example.com:8080"),
        ("HTTP_HTTP_PROXY", "harmless"),
        ("HTTP_PATH", "/evil"),
        ("HTTP_X_FOO", "right, second"),
        ("LANG", "C"),
        ("LC_ALL", "C"),
        ("PATH", "/usr/bin:/bin"),
        ("PATH_INFO", "/extra path//b/"),
        ("PATH_TRANSLATED", "/srv/www/extra path//b/"),
        ("QUERY_STRING", "query=1%20&x"),
        ("REDIRECT_STATUS", "200"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_HOST", "192.0.2.7"),
        ("REMOTE_PORT", "1234"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_SCHEME", "https"),
        ("REQUEST_URI", path),
        ("SCRIPT_FILENAME", script),
        ("SCRIPT_NAME", "/cgi-bin/sub/env"),
        ("SERVER_ADDR", "198.51.100.1"),
        ("SERVER_NAME", "www.example.com"),
        ("SERVER_PORT", "8080"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", concat!("overlapped/", env!("CARGO_PKG_VERSION"))),
        ("TZ", "UTC"),
    ];
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    run(|| {
        let sent = request("POST", path, &fields);
        assert_eq!(environment(&mut site, sent, "body"), expected);
        let bare = environment(&mut site, request("GET", "/cgi-bin/sub/env", &[]), "");
        assert_eq!((&*bare["PATH_INFO"], &*bare["QUERY_STRING"]), ("", ""));
        assert_eq!(bare["SERVER_NAME"], "198.51.100.1");
        assert!(!bare.contains_key("CONTENT_LENGTH") && !bare.contains_key("PATH_TRANSLATED"));
        assert!(!bare.contains_key("HTTP_PROXY"));
    })
    .unwrap();
    println!("RELIABILITY H9 {} variables, exactly these; no HTTP_PROXY", expected.len());
}

#[test]
fn a_body_has_a_length_and_may_be_read_or_ignored() {
    with_script(&format!("{PLAIN}printf '%s:' \"$CONTENT_LENGTH\"; cat\n"), |folder, mut cgi| {
        assert_eq!(post(&mut cgi, "/x", &b"some text"[..]).text(), "9:some text");
        assert_eq!(post(&mut cgi, "/x", &b""[..]).text(), "0:");
        assert_eq!(get(&mut cgi, "/x").text(), ":");
        let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let got = post(&mut cgi, "/x", &*large).body.unwrap();
        assert!(got.strip_prefix(b"1200000:") == Some(&*large));
        script(folder, "ignores", &format!("{PLAIN}echo answered\n"));
        assert_eq!(post(&mut cgi, "/ignores", &*large).text(), "answered\n");
        let mut small = cgi.clone().body_max(10);
        assert_eq!(post(&mut small, "/x", &b"0123456789"[..]).status, 200);
        assert_eq!(post(&mut small, "/x", &b"0123456789a"[..]).status, 413);
        let announced = request("POST", "/x", &[("content-length", "11")]);
        assert_eq!(small.call(announced, &mut io::empty()).status(), 413);
    });
}

#[test]
fn status_headers_and_length_are_those_of_the_script() {
    with_script("#!/bin/sh\n. ./$QUERY_STRING\n", |folder, mut cgi| {
        let mut say = |text: &str| {
            fs::write(folder.join("say"), format!("printf '{text}'\n")).unwrap();
            get(&mut cgi, "/x?say")
        };
        let got = say("Status: 404 Gone\\r\\nContent-Type: a/b\\r\\nX-A: 1\\r\\n\\r\\n\\nbody\\n");
        assert_eq!((got.status.as_u16(), got.text()), (404, "\nbody\n"));
        assert_eq!((got.field("content-type"), got.field("x-a")), ("a/b", "1"));
        let got = say("Content-Type: a/b\\nContent-Length: 3\\n\\n12345");
        assert_eq!((got.text(), got.field("content-length")), ("123", ""));
        assert_eq!(say("Status: 204 None\\n\\nbody").text(), "");
        // git http-backend answers so, without content.
        let got = say("Status: 404 Not Found\\r\\nPragma: no-cache\\r\\n\\r\\n");
        assert_eq!((got.status.as_u16(), got.text(), got.field("content-type")), (404, "", ""));
        let got = say("Location: https://host/x\\n\\n");
        assert_eq!((got.status.as_u16(), got.field("location")), (302, "https://host/x"));
        for wrong in ["", "Content-Type: a/b\\n", "\\n", "Content-Type: a/b\\nX: a\\rb\\n\\n"] {
            assert_eq!(say(wrong).status, 502, "{wrong:?}");
        }
        let long = format!("X: {}\\n", "x".repeat(1000)).repeat(40);
        assert_eq!(say(&long).status, 502);
    });
}

#[test]
fn h11_a_local_redirect_is_answered_by_the_site_and_never_written_out() {
    let temp = tempfile::tempdir().unwrap();
    let (scripts, files) = (temp.path().join("scripts"), temp.path().join("files"));
    fs::create_dir_all(&scripts).unwrap();
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join("page.txt"), "the page").unwrap();
    script(&scripts, "to", "#!/bin/sh\nprintf 'Location: %b\\n\\n' \"$QUERY_STRING\"\n");
    let cgi = Cgi::new(&scripts).unwrap();
    let mut alone = cgi.clone();
    let site = Site::new().at("/cgi", cgi).at("/", Files::new(&files).unwrap());
    run(|| {
        let mut site = site.clone();
        let got = get(&mut site, "/cgi/to?/page.txt");
        assert_eq!((got.status.as_u16(), got.text()), (200, "the page"));
        assert_eq!(get(&mut site, "/cgi/to?/none").status, 404);
        assert_eq!(get(&mut site, "/cgi/to?/cgi/to").status, 502);
        assert_eq!(get(&mut site, "/cgi/to?/cgi/to?/page.txt").text(), "the page");
        let loops = "/cgi/to?".repeat(7) + "/page.txt";
        assert_eq!(get(&mut site, &loops).status, 502);
        // The shell turns `\r` and `\n` into a carriage return and a second line.
        let split = get(&mut site, "/cgi/to?/x\\r\\nSet-Cookie:\\040a");
        assert_eq!(split.field("set-cookie"), "");
        assert_eq!(get(&mut site, "/cgi/to?/x\\rSet-Cookie:a").status, 502);
        let got = get(&mut alone, "/to?//evil.example/x");
        assert_eq!((got.status.as_u16(), got.field("location")), (302, "//evil.example/x"));
        assert_eq!(get(&mut site, "/cgi/to?//evil.example/x").status, 404);
    })
    .unwrap();
    println!("RELIABILITY H11 8 local redirects");
}

#[test]
fn h8_no_spelling_of_a_prefix_shows_the_source_of_a_script() {
    let temp = tempfile::tempdir().unwrap();
    script(temp.path(), "cgi-bin/sub/x", &format!("{PLAIN}: the source\necho answered\n"));
    let cgi = Cgi::new(temp.path().join("cgi-bin")).unwrap();
    let files = Files::new(temp.path()).unwrap().listing(true).hidden(true);
    let mut site = Site::new().at("/cgi-bin/", cgi).at("/", files);
    let spellings = [
        "/cgi-bin",
        "//cgi-bin",
        "/cgi%2Dbin",
        "/%63%67%69-bin",
        "/%2e/cgi-bin",
        "/./cgi-bin",
        "/x/../cgi-bin",
        "/cgi-bin/",
        "/cgi-bin/.",
        "/cgi-bin//",
        "/cgi-bin%2f",
        "/CGI-BIN",
        "/cgi-bin;a",
        "/cgi-bin%00",
        "/cgi-bin%20",
        "/cgi-bin/%2e",
        "///cgi-bin",
        "/.//cgi-bin",
    ];
    run(|| {
        let mut answered = 0;
        for spelling in spellings {
            for rest in ["", "/", "/sub", "/sub/", "/sub/x", "//sub/x", "/sub//x", "/sub/x/"] {
                let got = get(&mut site, &format!("http://host{spelling}{rest}"));
                let is_shown = got.text().contains("the source") || got.text().contains("sub");
                assert!(!is_shown, "{spelling}{rest}");
                answered += usize::from(got.text() == "answered\n");
            }
        }
        assert!(answered >= 10, "{answered}");
    })
    .unwrap();
    println!("RELIABILITY H8 {} spellings of a prefix", spellings.len() * 8);
}

#[test]
fn only_executable_files_below_the_folder_are_run() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("scripts");
    for name in ["scripts/x", "scripts/sub/x", "scripts/.hidden", "outside"] {
        script(temp.path(), name, &format!("{PLAIN}printf %s \"$PATH_INFO\"\n"));
    }
    fs::write(folder.join("data"), PLAIN).unwrap();
    symlink("../outside", folder.join("out")).unwrap();
    symlink("sub/x", folder.join("in")).unwrap();
    let mut cgi = Cgi::new(&folder).unwrap();
    run(|| {
        for (path, status) in [
            ("/x", 200),
            ("/%78", 200),
            ("/x/", 200),
            ("/x/.hidden/y", 200),
            ("/sub/x", 200),
            ("/in", 200),
            ("/", 404),
            ("", 404),
            ("/sub", 404),
            ("/sub/", 404),
            ("/none", 404),
            ("/out", 404),
            ("/.hidden", 404),
            ("//x", 404),
            ("/data", 403),
            ("/x/../outside", 400),
            ("/../outside", 400),
            ("/x/%2e%2e", 400),
            ("/x%2f..", 404),
            ("/x/%00", 400),
        ] {
            assert_eq!(get(&mut cgi, &format!("http://host{path}")).status, status, "{path}");
        }
        assert_eq!(get(&mut cgi, "/x//a/%2541/").text(), "//a/%41/");
        let trace = cgi.call(request("TRACE", "/x", &[]), &mut io::empty());
        assert_eq!(trace.status(), 405);
    })
    .unwrap();
}

#[test]
fn a_script_that_may_not_be_executed_is_logged() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("x"), PLAIN).unwrap();
    let log = logged(|| {
        let mut cgi = Cgi::new(temp.path()).unwrap();
        run(|| assert_eq!(get(&mut cgi, "/x").status, 403)).unwrap();
    });
    assert!(log.contains("chmod +x") && log.contains("/x"), "{log}");
}

#[test]
fn a_script_starts_in_its_folder_and_the_number_of_running_scripts_is_limited() {
    let text = format!("{PLAIN}pwd; while ! [ -e go ]; do sleep 0.02; done\n");
    with_script(&text, |folder, cgi| {
        let mut cgi = cgi.running_max(2).queue_max(0);
        let waiting: Vec<_> =
            (0..2).map(|_| cgi.call(request("GET", "/x", &[]), &mut io::empty())).collect();
        let busy = get(&mut cgi, "/x");
        assert_eq!((busy.status.as_u16(), busy.field("retry-after")), (503, "1"));
        fs::write(folder.join("go"), "").unwrap();
        for answer in waiting {
            let got = Got::of(answer);
            let place = folder.canonicalize().unwrap();
            assert_eq!(got.text().trim_end(), place.to_str().unwrap());
        }
        // The permits are released when the scripts have ended.
        wait_until_with(overlapped::time::sleep, "the permits are free", || {
            get(&mut cgi, "/x").status == 200
        });
    });
}

#[test]
fn paths_in_the_environment_are_absolute() {
    let text = format!("{PLAIN}echo $PATH_TRANSLATED; echo $DOCUMENT_ROOT; echo $SCRIPT_FILENAME");
    with_script(&text, |folder, cgi| {
        let here = std::env::current_dir().unwrap();
        let got = get(&mut cgi.documents("site"), "/x/a");
        let expected = [here.join("site/a"), here.join("site"), folder.join("x")];
        assert_eq!(got.text().lines().map(Path::new).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_password_is_passed_on_only_if_that_is_enabled() {
    with_script(&format!("{PLAIN}echo \"<$HTTP_AUTHORIZATION>\""), |_, cgi| {
        let ask = |cgi: &Cgi| {
            let fields = [("authorization", "Basic c2VjcmV0")];
            Got::of(cgi.clone().call(request("GET", "/x", &fields), &mut io::empty()))
        };
        assert_eq!(ask(&cgi).text(), "<>\n");
        assert_eq!(ask(&cgi.pass_authorization(true)).text(), "<Basic c2VjcmV0>\n");
    });
}

#[test]
fn scripts_get_the_authenticated_user_also_behind_a_local_redirect() {
    let temp = tempfile::tempdir().unwrap();
    script(temp.path(), "to", "#!/bin/sh\nprintf 'Location: /who\\n\\n'\n");
    script(temp.path(), "who", &format!("{PLAIN}echo \"$AUTH_TYPE <$REMOTE_USER>\"\n"));
    let mut site = Site::new().at("/", Cgi::new(temp.path()).unwrap());
    run(|| {
        assert_eq!(get(&mut site, "/who").text(), " <>\n");
        for path in ["/who", "/to"] {
            let mut asked = request("GET", path, &[]);
            asked.extensions_mut().insert(User::new("Basic", "me"));
            let got = Got::of(site.call(asked, &mut io::empty()));
            assert_eq!(got.text(), "Basic <me>\n", "{path}");
        }
    })
    .unwrap();
}

#[test]
fn a_script_runs_to_its_end_although_its_output_is_not_wanted() {
    let text = "#!/bin/sh\nprintf \"$QUERY_STRING\\nContent-Type: a/b\\n\\n\"\n\
                head -c 300000 /dev/zero && touch done\n";
    with_script(text, |folder, mut cgi| {
        for (method, query, length) in [
            ("HEAD", "X:1", None),
            ("HEAD", "Content-Length:300000", Some(300_000)),
            ("GET", "Status:204", Some(0)),
            ("GET", "Content-Length:1", Some(1)),
        ] {
            let asked = request(method, &format!("/x?{query}"), &[]);
            let answer = cgi.call(asked, &mut io::empty());
            assert_eq!(answer.body().len(), length, "{method} {query}");
            Got::of(answer);
            let what = format!("it is done, not ended: {method} {query}");
            wait_until_with(overlapped::time::sleep, &what, || folder.join("done").exists());
            fs::remove_file(folder.join("done")).unwrap();
        }
    });
}

#[test]
fn output_is_sent_while_the_script_writes() {
    let text = format!("{PLAIN}echo first; while ! [ -e go ]; do sleep 0.02; done; echo second\n");
    with_script(&text, |folder, mut cgi| {
        let answer = cgi.call(request("GET", "/x", &[]), &mut io::empty());
        let overlapped_wire::http::Content::Reader { mut reader, len: None } = answer.into_body()
        else {
            panic!("a reader of unknown length")
        };
        let mut first = [0; 6];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first\n");
        fs::write(folder.join("go"), "").unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "second\n");
    });
}

#[test]
fn the_examples_answer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cgi");
    let mut cgi = Cgi::new(folder).unwrap();
    let has_python = std::process::Command::new("python3").arg("-V").output().is_ok();
    run(|| {
        let got = get(&mut cgi, "/env.sh/more?a=b");
        assert_eq!(got.status, 200);
        assert!(got.text().contains("PATH_INFO=/more\n"), "{}", got.text());
        assert!(get(&mut cgi, "/counter.sh?2").text().ends_with("2\n"));
        if !has_python {
            println!("SKIPPED: python3 is missing, so its example was not tried");
            return;
        }
        assert!(get(&mut cgi, "/upload.py").text().contains("<form"));
        let kind = ("content-type", "multipart/form-data; boundary=XX");
        let body = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a<b.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\nhello\r\n--XX--\r\n";
        let sent = request("POST", "/upload.py", &[kind, ("transfer-encoding", "chunked")]);
        let got = Got::of(cgi.call(sent, &mut body.as_bytes()));
        assert!(
            got.text().contains("a&lt;b.txt") && got.text().contains("5 bytes"),
            "{}",
            got.text()
        );
    })
    .unwrap();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until the log contains all of these texts: a script's end is logged after its answer.
    fn wait_for(&self, says: &[&str]) {
        let is_there = || says.iter().all(|said| self.text().contains(said));
        wait_until_with(overlapped::time::sleep, &format!("the log says {says:?}"), is_there);
    }
}

/// Returns what `f` logs in this thread.
fn logged(f: impl FnOnce()) -> String {
    logged_with(|_| f())
}

/// Calls `f` with a log that it can read meanwhile.
fn logged_with(f: impl FnOnce(&Log)) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    tracing::subscriber::with_default(subscriber.finish(), || f(&log));
    log.text()
}

#[test]
fn failures_of_scripts_are_logged_with_a_remedy() {
    for (text, says) in [
        ("#!/bin/sh\r\necho\r\n", vec!["CR LF", "#!/bin/sh\\r", "sed -i"]),
        ("#!/usr/bin/env sh\r\necho\r\n", vec!["CR LF", "sed -i"]),
        ("#!/no/such/shell -e\n", vec!["interpreter", "/no/such/shell\"", "install it"]),
        ("#!/\n", vec!["cannot be started", "may not execute it or its interpreter"]),
        ("#!/bin/sh\nkill -SEGV $$\n", vec!["ended by the signal SIGSEGV", "by hand"]),
        ("#!/bin/sh\nkill -KILL $$\n", vec!["ended by the signal SIGKILL", "dmesg"]),
        ("#!/bin/sh\nexit 3\n", vec!["ended with exit code 3", "Content-Type", "this log"]),
        ("#!/bin/sh\necho hello\n", vec!["ended with exit code 0", "an empty line"]),
        ("#!/bin/sh\nprintf 'x:y\\n\\n'\n", vec!["Content-Type, Status and Location"]),
    ] {
        let log = logged_with(|log| {
            with_script(text, |_, mut cgi| {
                assert_eq!(get(&mut cgi, "/x").status, 502, "{text:?}");
                log.wait_for(&says);
            });
        });
        for said in says {
            assert!(log.contains(said), "{text:?}: {said:?} is not in\n{log}");
        }
    }
    // A script that has answered is logged, too; one that has succeeded is not.
    let log = logged_with(|log| {
        with_script(&format!("{PLAIN}echo; kill -ABRT $$\n"), |_, mut cgi| {
            assert_eq!(get(&mut cgi, "/x").status, 200);
            log.wait_for(&["SIGABRT"]);
        });
    });
    assert!(log.contains("ended by the signal SIGABRT"), "{log}");
    let log =
        logged(|| with_script(PLAIN, |_, mut cgi| assert_eq!(get(&mut cgi, "/x").status, 200)));
    assert_eq!(log, "");
}

#[test]
fn standard_error_is_logged_by_lines_escaped_and_bounded() {
    let long = "y".repeat(3_000);
    let text = format!(
        "{PLAIN}printf 'one\\033[31m\\rx\\n{long}\\n' >&2\n\
         n=0; while [ $n -lt 200 ]; do echo more >&2; n=$((n+1)); done\nprintf 'last' >&2\n"
    );
    // The run ends when all output has been read.
    let log =
        logged(|| with_script(&text, |_, mut cgi| assert_eq!(get(&mut cgi, "/x").status, 200)));
    assert!(log.contains("/x: one\\u{1b}[31m\\rx\n"), "{log}");
    assert!(log.contains(&format!("{}\n", "y".repeat(1_000))) && !log.contains(&long));
    assert_eq!(log.matches("/x: more\n").count(), 98);
    assert!(log.contains("more than 100 lines") && !log.contains("last"));
}
