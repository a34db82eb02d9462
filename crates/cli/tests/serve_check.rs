//! `serve --check` finds every fault that a start would, and each message names its location.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use common::{Server, Signal, run, text};

/// Checks a file with this text in `folder`; returns the exit code and both streams.
fn check_in(folder: &Path, described: &str) -> (Option<i32>, String, String) {
    let file = folder.join("serve.toml");
    fs::write(&file, described).unwrap();
    let output = run(&["serve", "--check", "--config", file.to_str().unwrap()]);
    let (message, stderr) = text(&output);
    (output.status.code(), message, stderr)
}

#[track_caller]
fn refused(described: &str, says: &[&str]) {
    refused_in(tempfile::tempdir().unwrap().path(), described, says);
}

#[track_caller]
fn refused_in(folder: &Path, described: &str, says: &[&str]) {
    let (code, message, stderr) = check_in(folder, described);
    assert_eq!(code, Some(1), "{message}{stderr}");
    for word in says {
        assert!(stderr.contains(word), "{word:?} is not in\n{stderr}");
    }
    assert!(!stderr.contains("--"), "a file has no flags:\n{stderr}");
}

#[test]
fn a_port_in_use_is_found_with_its_holder() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let me = format!("process {}", std::process::id());
    refused(
        &format!("[[server]]\nprotocol = 'echo'\nlisten = [\n '127.0.0.1:0', '{address}']\n"),
        &["serve.toml, line 4, column 17", &address.to_string(), &me],
    );
}

#[test]
fn an_unusable_unix_socket_is_found_and_nothing_is_created_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let server = |path: &Path| {
        format!("[[server]]\nprotocol = 'echo'\nlisten = ['unix:{}']\n", path.display())
    };
    let (code, _, stderr) = check_in(folder.path(), &server(&path));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!path.exists());
    let held = UnixListener::bind(&path).unwrap();
    refused_in(folder.path(), &server(&path), &["line 3, column 11", "listens there"]);
    drop(held);
    let (code, _, stderr) = check_in(folder.path(), &server(&path));
    assert_eq!(code, Some(0), "what a crash has left is no obstacle: {stderr}");
    assert!(path.exists());
    refused_in(
        folder.path(),
        &server(&folder.path().join("no/socket")),
        &["line 3, column 11", "folder does not exist"],
    );
    let long = folder.path().join("x".repeat(120));
    refused_in(folder.path(), &server(&long), &["line 3, column 11", "107 bytes"]);
}

#[test]
fn two_servers_on_one_address_are_found() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (first, second) in [
        (format!("127.0.0.1:{free}"), format!("127.0.0.1:{free}")),
        (format!("0.0.0.0:{free}"), format!("127.0.0.1:{free}")),
        (format!("127.0.0.1:{free}"), format!("[::]:{free}")),
        ("unix:/tmp/overlapped-x".to_owned(), "unix:/tmp/overlapped-x".to_owned()),
    ] {
        refused(
            &format!(
                "[[server]]\nprotocol = 'echo'\nlisten = ['{first}']\n\
                 [[server]]\nprotocol = 'line'\nlisten = ['{second}']\n"
            ),
            &["serve.toml, line 6, column 11", "serve.toml, line 3, column 11"],
        );
    }
}

#[test]
fn metrics_on_a_servers_address_are_found() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(
        &format!("metrics = '{free}'\n[[server]]\nprotocol = 'echo'\nlisten = ['{free}']\n"),
        &["serve.toml, line 1, column 11", "serve.toml, line 4, column 11"],
    );
}

