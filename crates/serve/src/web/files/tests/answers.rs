use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::super::Files;
use super::{ask, get, wait_for_clock_step, with_every_lookup};

#[test]
fn a_file_has_its_type_its_tag_and_its_date() {
    with_every_lookup(|root, files| {
        fs::write(root.join("a.css"), "p{}").unwrap();
        wait_for_clock_step();
        let files = files(root);
        for _ in 0..3 {
            let got = get(&files, "/a.css");
            assert_eq!((got.status.as_u16(), got.text()), (200, "p{}"));
            assert_eq!(got.field("content-type"), "text/css; charset=utf-8");
            assert_eq!(got.field("x-content-type-options"), "nosniff");
            assert_eq!(got.field("accept-ranges"), "bytes");
            assert_eq!(got.field("vary"), "Accept-Encoding");
            assert!(got.field("etag").starts_with('"'), "{}", got.field("etag"));
            assert!(httpdate::parse_http_date(got.field("last-modified")).is_ok());
        }
        assert_eq!(get(&files, "/b.css").status, 404);
        assert_eq!(get(&files, "/a.css/").status, 404);
        assert_eq!(get(&files, "/a.css/b").status, 404);
    });
}

#[test]
fn a_large_file_is_sent_from_its_descriptor() {
    with_every_lookup(|root, files| {
        let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(root.join("large.bin"), &content).unwrap();
        wait_for_clock_step();
        let files = files(root);
        for _ in 0..2 {
            assert!(get(&files, "/large.bin").body == content);
        }
        let got = ask(&files, "GET", "/large.bin", &[("range", "bytes=100-199,3999990-")]);
        assert_eq!(got.status, 206);
        let part = |range: std::ops::Range<usize>| {
            got.body.windows(range.len()).any(|window| window == &content[range.clone()])
        };
        assert!(part(100..200) && part(3_999_990..4_000_000));
    });
}

#[test]
fn the_next_request_notices_a_changed_replaced_or_removed_file() {
    with_every_lookup(|root, files| {
        let path = root.join("file.txt");
        fs::write(&path, "one").unwrap();
        wait_for_clock_step();
        let files = files(root);
        let say = |text: &str, why: &str| {
            // The second request hits the cache.
            for _ in 0..2 {
                assert_eq!(get(&files, "/file.txt").text(), text, "{why}");
            }
        };
        say("one", "at first");
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"two").unwrap();
        say("two", "written in place");
        wait_for_clock_step();
        say("two", "written in place");
        let new = root.join("new");
        fs::write(&new, "six").unwrap();
        let same = fs::metadata(&path).unwrap().modified().unwrap();
        fs::File::open(&new).unwrap().set_modified(same).unwrap();
        fs::rename(&new, &path).unwrap();
        say("six", "replaced");
        wait_for_clock_step();
        say("six", "replaced");
        fs::remove_file(&path).unwrap();
        assert_eq!(get(&files, "/file.txt").status, 404);
        fs::write(&path, "ten").unwrap();
        say("ten", "made anew");
    });
}

