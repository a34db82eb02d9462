//! Layers around files, and around functions.

mod clients;

use std::fs;
use std::path::Path;

use http::StatusCode;
use overlapped_wire::http::text;

use super::{Cors, Headers, Hosts, Https, NotFoundResponse, Redirects};
use crate::peer::Peer;
use crate::web::files::tests::{Got, request};
use crate::web::{Call, Files, Handler, Site};

fn ask(handler: &impl Handler, method: &str, path: &str, fields: &[(&str, &str)]) -> Got {
    ask_as(handler, Peer::default(), method, path, fields)
}

fn ask_as(
    handler: &impl Handler,
    peer: Peer,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Got {
    let request = request(method, path, fields);
    Got::from_answer(handler.handle(Call::new(request, &mut std::io::empty(), peer)))
}

fn say(word: &'static str) -> impl Handler {
    move |_: Call<'_>| text(StatusCode::OK, word)
}

/// Creates a site of files.
fn with_site(test: impl Fn(Files)) {
    let temp = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = temp.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (name, text) in [
        ("index.html", "home"),
        ("404.html", "none of ours"),
        ("about.html", "about us"),
        ("about/team.html", "the team"),
        ("plain", "as it is"),
        ("plain.html", "not this"),
        (".secret.html", "secret"),
        ("folder/index.html", "folder"),
    ] {
        write(name, text);
    }
    overlapped::run(|| test(Files::new(Path::new(temp.path())).unwrap())).unwrap();
}

#[test]
fn a_missing_path_has_the_sites_own_page() {
    with_site(|files| {
        let site = NotFoundResponse::new(files).page("/404.html").unwrap();
        for fields in [&[][..], &[("if-none-match", "*")], &[("range", "bytes=0-1")]] {
            let got = ask(&site, "GET", "/no/such", fields);
            assert_eq!((got.status.as_u16(), got.text()), (404, "none of ours"), "{fields:?}");
            assert_eq!(got.field("content-type"), "text/html; charset=utf-8");
            assert_eq!((got.field("etag"), got.field("accept-ranges")), ("", ""));
        }
        assert_eq!(ask(&site, "GET", "/", &[]).text(), "home");
        assert_eq!(ask(&site, "GET", "/.secret.html", &[]).text(), "none of ours");
        assert_eq!(ask(&site, "GET", "/%zz", &[]).status, 400);
        assert_eq!(ask(&site, "POST", "/no", &[]).status, 405);
        let other = NotFoundResponse::new(say("x")).page("/404.html").unwrap();
        assert_eq!(ask(&other, "GET", "/", &[]).text(), "x");
    });
    with_site(|files| {
        let site = NotFoundResponse::new(files).page("/none.html").unwrap();
        let got = ask(&site, "GET", "/no/such", &[]);
        assert_eq!((got.status.as_u16(), got.text().contains("404 Not Found")), (404, true));
    });
}

#[test]
fn the_fallback_is_for_paths_but_not_for_files_or_hidden_names() {
    with_site(|files| {
        let site = NotFoundResponse::new(files)
            .fallback("/index.html")
            .unwrap()
            .page("/404.html")
            .unwrap();
        for path in ["/users/7", "/users/", "/a?b.c"] {
            let got = ask(&site, "GET", path, &[]);
            assert_eq!((got.status.as_u16(), got.text()), (200, "home"), "{path}");
        }
        let tag = ask(&site, "GET", "/users/7", &[]).field("etag").to_owned();
        assert!(!tag.is_empty());
        for path in ["/app.js", "/a/b.png", "/.git", "/.git/config", "/a/.b/c"] {
            let got = ask(&site, "GET", path, &[]);
            assert_eq!((got.status.as_u16(), got.text()), (404, "none of ours"), "{path}");
        }
        assert_eq!(ask(&site, "POST", "/users/7", &[]).status, 405);
    });
}

#[test]
fn a_page_is_found_without_its_extension() {
    with_site(|files| {
        let clean = files.clone().clean_urls(true);
        for (path, status, text) in [
            ("/about", 200, "about us"),
            ("/about/team", 200, "the team"),
            ("/about.html", 200, "about us"),
            ("/plain", 200, "as it is"),
            ("/folder/", 200, "folder"),
        ] {
            let got = ask(&clean, "GET", path, &[]);
            assert_eq!((got.status.as_u16(), got.text()), (status, text), "{path}");
        }
        assert_eq!(
            ask(&clean, "GET", "/about", &[]).field("content-type").split(';').next(),
            Some("text/html")
        );
        assert_eq!(ask(&clean, "GET", "/folder", &[]).status, 301);
        for path in ["/.secret", "/nothing", "/about/", "/about%2fteam", "/index/"] {
            assert_ne!(ask(&clean, "GET", path, &[]).status, 200, "{path}");
        }
        assert_eq!(ask(&files, "GET", "/about", &[]).status, 301);
        assert_eq!(ask(&files, "GET", "/about/team", &[]).status, 404);
    });
}

#[test]
fn the_next_request_notices_a_file_that_takes_precedence() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a.html"), "page").unwrap();
    overlapped::run(|| {
        let files = Files::new(temp.path()).unwrap().clean_urls(true);
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(ask(&files, "GET", "/a", &[]).text(), "page");
        fs::write(temp.path().join("a"), "file").unwrap();
        assert_eq!(ask(&files, "GET", "/a", &[]).text(), "file");
    })
    .unwrap();
}