#[test]
fn a_log_in_a_missing_folder_is_reported_and_not_created() {
    let server = "[[server]]\nprotocol = 'echo'\nlisten = ['127.0.0.1:0']\n";
    refused(
        &format!("access-log = 'no/such/log'\n{server}"),
        &["serve.toml, line 1, column 14", "no/such/log", "folder must exist"],
    );
    refused(&format!("access-log = '.'\n{server}"), &["line 1, column 14", "is a folder"]);
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = check_in(folder.path(), &format!("access-log = 'log'\n{server}"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!folder.path().join("log").exists());
}

#[test]
fn certificates_that_clients_refuse_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let make = |name: &str, years: (i32, i32)| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 2, 3);
        write(&format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    };
    make("good", (2020, 4096));
    make("other", (2020, 4096));
    make("old", (2001, 2019));
    make("early", (2200, 4096));
    let pem = |label: &str, head: &str| {
        format!("-----BEGIN {label}-----\n{head}MC4CAQAwBQYDK2VwBCIEIA==\n-----END {label}-----\n")
    };
    write("locked.key", &pem("ENCRYPTED PRIVATE KEY", ""));
    let head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n";
    write("locked-rsa.key", &pem("RSA PRIVATE KEY", head));
    let server = |cert: &str, key: &str| {
        format!(
            "[[server]]\nprotocol = 'echo'\nlisten = ['127.0.0.1:0']\ntls = [\n \
             {{ cert = 'good.pem', key = 'good.key' }},\n {{ cert = '{cert}', key = '{key}' }}]\n"
        )
    };
    let (code, _, stderr) = check_in(folder.path(), &server("other.pem", "other.key"));
    assert_eq!(code, Some(0), "{stderr}");
    for (cert, key, says) in [
        ("none.pem", "good.key", &["none.pem", "No such file"][..]),
        ("good.pem", "none.key", &["none.key", "No such file"]),
        ("good.pem", "other.key", &["good.pem", "other.key", "do not match"]),
        ("old.pem", "old.key", &["old.pem", "expired", "03 Feb 2019"]),
        ("early.pem", "early.key", &["early.pem", "not valid before", "01 Jan 2200"]),
        ("good.pem", "locked.key", &["locked.key", "passphrase", "openssl pkey"]),
        ("good.pem", "locked-rsa.key", &["locked-rsa.key", "passphrase", "openssl pkey"]),
    ] {
        let says = [&["serve.toml, line 6, column 2"], says].concat();
        refused_in(folder.path(), &server(cert, key), &says);
    }
    for name in ["old", "early"] {
        let described = server(&format!("{name}.pem"), &format!("{name}.key"));
        let (_, _, stderr) = check_in(folder.path(), &described);
        assert_eq!(stderr.matches(&format!("{name}.pem")).count(), 1, "{stderr}");
    }
}

#[test]
fn an_unusable_key_is_not_reported_as_a_mismatch() {
    let folder = tempfile::tempdir().unwrap();
    let described = |file: &str| {
        format!(
            "[[server]]\nprotocol = 'echo'\nlisten = ['127.0.0.1:0']\n\
             tls = [{{ cert = '{file}.pem', key = '{file}.key' }}]\n"
        )
    };
    for (name, kind) in [
        ("rsa-1024", &["rsa:1024"][..]),
        ("p-521", &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"]),
        ("ed448", &["ed448"]),
    ] {
        let of = |end: &str| folder.path().join(format!("{name}.{end}")).display().to_string();
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "9", "-subj", "/CN=localhost"]);
        openssl.args(["-keyout", &of("key"), "-out", &of("pem"), "-newkey"]).args(kind);
        if !openssl.output().is_ok_and(|output| output.status.success()) {
            println!("SKIPPED {name}: openssl makes no such key");
            continue;
        }
        let (code, _, stderr) = check_in(folder.path(), &described(name));
        assert_eq!(code, Some(1), "{stderr}");
        for says in ["line 4, column 8", &format!("{name}.key"), "2048", "P-384", "Ed25519"] {
            assert!(stderr.contains(says), "{says:?} is not in\n{stderr}");
        }
        assert!(!stderr.contains("do not match"), "{stderr}");
    }
}

#[test]
fn a_served_configuration_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    let server = "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n";
    let says = ["line 4, column 15", "serve.toml would be served to all clients"];
    refused_in(folder.path(), &format!("{server}http.folder = '.'\nhttp.list = true\n"), &says);
    let hosts = "http.folder = 'site'\nhttp.host = ['example.org=.']\n";
    let says = ["line 4, column 15", "serve.toml would be served to all clients, since it is in"];
    refused_in(folder.path(), &format!("{server}{hosts}"), &says);
    let (code, _, stderr) = check_in(folder.path(), &format!("{server}http.folder = 'site'\n"));
    assert_eq!(code, Some(0), "{stderr}");
    let hidden = folder.path().join(".serve.toml");
    fs::write(&hidden, format!("{server}http.folder = '.'\n")).unwrap();
    let output = run(&["serve", "--check", "--config", hidden.to_str().unwrap()]);
    assert!(output.status.success(), "{:?}", text(&output));
}

#[test]
fn the_annotated_file_does_not_serve_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, stderr) = check_in(folder.path(), &text(&run(&["serve", "--example-config"])).0);
    assert!(!stderr.contains("served to all clients"), "{stderr}");
}

#[test]
fn a_script_prefix_of_the_whole_site_is_refused() {
    refused(
        "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\nfolder = '.'\n\
         cgi = '.'\ncgi-prefix = '/'\n",
        &["serve.toml, line 7, column 14", "every file"],
    );
}