#[test]
fn the_next_request_notices_a_changed_link() {
    with_every_lookup(|root, files| {
        for version in ["v1", "v2"] {
            fs::create_dir_all(root.join(version).join("site")).unwrap();
            fs::write(root.join(version).join("site/index.html"), version).unwrap();
        }
        symlink("v1", root.join("current")).unwrap();
        wait_for_clock_step();
        let (inside, itself) = (files(root), files(&root.join("current")));
        let say = |version: &str| {
            for _ in 0..2 {
                assert_eq!(get(&inside, "/current/site/").text(), version);
                assert_eq!(get(&itself, "/site/").text(), version);
            }
        };
        say("v1");
        symlink("v2", root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
        say("v2");
    });
}

#[test]
fn folders_have_an_index_a_redirect_or_a_refusal() {
    with_every_lookup(|root, files| {
        fs::create_dir_all(root.join("with/sub folder")).unwrap();
        fs::write(root.join("with/index.html"), "index").unwrap();
        let files = files(root);
        assert_eq!(get(&files, "/with/").text(), "index");
        assert_eq!(get(&files, "/with/").field("content-type"), "text/html; charset=utf-8");
        for (path, location) in [
            ("/with", "/with/"),
            ("/with?a=b&c", "/with/?a=b&c"),
            ("//with", "/with/"),
            ("///%77ith/sub%20folder", "/with/sub%20folder/"),
        ] {
            let got = get(&files, path);
            assert_eq!((got.status.as_u16(), got.field("location")), (301, location), "{path}");
        }
        assert_eq!(get(&files, "/").status, 403);
        assert_eq!(get(&files, "/none/").status, 404);
        assert_eq!(get(&files.clone().listing(true), "/").status, 200);
        let files = files.index(["start.txt", "index.html"]);
        wait_for_clock_step();
        assert_eq!(get(&files, "/with/").text(), "index");
        assert_eq!(get(&files, "/with/").text(), "index");
        fs::write(root.join("with/start.txt"), "start").unwrap();
        assert_eq!(get(&files, "/with/").text(), "start");
    });
}

#[test]
fn only_methods_that_read_are_allowed() {
    with_every_lookup(|root, files| {
        fs::write(root.join("x"), "text").unwrap();
        let files = files(root).cache_control("no-store".parse().unwrap());
        assert_eq!(ask(&files, "HEAD", "/x", &[]).status, 200);
        let got = ask(&files, "OPTIONS", "/x", &[]);
        assert_eq!((got.status.as_u16(), got.field("allow")), (204, "GET, HEAD, OPTIONS"));
        for method in ["POST", "PUT", "DELETE", "TRACE", "get", "PROPFIND"] {
            let got = ask(&files, method, "/x", &[]);
            assert_eq!((got.status.as_u16(), got.field("allow")), (405, "GET, HEAD, OPTIONS"));
        }
        assert_eq!(get(&files, "/x").field("cache-control"), "no-store");
    });
}

/// Equal tags let a balancer in front of two servers send a client to either.
#[test]
fn copies_of_the_same_time_share_a_tag_and_any_change_makes_another() {
    with_every_lookup(|root, files| {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let write = |name: &str, text: &str, at: SystemTime| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::File::open(&path).unwrap().set_modified(at).unwrap();
        };
        write("one/x.txt", "0123456789", modified);
        write("two/x.txt", "0123456789", modified);
        write("two/later.txt", "0123456789", modified + Duration::from_nanos(1));
        write("two/longer.txt", "0123456789a", modified);
        write("two/x.txt.gz", "0123456789", modified);
        wait_for_clock_step();
        let (one, two) = (files(&root.join("one")), files(&root.join("two")));
        let tag = get(&one, "/x.txt").field("etag").to_owned();
        assert!(tag.starts_with('"'), "{tag} is weak");
        let part = ask(&two, "GET", "/x.txt", &[("range", "bytes=5-"), ("if-range", &tag)]);
        assert_eq!((part.status.as_u16(), part.text()), (206, "56789"));
        assert_eq!(ask(&two, "GET", "/x.txt", &[("if-none-match", &tag)]).status, 304);
        for other in ["/later.txt", "/longer.txt"] {
            assert_ne!(get(&two, other).field("etag"), tag, "{other}");
        }
        let packed = ask(&two, "GET", "/x.txt", &[("accept-encoding", "gzip")]);
        assert_eq!(packed.field("content-encoding"), "gzip");
        assert_ne!(packed.field("etag"), tag, "another form of the same time and size");
    });
}

/// The times of some file systems have a step of one or two seconds.
#[test]
fn a_time_in_whole_seconds_makes_a_weak_tag_for_two_seconds() {
    with_every_lookup(|root, files| {
        let tag = |name: &str, ago: i64| {
            let path = root.join(name);
            fs::write(&path, "0123456789").unwrap();
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now.saturating_add_signed(-ago));
            fs::File::open(&path).unwrap().set_modified(at).unwrap();
            wait_for_clock_step();
            get(&files(root), &format!("/{name}")).field("etag").to_owned()
        };
        assert!(tag("new.txt", -1).starts_with("W/"));
        assert!(tag("old.txt", 60).starts_with('"'));
    });
}