#[test]
fn extra_headers_are_in_every_answer_and_have_no_line_breaks() {
    with_site(|files| {
        let site = Headers::new(NotFoundResponse::new(files).page("/404.html").unwrap());
        let site = site.set("X-Frame-Options", "DENY").unwrap().set("Vary", "Cookie").unwrap();
        for (path, status) in [("/", 200), ("/none", 404), ("/folder", 301), ("/%zz", 400)] {
            let got = ask(&site, "GET", path, &[]);
            assert_eq!((got.status.as_u16(), got.field("x-frame-options")), (status, "DENY"));
        }
        let vary = ask(&site, "GET", "/", &[]).headers.get_all("vary").iter().count();
        assert_eq!(vary, 2, "what the file says of itself stays");
    });
    for (name, value) in [
        ("X-A", "b\r\nSet-Cookie: c"),
        ("X-A\r\nB", "c"),
        ("X A", "b"),
        ("", "b"),
        ("X-A", "b\0"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("Keep-Alive", "1"),
        ("Location", "/"),
    ] {
        assert!(Headers::new(say("x")).set(name, value).is_err(), "{name:?} {value:?}");
    }
}

#[test]
fn scripts_of_allowed_origins_may_read_answers_and_send_preflights() {
    let listed = Cors::new(["https://a.example", "http://b.example:8080"], say("x")).unwrap();
    let origin = |got: &Got| got.field("access-control-allow-origin").to_owned();
    let got = ask(&listed, "GET", "/", &[("origin", "http://b.example:8080")]);
    assert_eq!((&*origin(&got), got.field("vary")), ("http://b.example:8080", "origin"));
    assert_eq!(got.field("access-control-allow-credentials"), "");
    for other in ["https://a.example.evil", "https://evil", "http://a.example", "null"] {
        let got = ask(&listed, "GET", "/", &[("origin", other)]);
        assert_eq!((&*origin(&got), got.field("vary")), ("", "origin"), "{other}");
    }
    assert_eq!(ask(&listed, "GET", "/", &[]).field("vary"), "origin", "caches must know");
    let first = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let got = ask(&listed, "OPTIONS", "/", &first);
    assert_eq!((got.status.as_u16(), &*origin(&got)), (204, "https://a.example"));
    assert!(got.field("access-control-allow-methods").contains("PUT"));
    let got = ask(&listed, "OPTIONS", "/", &[("origin", "https://evil"), first[1]]);
    assert_eq!((&*origin(&got), got.field("access-control-allow-methods")), ("", ""));
    assert_eq!(ask(&listed, "OPTIONS", "/", &[]).text(), "x", "another kind of OPTIONS");
    let open = Cors::new(["*"], say("x")).unwrap();
    let got = ask(&open, "GET", "/", &[("origin", "https://any")]);
    assert_eq!((&*origin(&got), got.field("vary")), ("*", ""));
    for wrong in [&["example.org"][..], &["https://a/"], &["https://a\r\nx: y"], &[]] {
        assert!(Cors::new(wrong, say("x")).is_err(), "{wrong:?}");
    }
}

#[test]
fn each_host_name_has_its_site() {
    let sites = Hosts::new(say("others"));
    let sites = sites.at("a.example", say("a")).unwrap().at("*.example", say("star")).unwrap();
    let sites = sites.at("*.b.example", say("b")).unwrap().at("[::1]", say("six")).unwrap();
    for (host, text) in [
        ("a.example", "a"),
        ("A.EXAMPLE:8080", "a"),
        ("a.example.", "a"),
        ("c.example", "star"),
        ("x.b.example", "b"),
        ("b.example", "star"),
        ("example", "others"),
        (".example", "others"),
        ("aexample", "others"),
        ("[::1]:80", "six"),
        ("user@a.example", "others"),
        ("", "others"),
    ] {
        assert_eq!(ask(&sites, "GET", "/", &[("host", host)]).text(), text, "{host}");
    }
    assert_eq!(ask(&sites, "GET", "/", &[]).text(), "others");
    let absolute = ask(&sites, "GET", "http://a.example/", &[("host", "c.example")]);
    assert_eq!(absolute.text(), "a", "the target overrides the field (RFC 9112, section 3.2.2)");
    for wrong in ["", "a:80", "http://a", "a/b", "*", "*.", "a*.b", "é.example", "a b"] {
        assert!(Hosts::new(say("x")).at(wrong, say("y")).is_err(), "{wrong:?}");
    }
    let twice = Hosts::new(say("x")).at("a", say("y")).unwrap().at("A.", say("z"));
    assert!(twice.is_err());
}

#[test]
fn moved_paths_lead_to_the_new_location_and_nowhere_else() {
    let site = Redirects::new(say("x")).from("/old", "/new").unwrap();
    let site = site.from("/blog/*", "https://blog.example/").unwrap();
    let site = site.from("/top/*", "/").unwrap().from("/asked", "/new?a=b").unwrap();
    for (path, place) in [
        ("/old", "/new"),
        ("/old/", "/new"),
        ("//%6fld", "/new"),
        ("/old?q=1", "/new?q=1"),
        ("/asked?q=1", "/new?a=b"),
        ("/blog/2026/x?p=2", "https://blog.example/2026/x?p=2"),
        ("/blog", "https://blog.example/"),
        ("/blog/a/", "https://blog.example/a/"),
        ("/top//evil.example/x", "/evil.example/x"),
        ("/top/%0d%0aSet-Cookie:x", "/%0D%0ASet-Cookie%3Ax"),
        ("/top/%5cevil.example", "/%5Cevil.example"),
    ] {
        let got = ask(&site, "GET", path, &[]);
        assert_eq!((got.status.as_u16(), got.field("location")), (308, place), "{path}");
    }
    for path in ["/older", "/new", "/", "/OLD", "/old/more"] {
        assert_eq!(ask(&site, "GET", path, &[]).text(), "x", "{path}");
    }
    assert_eq!(ask(&site, "GET", "/top/../x", &[]).status, 400);
    for (from, to) in [
        ("old", "/new"),
        ("/old", "//evil.example"),
        ("/old", "javascript:alert(1)"),
        ("/old", "/new\r\nSet-Cookie: x"),
        ("/old", "new"),
        ("/old", ""),
        ("/a/*", "/a/b/"),
        ("/a", "/a/"),
        ("/a?b", "/c"),
    ] {
        assert!(Redirects::new(say("x")).from(from, to).is_err(), "{from:?} {to:?}");
    }
}

#[test]
fn http_clients_are_redirected_to_https_and_certificate_authorities_are_not() {
    let site = Https::new(say("x"));
    let place = |fields: &[(&str, &str)], path: &str| {
        let got = ask(&site, "GET", path, fields);
        (got.status.as_u16(), got.field("location").to_owned())
    };
    let is = |status, place: &str| (status, place.to_owned());
    let host = [("host", "example.org:80")];
    assert_eq!(place(&host, "/a%20b?c"), is(308, "https://example.org/a%20b?c"));
    assert_eq!(place(&host, "//evil.example"), is(308, "https://example.org//evil.example"));
    assert_eq!(place(&[], "/"), is(400, ""));
    assert_eq!(place(&[("host", "example.org@evil.example")], "/"), is(400, ""));
    assert_eq!(place(&host, "/.well-known/acme-challenge/token"), is(200, ""));
    let secure = Peer { secure: true, ..Peer::default() };
    assert_eq!(ask_as(&site, secure, "GET", "/", &host).text(), "x");
    let site = Https::new(say("x")).port(8443);
    let got = ask(&site, "GET", "/", &host);
    assert_eq!(got.field("location"), "https://example.org:8443/");
}

#[test]
fn a_site_may_be_inside_a_layer() {
    let inner = Site::new().at("/a", say("a")).at("/", say("home"));
    let site = Headers::new(inner).set("X-A", "b").unwrap();
    let got = ask(&site, "GET", "/a/b", &[]);
    assert_eq!((got.text(), got.field("x-a")), ("a", "b"));
}