#[test]
fn scripts_that_are_served_as_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["site/scripts", "site/cgi-bin", "other/cgi-bin", "outside"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let described = |rest: &str| {
        let folder = folder.path().display();
        format!(
            "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\n\
             folder = '{folder}/site'\n{rest}\n"
        )
    };
    let hosts = "host = ['example.org=other']\n";
    for (rest, path) in [
        ("cgi = 'site/scripts'".to_owned(), "/scripts"),
        ("cgi = 'site'".to_owned(), "path /:"),
        ("cgi-prefix = '/run/'\ncgi = 'site/cgi-bin'".to_owned(), "/cgi-bin"),
        (format!("{hosts}cgi-prefix = '/run'\ncgi = 'other/cgi-bin'"), "/cgi-bin"),
    ] {
        refused_in(folder.path(), &described(&rest), &["as files", path, "serve.toml, line"]);
    }
    for rest in
        ["cgi = 'site/cgi-bin'", "cgi-prefix = 'scripts'\ncgi = 'site/scripts'", "cgi = 'outside'"]
    {
        let (code, _, stderr) = check_in(folder.path(), &described(rest));
        assert_eq!(code, Some(0), "{rest}: {stderr}");
    }
}

#[test]
fn hidden_folders_may_hold_scripts_and_passwords() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["site/.cgi/deep", "site/a/.cgi", "site/.well-known/cgi"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let users = "alice:$2y$04$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C\n";
    for name in ["site/.htpasswd", "site/htpasswd", "site/.cgi/htpasswd"] {
        fs::write(folder.path().join(name), users).unwrap();
    }
    let described = |rest: &str| {
        format!(
            "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\n\
             folder = 'site'\n{rest}\n"
        )
    };
    for rest in [
        "cgi = 'site/.cgi'",
        "cgi = 'site/.cgi/deep'",
        "cgi = 'site/a/.cgi'",
        "auth = 'site/.htpasswd'",
    ] {
        let (code, _, stderr) = check_in(folder.path(), &described(rest));
        assert_eq!(code, Some(0), "{rest}: {stderr}");
    }
    for (rest, says) in [
        ("hidden = true\ncgi = 'site/.cgi'", "as files"),
        ("cgi = 'site/.well-known/cgi'", "as files"),
        ("auth = 'site/htpasswd'", "would be served"),
        ("hidden = true\nauth = 'site/.htpasswd'", "would be served"),
        ("cgi = 'site/.cgi'\nauth = 'site/.cgi/htpasswd'", "htpasswd"),
    ] {
        refused_in(folder.path(), &described(rest), &[says]);
    }
}

#[test]
fn a_served_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    for name in ["site/a", "site/.a", "a"] {
        let write = |end: &str, text: &str| {
            fs::write(folder.path().join(format!("{name}.{end}")), text).unwrap();
        };
        write("pem", &params.self_signed(&key).unwrap().pem());
        write("key", &key.serialize_pem());
    }
    let described = |name: &str| {
        format!(
            "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n\
             tls = [{{ cert = 'site/a.pem', key = '{name}.key' }}]\nhttp.folder = 'site'\n"
        )
    };
    let says = ["line 4, column 8", "site/a.key would be served to all clients"];
    refused_in(folder.path(), &described("site/a"), &says);
    for name in ["a", "site/.a"] {
        let (code, _, stderr) = check_in(folder.path(), &described(name));
        assert_eq!(code, Some(0), "{name}: {stderr}");
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    refused(
        "access-log = 'no/log'\n[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n\
         http.folder = 'none'\n[[server]]\nprotocol = 'echo'\nlisten = ['nowhere']\n",
        &["line 1, column 14", "line 5, column 15", "line 8, column 11"],
    );
}

#[test]
fn every_fault_of_one_site_is_reported_at_once() {
    refused(
        "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\nsocket-mode = '660'\n\
         tls = [{ cert = 'no.pem', key = 'no.key' }]\n[server.http]\nfolder = 'none'\n\
         cgi = 'no-scripts'\nauth = 'no-users'\nheader = ['X-A: b', 'no field']\n\
         cors = ['nowhere']\nredirect = ['/a', '/b=c']\ntrust-forwarded = ['x']\n\
         host = ['a.example=nowhere']\ncache-control = \"a\\nb\"\nnot-found = '404'\n",
        &[
            "line 4, column 15",
            "line 5, column 8",
            "line 7, column 10",
            "line 8, column 7",
            "line 9, column 8",
            "line 10, column 21",
            "line 11, column 9",
            "line 12, column 13",
            "line 12, column 19",
            "line 13, column 20",
            "line 14, column 9",
            "line 15, column 17",
            "line 16, column 13",
        ],
    );
}