#[test]
fn texts_are_compressed_in_the_coding_that_the_client_prefers() {
    with_every_lookup(|root, files| {
        let text = "<p>packed text</p>\n".repeat(2_000);
        fs::write(root.join("x.html"), &text).unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        wait_for_clock_step();
        let files = files(root).listing(true);
        let mut tags = Vec::new();
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, br", "br"),
            ("br;q=0.9, gzip;q=0.8", "br"),
            ("br;q=0.5, zstd;q=0.5, gzip", "gzip"),
            ("br;q=0, *;q=0", ""),
        ] {
            for _ in 0..2 {
                let fields = [("accept-encoding", accepted)];
                let got = ask(&files, "GET", "/x.html", &fields);
                assert_eq!(got.field("content-encoding"), coding, "{accepted}");
                assert!(unpack(coding, &got.body) == text.as_bytes(), "{accepted}");
                assert!(coding.is_empty() || got.body.len() < 500, "{}", got.body.len());
                let tag = got.field("etag").to_owned();
                let same = [fields[0], ("if-none-match", &*tag)];
                assert_eq!(ask(&files, "GET", "/x.html", &same).status, 304);
                tags.push(tag);
            }
            let page = ask(&files, "GET", "/folder/", &[("accept-encoding", accepted)]);
            assert_eq!(page.field("content-encoding"), coding);
            let page = String::from_utf8(unpack(coding, &page.body)).unwrap();
            assert!(page.contains("is empty"));
        }
        tags.dedup();
        assert_eq!(tags.len(), 4, "each form has a tag of its own: {tags:?}");
        let plain = files.compression(false);
        let got = ask(&plain, "GET", "/x.html", &[("accept-encoding", "br, zstd, gzip")]);
        assert_eq!(got.field("content-encoding"), "");
    });
}

fn unpack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut unpacked = Vec::new();
    match coding {
        "br" => _ = brotli::Decompressor::new(bytes, 4096).read_to_end(&mut unpacked).unwrap(),
        "zstd" => unpacked = zstd::decode_all(bytes).unwrap(),
        "gzip" => _ = flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked).unwrap(),
        _ => unpacked.extend_from_slice(bytes),
    }
    unpacked
}

/// RFC 9110, section 13.2.2, step by step.
#[test]
fn conditions_are_evaluated_in_the_order_of_the_rfc() {
    with_every_lookup(|root, files| {
        let path = root.join("x.txt");
        fs::write(&path, "0123456789").unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_500);
        fs::File::open(&path).unwrap().set_modified(modified).unwrap();
        wait_for_clock_step();
        let files = files(root);
        let tag = get(&files, "/x.txt").field("etag").to_owned();
        let (tag, weak) = (tag.as_str(), format!("W/{tag}"));
        let list = format!("\"a,b\", {tag} , W/\"c\"");
        let at = "Sun, 09 Sep 2001 01:46:40 GMT";
        let (before, after) = ("Sun, 09 Sep 2001 01:46:39 GMT", "Mon, 10 Sep 2001 01:46:39 GMT");
        let range = ("range", "bytes=0-1");
        let rows: &[(&[(&str, &str)], u16)] = &[
            (&[("if-match", tag)], 200),
            (&[("if-match", "*")], 200),
            (&[("if-match", &list)], 200),
            (&[("if-match", "\"other\"")], 412),
            (&[("if-match", &weak)], 412),
            (&[("if-match", "nonsense")], 412),
            (&[("if-unmodified-since", at)], 200),
            (&[("if-unmodified-since", after)], 200),
            (&[("if-unmodified-since", before)], 412),
            (&[("if-unmodified-since", "yesterday")], 200),
            (&[("if-match", tag), ("if-unmodified-since", before)], 200),
            (&[("if-none-match", tag)], 304),
            (&[("if-none-match", &weak)], 304),
            (&[("if-none-match", "*")], 304),
            (&[("if-none-match", &list)], 304),
            (&[("if-none-match", "\"other\""), ("if-none-match", tag)], 304),
            (&[("if-none-match", "\"other\"")], 200),
            (&[("if-none-match", "\"")], 200),
            (&[("if-modified-since", at)], 304),
            (&[("if-modified-since", after)], 304),
            (&[("if-modified-since", before)], 200),
            (&[("if-modified-since", "never")], 200),
            (&[("if-none-match", "\"other\""), ("if-modified-since", after)], 200),
            (&[("if-match", "\"other\""), ("if-none-match", tag)], 412),
            (&[("if-match", tag), ("if-none-match", tag)], 304),
            (&[range], 206),
            (&[range, ("if-range", tag)], 206),
            (&[range, ("if-range", at)], 206),
            (&[range, ("if-range", &weak)], 200),
            (&[range, ("if-range", "\"other\"")], 200),
            (&[range, ("if-range", after)], 200),
            (&[range, ("if-range", before)], 200),
            (&[range, ("if-none-match", tag)], 304),
            (&[range, ("if-match", "\"other\"")], 412),
            (&[("range", "bytes=10-")], 416),
            (&[("range", "bytes=10-"), ("if-range", "\"other\"")], 200),
        ];
        for (fields, status) in rows {
            let got = ask(&files, "GET", "/x.txt", fields);
            assert_eq!(got.status.as_u16(), *status, "{fields:?}");
            if *status == 304 {
                assert_eq!((got.field("etag"), got.field("content-type")), (tag, ""));
                assert_eq!(got.field("vary"), "Accept-Encoding");
                assert!(got.body.is_empty());
            }
        }
        assert_eq!(ask(&files, "HEAD", "/x.txt", &[range]).status, 200);
        assert_eq!(ask(&files, "HEAD", "/x.txt", &[("if-none-match", tag)]).status, 304);
    });
}

