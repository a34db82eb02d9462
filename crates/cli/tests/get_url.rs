//! `overlapped get`: URLs as users and servers write them, credentials, certificates, errors.

mod common;
mod site;

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{has_client, on_each_port, text};
use site::{Authority, Site, Then, answer, command, get, names};

fn results(output: &std::process::Output) -> (Option<i32>, String, String) {
    let (stdout, stderr) = text(output);
    (output.status.code(), stdout, stderr)
}

#[test]
fn a_user_and_a_password_are_decoded_and_stay_with_their_host() {
    let folder = tempfile::tempdir().unwrap();
    let other = Site::start(|_, out| answer(out, "200 OK", "", b"other"));
    let elsewhere = other.url("/away");
    let site = Site::start(move |request, out| match request.path.as_str() {
        "/here" => answer(out, "302 Found", "Location: /there\r\n", b""),
        "/away" => answer(out, "302 Found", &format!("Location: {elsewhere}\r\n"), b""),
        _ => answer(out, "200 OK", "", b"text"),
    });
    let with_user = |path: &str| site.url(path).replace("//", "//user:p%40ss%3A@");
    let (here, away) = (with_user("/here"), with_user("/away"));
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &["-j1", &here, &away]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for request in site.requests() {
        // user:p@ss:
        assert_eq!(request.header("authorization"), Some("Basic dXNlcjpwQHNzOg=="));
    }
    assert_eq!(other.requests()[0].header("authorization"), None, "they are not the other's");
}

#[test]
fn redirects_are_followed_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| {
        let location: &[u8] = match request.path.as_str() {
            "/utf-8" => "/ü b?x=ä".as_bytes(),
            "/latin-1" => b"/\xfc",
            "/fragment" => b"/end#part",
            "/folder/dots" => b"../end",
            path => return answer(out, "200 OK", "", path.as_bytes()),
        };
        write!(out, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ")?;
        out.write_all(location)?;
        write!(out, "\r\n\r\n")?;
        out.flush()?;
        Ok(Then::Keep)
    });
    for (path, end) in [
        ("/utf-8", "/%C3%BC%20b?x=%C3%A4"),
        ("/latin-1", "/%FC"),
        ("/fragment", "/end"),
        ("/folder/dots", "/end"),
    ] {
        let arguments = ["--overwrite", "-o", "file", &site.url(path)];
        let (code, stdout, stderr) = results(&get("poll", folder.path(), &arguments));
        assert_eq!(code, Some(0), "{path}: {stdout}{stderr}");
        assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), end);
    }
}

#[test]
fn a_host_beyond_ascii_is_requested_in_its_dns_form() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let mut command = command("poll", folder.path(), &["http://Bücher.example/straße"]);
    let output = command.env("http_proxy", proxy.url("")).output().unwrap();
    let (code, stdout, stderr) = results(&output);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(proxy.requests()[0].path, "http://xn--bcher-kva.example/stra%C3%9Fe");
    assert_eq!(names(folder.path()), ["straße"]);
}

#[test]
fn a_bare_percent_sign_is_encoded() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let output = get("poll", folder.path(), &[&site.url("/100%.txt?of=5%&x=%20")]);
    assert_eq!(output.status.code(), Some(0), "{:?}", results(&output));
    assert_eq!(names(folder.path()), ["100%.txt"]);
    assert_eq!(site.requests()[0].path, "/100%25.txt?of=5%25&x=%20");
}

#[test]
fn a_list_in_any_encoding_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| answer(out, "200 OK", "", request.path.as_bytes()));
    let [a, latin, z] = ["/a", "/", "/z"].map(|path| site.url(path).into_bytes());
    let list = [&a[..], b"\n", &latin, b"\xe9\r\n", &z].concat();
    fs::write(folder.path().join("list"), list).unwrap();
    let arguments = ["-i", "list", "-o", "into/"];
    let (code, stdout, stderr) = results(&get("poll", folder.path(), &arguments));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(site.requests_for("/%E9").len(), 1);
    assert_eq!(names(&folder.path().join("into")).len(), 3);
}