#[test]
fn a_missing_custom_page_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["site/app", "other"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    for name in ["site/404.html", "site/app/index.html", "other/404.html"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let described = |rest: &str| {
        format!(
            "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\n\
             folder = 'site'\n{rest}\n"
        )
    };
    for (rest, says) in [
        ("not-found = '/none.html'", ["line 6, column 13", "/none.html"]),
        ("fallback = '/index.html'", ["line 6, column 12", "/index.html"]),
        ("fallback = '/app'", ["line 6, column 12", "/app/"]),
        ("not-found = '/.404.html'", ["line 6, column 13", "/.404.html"]),
    ] {
        refused_in(folder.path(), &described(rest), &says);
    }
    for rest in [
        "not-found = '/404.html'",
        "not-found = '/404'\nclean-urls = true",
        "fallback = '/app/'",
        "not-found = '/404.html'\nhost = ['a.example=other']",
    ] {
        let (code, _, stderr) = check_in(folder.path(), &described(rest));
        assert_eq!(code, Some(0), "{rest}: {stderr}");
    }
    // Another host's folder may lack it.
    let rest = "fallback = '/app/'\nhost = ['a.example=other']";
    let (code, message, stderr) = check_in(folder.path(), &described(rest));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(message.contains("/app/") && message.contains("other"), "{message}");
}

#[test]
fn redirects_that_lead_to_each_other_are_found() {
    let described = |redirects: &str| {
        format!(
            "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\n\
             folder = 'site'\nredirect = [{redirects}]\n"
        )
    };
    for redirects in [
        "'/a=/b', '/b=/a'",
        "'/a=/b', '/b=/c', '/c=/a?x=1'",
        "'/a/*=/b/', '/b/*=/a/'",
        "'/old/*=/new/', '/new/page=/old/page'",
        "'/x=/y', '/*=/x'",
    ] {
        refused(&described(redirects), &["line 6, column", "for ever"]);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    for redirects in
        ["'/a=/b', '/b=/c'", "'/a/*=/b/', '/b/x=/c'", "'/a/*=https://example.org/a/', '/b=/a'"]
    {
        let (code, _, stderr) = check_in(folder.path(), &described(redirects));
        assert_eq!(code, Some(0), "{redirects}: {stderr}");
    }
}

#[test]
fn a_host_name_that_only_its_subdomains_match_is_noted() {
    let described = |hosts: &str| {
        format!(
            "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n[server.http]\n\
             folder = 'site'\nhost = [{hosts}]\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    for (hosts, is_noted) in [
        ("'*.example.org=site'", true),
        ("'*.example.org=site', 'example.org=site'", false),
        ("'*.example.org=site', '*.org=site'", false),
    ] {
        let (code, message, stderr) = check_in(folder.path(), &described(hosts));
        assert_eq!(code, Some(0), "{hosts}: {stderr}");
        let noted = message.contains("\"example.org=DIR\"") && message.contains("line 6, column 9");
        assert_eq!(noted, is_noted, "{hosts}: {message}");
    }
}

#[test]
fn a_start_names_the_same_locations() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (described, place) in [
        (format!("[[server]]\nprotocol = 'echo'\nlisten = ['{taken}']\n"), "line 3, column 11"),
        (
            format!(
                "metrics = '{taken}'\n[[server]]\nprotocol = 'echo'\nlisten = ['127.0.0.1:0']\n"
            ),
            "line 1, column 11",
        ),
        ("[[server]]\nprotocol = 'http'\nhttp.folder = 'none'\n".to_owned(), "line 3, column 15"),
        (
            "[[server]]\nprotocol = 'echo'\ntls = [{ cert = 'a', key = 'b' }]\n".to_owned(),
            "line 3, column 8",
        ),
    ] {
        fs::write(&file, described).unwrap();
        let output = run(&["serve", "--config", file.to_str().unwrap()]);
        let (_, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("serve.toml, {place}")), "{stderr}");
        assert!(!stderr.contains("--listen"), "{stderr}");
    }
    let output = run(&["serve", "echo", "--listen", &taken.to_string()]);
    assert!(text(&output).1.contains("--listen"), "{}", text(&output).1);
}

/// A file is checked before the server that runs it is restarted.
#[test]
fn the_server_that_runs_the_file_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let described = format!("[[server]]\nprotocol = 'echo'\nlisten = ['{free}']\n");
    let file = folder.path().join("serve.toml");
    fs::write(&file, &described).unwrap();
    let server = Server::serve("auto", &["--config", file.to_str().unwrap()]);
    let (code, message, stderr) = check_in(folder.path(), &described);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(message.contains(&format!("process {}", server.id())), "{message}");
    server.stop(Signal::TERM);
}

#[test]
fn flags_are_checked_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().to_str().unwrap();
    let output = run(&["serve", "--check", "http", site, "--listen", "127.0.0.1:0"]);
    assert!(output.status.success(), "{}", text(&output).1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--check", "http", site, "--listen", &taken]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains("--listen: cannot listen"), "{}", text(&output).1);
}