#[test]
fn ranges_select_parts_of_the_content() {
    with_every_lookup(|root, files| {
        fs::write(root.join("x.txt"), "0123456789").unwrap();
        fs::write(root.join("empty"), "").unwrap();
        let files = files(root);
        let got = ask(&files, "GET", "/x.txt", &[("range", "bytes=-3")]);
        assert_eq!((got.status.as_u16(), got.text()), (206, "789"));
        assert_eq!(got.field("content-range"), "bytes 7-9/10");
        let got = ask(&files, "GET", "/x.txt", &[("range", "bytes=20-")]);
        assert_eq!((got.status.as_u16(), got.field("content-range")), (416, "bytes */10"));
        assert_eq!(ask(&files, "GET", "/empty", &[("range", "bytes=0-")]).status, 200);
        let got = ask(&files, "GET", "/x.txt", &[("range", "bytes=0-0, 8-")]);
        let kind = got.field("content-type").to_owned();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let part = |range: &str, text: &str| {
            format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Range: bytes {range}/10\r\n\r\n{text}"
            )
        };
        let whole = format!("{}{}\r\n--{boundary}--\r\n", part("0-0", "0"), part("8-9", "89"));
        assert_eq!((got.text(), got.field("content-range")), (&*whole, ""));
    });
}

#[test]
fn the_precompressed_sibling_that_the_client_prefers_is_sent() {
    with_every_lookup(|root, files| {
        let text = "packed text ".repeat(1000);
        fs::write(root.join("x.js"), &text).unwrap();
        fs::write(root.join("x.png"), &text).unwrap();
        fs::write(root.join("x.png.gz"), "beside").unwrap();
        wait_for_clock_step();
        let files = files(root);
        let form = |path: &str, accepted: &str| {
            let got = ask(&files, "GET", path, &[("accept-encoding", accepted)]);
            assert_eq!(got.status, 200);
            (got.field("content-encoding").to_owned(), got)
        };
        for _ in 0..2 {
            let (coding, got) = form("/x.js", "gzip, deflate");
            assert_eq!((&*coding, got.field("vary")), ("gzip", "Accept-Encoding"));
            assert!(got.field("etag").starts_with("W/") && got.field("accept-ranges").is_empty());
            let mut unpacked = String::new();
            let mut reader = flate2::read::GzDecoder::new(&*got.body);
            std::io::Read::read_to_string(&mut reader, &mut unpacked).unwrap();
            assert!(unpacked == text && got.body.len() < 500);
        }
        assert_eq!(form("/x.js", "gzip;q=0").0, "");
        assert_eq!(form("/x.png", "gzip").0, "", "pictures are packed already");
        fs::write(root.join("x.js.gz"), "beside").unwrap();
        fs::write(root.join("x.js.zst"), "zst").unwrap();
        wait_for_clock_step();
        for _ in 0..2 {
            let (coding, got) = form("/x.js", "gzip, br");
            assert_eq!((&*coding, got.text()), ("gzip", "beside"));
            assert_eq!(got.field("content-type"), "text/javascript; charset=utf-8");
            assert!(got.field("etag").starts_with('"'));
        }
        assert_eq!(form("/x.js", "gzip, br, zstd").0, "zstd");
        assert_eq!(form("/x.js", "gzip, zstd;q=0.5").0, "gzip");
        let part = [("accept-encoding", "gzip"), ("range", "bytes=0-2")];
        assert_eq!(ask(&files, "GET", "/x.js", &part).text(), "bes");
        fs::remove_file(root.join("x.js.zst")).unwrap();
        assert_eq!(form("/x.js", "gzip, br, zstd").0, "gzip");
        let later = SystemTime::now() + Duration::from_secs(5);
        fs::File::open(root.join("x.js")).unwrap().set_modified(later).unwrap();
        let got = form("/x.js", "gzip").1;
        assert_ne!(got.body, b"beside", "it is older than what it was made of");
        assert_eq!(get(&files, "/x.js.gz").field("content-type"), "application/gzip");
    });
}