/// A self-signed server certificate, with and without the right to sign others.
#[test]
fn a_server_may_be_trusted_by_its_own_certificate() {
    if !has_client("openssl") {
        return;
    }
    on_each_port(|port| {
        for (extension, host, code) in [
            ("basicConstraints=critical,CA:TRUE", "localhost", 0),
            ("basicConstraints=critical,CA:FALSE", "localhost", 0),
            ("basicConstraints=critical,CA:TRUE", "other.test", 1),
        ] {
            let folder = tempfile::tempdir().unwrap();
            certify(folder.path(), extension, host);
            let pem = |name: &str| fs::read(folder.path().join(name)).unwrap();
            let site = Site::start_tls_with(&pem("cert.pem"), &pem("key.pem"), |_, out| {
                answer(out, "200 OK", "", b"mine")
            });
            let arguments = ["--cacert", "cert.pem", "--retries", "0", &site.url("/file")];
            let (got, stdout, stderr) = results(&get(port, folder.path(), &arguments));
            assert_eq!(got, Some(code), "{extension} {host}: {stdout}{stderr}");
            assert_eq!(folder.path().join("file").exists(), code == 0);
            if code == 1 {
                let message = "certificate is for other.test, not for localhost";
                assert!(stderr.contains(message), "{stderr}");
            }
            // The certificate of another server is not trusted here.
            let other = Authority::new("other").write(folder.path());
            let arguments = ["--cacert", other.to_str().unwrap(), "--retries", "0"];
            let output = get(port, folder.path(), &[&arguments[..], &[&site.url("/x")]].concat());
            let (got, _, stderr) = results(&output);
            assert_eq!(got, Some(1));
            assert!(stderr.contains("certificate") && !stderr.contains("Other"), "{stderr}");
        }
    });
}

fn certify(folder: &Path, extension: &str, host: &str) {
    let name = format!("subjectAltName=DNS:{host}");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=mine"])
        .args(["-addext", &name, "-addext", extension])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made).1);
}

/// Expired, for another name, of an unknown issuer, and of an authority itself.
#[test]
fn a_refused_certificate_is_reported_with_reason_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = |name: &str, last: i32, is_ca: bool| {
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(last, 2, 3);
        if is_ca {
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        parameters.self_signed(&key).unwrap().pem()
    };
    let other = Authority::new("other").write(folder.path());
    for (name, last, is_ca, is_trusted, message) in [
        ("localhost", 2002, false, true, "expired on Sun, 03 Feb 2002"),
        ("other.test", 2100, false, true, "is for other.test, not for localhost"),
        ("localhost", 2100, false, false, "if you trust it, give its certificate: --ca"),
        ("localhost", 2100, true, false, "only if it is trusted itself: --cacert FILE"),
    ] {
        let pem = certificate(name, last, is_ca);
        fs::write(folder.path().join("own.pem"), &pem).unwrap();
        let handler = |_: &site::Request, out: site::Out<'_>| answer(out, "200 OK", "", b"");
        let site = Site::start_tls_with(pem.as_bytes(), key.serialize_pem().as_bytes(), handler);
        let cacert = if is_trusted { "own.pem" } else { other.to_str().unwrap() };
        let arguments = ["--cacert", cacert, &site.url("/x")];
        let (code, _, stderr) = results(&get("poll", folder.path(), &arguments));
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
        assert!(!stderr.contains("attempts"), "another attempt would end the same way: {stderr}");
    }
}