#[test]
fn a_listing_shows_what_is_served_and_nothing_else() {
    with_every_lookup(|root, files| {
        let site = root.join("site");
        fs::create_dir_all(site.join("folder/.secret")).unwrap();
        fs::create_dir_all(site.join(".well-known")).unwrap();
        fs::write(root.join("outside"), "x").unwrap();
        for (name, size) in [("B.txt", 5), ("a<b>.txt", 2000), (".env", 1), ("c & d", 70)] {
            fs::write(site.join(name), vec![b'x'; size]).unwrap();
        }
        symlink("../outside", site.join("out")).unwrap();
        symlink("B.txt", site.join("in")).unwrap();
        symlink("nowhere", site.join("dangling")).unwrap();
        let files = files(&site).listing(true);
        let links = |path: &str| -> Vec<String> {
            let got = get(&files, path);
            assert_eq!(got.status, 200);
            assert!(got.field("content-security-policy").contains("default-src 'none'"));
            let rows = got.text().split("<tr><td").skip(1);
            let links = rows.map(|row| row.split("href=\"").nth(1).unwrap());
            links.map(|link| link.split('"').next().unwrap().to_owned()).collect()
        };
        let folders = ["./.well-known/", "./folder/"];
        let by_name = ["./a%3Cb%3E.txt", "./B.txt", "./c%20%26%20d", "./in"];
        assert_eq!(links("/"), [&folders[..], &by_name[..]].concat());
        let by_size = ["./a%3Cb%3E.txt", "./c%20%26%20d"];
        assert_eq!(links("/?sort=size&order=desc")[2..4], by_size);
        assert!(links("/folder/").is_empty());
        let page = get(&files, "/folder/");
        assert!(page.text().contains("href=\"../\"") && page.text().contains("is empty"));
        assert!(!get(&files, "/").text().contains("href=\"../\""));
        let packed = ask(&files, "GET", "/", &[("accept-encoding", "gzip")]);
        assert_eq!(packed.field("content-encoding"), "gzip");
        let all = files.clone().hidden(true);
        assert!(get(&all, "/").text().contains("./.env"));
    });
}

#[test]
fn a_huge_folder_lists_its_first_entries_and_counts_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    for i in 0..5_050 {
        // The files with the last forty names are empty, so that they are the smallest.
        let size = if i < 5_010 { 1 } else { 0 };
        fs::write(temp.path().join(format!("{i:05}")), vec![b'x'; size]).unwrap();
    }
    fs::create_dir(temp.path().join("zoo")).unwrap();
    let files = Files::new(temp.path()).unwrap().listing(true);
    overlapped::run(|| {
        let rows = |query: &str| -> Vec<String> {
            let page = get(&files, &format!("/{query}"));
            assert!(page.text().contains("The first 5,000 of 5,051 entries"), "{}", page.text());
            let rows = page.text().split("<tr><td").skip(1);
            let links = rows.map(|row| row.split("href=\"./").nth(1).unwrap());
            links.map(|link| link.split('"').next().unwrap().to_owned()).collect()
        };
        let names = |numbers: &mut dyn Iterator<Item = i32>| -> Vec<String> {
            let names = numbers.map(|number| format!("{number:05}"));
            std::iter::once("zoo/".to_owned()).chain(names).collect()
        };
        assert_eq!(rows(""), names(&mut (0..4_999)));
        assert_eq!(rows("?order=desc"), names(&mut (51..5_050).rev()));
        assert_eq!(rows("?sort=size"), names(&mut (5_010..5_050).chain(0..4_959)));
        assert_eq!(rows("?sort=size&order=desc"), names(&mut (0..4_999)));
    })
    .unwrap();
}

#[test]
fn a_name_that_is_too_long_for_its_column_has_a_title() {
    with_every_lookup(|root, files| {
        let name = "long ".repeat(50);
        fs::write(root.join(&name), "").unwrap();
        let page = get(&files(root).listing(true), "/");
        assert!(page.text().contains(&format!("title=\"{name}\"")), "{}", page.text());
    });
}

#[test]
fn refusals_are_pages_for_browsers_and_lines_for_others() {
    with_every_lookup(|root, files| {
        let files = files(root);
        let got = ask(&files, "GET", "/x", &[("accept", "text/html,application/xml;q=0.9")]);
        assert_eq!(got.field("content-type"), "text/html; charset=utf-8");
        assert!(got.text().contains("<h1>Not Found</h1>"));
        let got = ask(&files, "GET", "/x", &[("accept", "*/*")]);
        assert_eq!(got.text(), "404 Not Found: There is nothing under this address.\n");
    });
}