#[test]
fn missing_and_refused_credentials_have_different_messages() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|_, out| {
        answer(out, "401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b"")
    });
    let (url, home) = (site.url("/x"), folder.path().to_str().unwrap());
    fs::write(folder.path().join("list"), "machine localhost login me password S3cret").unwrap();
    let with_user = url.replace("//", "//user:S3cret@");
    let (missing, refused) = ("asks for a user and a password", "rejects the given user");
    for (arguments, netrc, message) in [
        (&[&*url][..], "none", missing),
        (&["-H", "Authorization: Basic S3cret", &url], "none", refused),
        (&["--netrc", &url], "list", refused),
        (&[&with_user], "none", refused),
    ] {
        let mut command = command("poll", folder.path(), arguments);
        command.env("NETRC", format!("{home}/{netrc}"));
        let (code, _, stderr) = results(&command.output().unwrap());
        assert_eq!(code, Some(1));
        assert!(stderr.contains(message) && !stderr.contains("S3cret"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn http_to_a_tls_port_suggests_https() {
    on_each_port(|port| {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::start_tls(&Authority::new("a"), |_, out| answer(out, "200 OK", "", b""));
        let url = site.url("/x").replace("https:", "http:");
        let (code, _, stderr) = results(&get(port, folder.path(), &[&url]));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("/x: this port uses TLS: write https:// instead"), "{stderr}");
    });
}

#[test]
fn errors_are_reported_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(|request, out| {
        match request.path.as_str() {
            "/gopher" => answer(out, "302 Found", "Location: gopher://h/\r\n", b"")?,
            "/away" => answer(out, "302 Found", "", b"")?,
            "/bad" => answer(out, "400 Bad Request", "", b"the query is malformed")?,
            "/tls" => answer(
                out,
                "400 Bad Request",
                "",
                b"The plain HTTP request was sent to HTTPS port",
            )?,
            _ => {
                out.write_all(b"220 mail.example ESMTP\r\n")?;
                out.flush()?;
                Then::Close
            }
        };
        Ok(Then::Close)
    });
    let plain = site.url("/x");
    let mail = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mail_url = format!("https://localhost:{}/", mail.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let (mut client, _) = mail.accept().unwrap();
        std::io::Write::write_all(&mut client, b"220 mail.example ESMTP\r\n").unwrap();
        // Until it has been read.
        std::io::copy(&mut client, &mut std::io::sink())
    });
    for (url, message) in [
        ("http://localhost:74536/", "invalid port 74536: the highest one is 65535"),
        ("http://user:secret@localhost:74536/", "invalid port 74536"),
        ("http://does-not-exist.invalid/", "unknown host name"),
        (&mail_url, "the server does not use TLS on this port; if it serves plain HTTP there"),
        (&plain.replace("http:", "https:"), "during the TLS handshake; if it serves plain HTTP"),
        (&site.url("/gopher"), "the server redirects to an unusable URL"),
        (&site.url("/away"), "302 Found: the server redirects without saying where"),
        (&site.url("/bad"), "/bad: 400 Bad Request\n"),
        (&site.url("/tls"), "400 Bad Request: this port uses TLS: write https://"),
        (&plain, "invalid HTTP from the server"),
    ] {
        let (code, _, stderr) = results(&get("poll", folder.path(), &["--retries", "0", url]));
        assert_eq!(code, Some(1), "{url}");
        assert!(stderr.contains(message), "{url}: {stderr}");
        for jargon in ["os error", "Error", "io:", "secret"] {
            assert!(!stderr.contains(jargon), "{url}: {stderr}");
        }
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn header_fields_are_sent_and_secret_ones_stay_with_their_host() {
    let folder = tempfile::tempdir().unwrap();
    let other = Site::start(|_, out| answer(out, "200 OK", "", b"other"));
    let elsewhere = other.url("/away");
    let site = Site::start(move |_, out| {
        answer(out, "302 Found", &format!("Location: {elsewhere}\r\n"), b"")
    });
    let fields = ["-H", "Authorization: Bearer S3cret", "-H", "Cookie: a=b", "--header=X-Own: c d"];
    let rest = ["-A", "me/1", "--quiet", &site.url("/file")];
    let (code, stdout, stderr) =
        results(&get("poll", folder.path(), &[&fields[..], &rest].concat()));
    assert_eq!((code, &*stdout, &*stderr), (Some(0), "", ""));
    let (here, there) = (&site.requests()[0], &other.requests()[0]);
    for (name, value, goes_on) in [
        ("authorization", "Bearer S3cret", false),
        ("cookie", "a=b", false),
        ("x-own", "c d", true),
        ("user-agent", "me/1", true),
    ] {
        assert_eq!(here.header(name), Some(value));
        assert_eq!(there.header(name), goes_on.then_some(value), "{name}");
    }
    for field in ["X-Own", "Range: bytes=1-", "X: a\nb", "a b: c"] {
        let output = get("poll", folder.path(), &["-H", field, &site.url("/file")]);
        assert_eq!(output.status.code(), Some(2), "{field}");
    }
}

#[test]
fn users_and_passwords_come_from_netrc() {
    let folder = tempfile::tempdir().unwrap();
    let other = Site::start(|_, out| answer(out, "200 OK", "", b"other"));
    let elsewhere = other.url("/away").replace("localhost", "127.0.0.1");
    let site = Site::start(move |_, out| {
        answer(out, "302 Found", &format!("Location: {elsewhere}\r\n"), b"")
    });
    let netrc = folder.path().join(".netrc");
    let run = |contents: Option<&str>, url: &str| {
        match contents {
            Some(contents) => fs::write(&netrc, contents).unwrap(),
            None => fs::remove_file(&netrc).unwrap(),
        }
        let arguments = ["--netrc", "--overwrite", "--retries", "0", url];
        let mut command = site::command("poll", folder.path(), &arguments);
        command.env("HOME", folder.path()).env_remove("NETRC");
        results(&command.output().unwrap())
    };
    let url = site.url("/file");
    let (code, _, stderr) = run(Some("machine localhost login me password S3cret"), &url);
    assert_eq!(code, Some(0), "{stderr}");
    // The URL's credentials take precedence.
    let with_user = url.replace("//", "//you:yours@");
    let both = "machine localhost login me password S3cret\nmachine 127.0.0.1 login a password b";
    assert_eq!(run(Some(both), &with_user).0, Some(0));
    let sent = |site: &Site| -> Vec<Option<String>> {
        let value = |request: &site::Request| request.header("authorization").map(str::to_owned);
        site.requests().iter().map(value).collect()
    };
    let basic = |text: &str| Some(format!("Basic {}", BASE64_STANDARD.encode(text)));
    assert_eq!(sent(&site), [basic("me:S3cret"), basic("you:yours")]);
    assert_eq!(sent(&other), [None, basic("a:b")]);
    for (contents, message) in [(Some("machine localhost S3cret"), "line 1"), (None, "cannot read")]
    {
        let (code, _, stderr) = run(contents, &url);
        assert_ne!(code, Some(0));
        assert!(stderr.contains(message) && !stderr.contains("S3cret"), "{stderr}");
    }
}
