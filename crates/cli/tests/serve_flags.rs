//! Flags and keys without effect, each refused with a remedy.

mod common;

use std::fs;
use std::path::Path;

use common::{run, text};

fn serve(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["serve", "--check"], arguments].concat());
    (output.status.code(), text(&output).1)
}

#[track_caller]
fn refused(arguments: &[&str], says: &[&str]) {
    let (code, stderr) = serve(arguments);
    assert!(matches!(code, Some(1 | 2)), "{arguments:?} is taken: {stderr}");
    for word in says {
        assert!(stderr.contains(word), "{arguments:?}: {word:?} is not in\n{stderr}");
    }
}

/// Checks a file with this text.
#[track_caller]
fn file_refused(folder: &Path, described: &str, says: &[&str]) {
    let file = folder.join("serve.toml");
    fs::write(&file, described).unwrap();
    refused(&["--config", file.to_str().unwrap()], says);
}

/// Creates a folder with a site, one with scripts, and a certificate.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["site", "scripts"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
    folder
}

#[test]
fn a_flag_without_effect_is_refused_with_the_missing_flag() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (site, scripts, cert, key) = (path("site"), path("scripts"), path("a.pem"), path("a.key"));
    let usual = ["http", &*site, "--listen", "127.0.0.1:0"];
    let socket = format!("unix:{}", path("socket"));
    let of_unix = ["http", &*site, "--listen", &*socket];
    refused(&[&of_unix[..], &["--per-address", "5"]].concat(), &["--per-address", "Unix sockets"]);
    let trust = ["--trust-forwarded", "unix"];
    refused(&[&usual[..], &trust].concat(), &["--trust-forwarded", "--listen unix:"]);
    for (more, says) in [
        (&["--log-format", "json"][..], &["--access-log"][..]),
        (&["--rate", "0", "--allowance", "5s"], &["--allowance", "--rate"]),
        (
            &["--cgi", &scripts, "--cgi-timeout", "5s", "--cgi-header-timeout", "10s"],
            &["--cgi-header-timeout", "--cgi-timeout"],
        ),
        (&["--cgi", &scripts, "--cgi-header-timeout", "10m"], &["--cgi-timeout", "5m"]),
        (
            &["--cgi", &scripts, "--cgi-queue", "0", "--cgi-queue-timeout", "5s"],
            &["--cgi-queue-timeout", "--cgi-queue "],
        ),
        (&["--cgi-prefix", "/x/"], &["--cgi <DIR>"]),
        (
            &["--redirect-https", "--tls-cert", &cert, "--tls-key", &key],
            &["--redirect-https", "TLS", "--trust-forwarded"],
        ),
    ] {
        refused(&[&usual[..], more].concat(), says);
    }
}

#[test]
fn a_unix_socket_on_which_clients_count_as_one_is_noted() {
    let folder = folder();
    let (site, socket) = (folder.path().join("site"), folder.path().join("socket"));
    let socket = format!("unix:{}", socket.display());
    let check = |more: &[&str]| {
        let usual = ["serve", "--check", "http", site.to_str().unwrap(), "--listen", &socket];
        let output = run(&[&usual[..], more].concat());
        assert!(output.status.success(), "{}", text(&output).1);
        text(&output).0.contains("--trust-forwarded unix")
    };
    let rate = ["--request-rate", "5"];
    assert!(check(&rate));
    assert!(!check(&[]));
    assert!(!check(&[&rate[..], &["--proxy-protocol"]].concat()));
    assert!(!check(&[&rate[..], &["--trust-forwarded", "unix"]].concat()));
}

#[test]
fn a_key_without_effect_is_refused_with_its_location() {
    let folder = folder();
    let server = "[[server]]\nprotocol = 'http'\nlisten = ['127.0.0.1:0']\n";
    let site = "[server.http]\nfolder = 'site'\n";
    for (described, says) in [
        (format!("log-format = 'json'\n{server}{site}"), ["line 1, column 14", "access-log"]),
        (
            format!("{server}{site}[server.limits]\nrate = 0\nallowance = '5s'\n"),
            ["line 8, column 13", "rate"],
        ),
        (format!("{server}{site}cgi-prefix = '/x/'\n"), ["line 6, column 14", "cgi = "]),
        (format!("{server}{site}cgi-authorization = true\n"), ["line 6, column 21", "cgi = "]),
        (
            format!("{server}{site}cgi = 'scripts'\ncgi-timeout = '5s'\ncgi-header-timeout = '9s'"),
            ["line 8, column 22", "cgi-timeout"],
        ),
        (
            format!(
                "{server}tls = [{{ cert = 'a.pem', key = 'a.key' }}]\n{site}redirect-https = true\n"
            ),
            ["line 7, column 18", "TLS"],
        ),
    ] {
        file_refused(folder.path(), &described, &says);
    }
}

#[test]
fn a_limit_of_zero_is_refused_with_the_alternative() {
    for flag in
        ["--request-rate", "--cgi-scripts", "--threads", "--max-connections", "--per-address"]
    {
        refused(&["http", ".", "--cgi", ".", flag, "0"], &[flag, "leave it out"]);
    }
    let folder = folder();
    let described =
        "[[server]]\nprotocol = 'http'\n[server.http]\nfolder = 'site'\nrequest-rate = 0\n";
    file_refused(folder.path(), described, &["line 5, column 16", "leave it out"]);
}

#[test]
fn an_address_without_a_host_is_refused_with_both_alternatives() {
    for address in [":8090", "8090", "*:8090"] {
        refused(
            &["echo", "--listen", address],
            &["127.0.0.1:8090", "0.0.0.0:8090", "[::]:8090", "all interfaces"],
        );
    }
}

#[test]
fn a_value_of_another_type_is_reported_with_key_location_and_example() {
    let folder = folder();
    let server = "[[server]]\nprotocol = 'http'\n";
    for (described, says) in [
        (
            format!("{server}listen = 8080\n"),
            [
                "serve.toml, line 3, column 10",
                "`listen`",
                "the integer 8080",
                "listen = [\"127.0.0.1:8080\"]",
            ],
        ),
        (
            format!("{server}listen = [8080]\n"),
            ["line 3, column 11", "`listen`", "a string", "listen = [\"127.0.0.1:8080\"]"],
        ),
        (
            "drain = 5\n".to_owned(),
            ["line 1, column 9", "`drain`", "the integer 5", "drain = \"10s\""],
        ),
        (
            "threads = 'two'\n".to_owned(),
            ["line 1, column 11", "`threads`", "the string \"two\"", "threads = 1"],
        ),
        (
            format!("{server}[server.http]\nfolder = '.'\nlist = 'yes'\n"),
            ["line 5, column 8", "`list`", "true or false", "list = true"],
        ),
        (
            format!("{server}[server.http]\nfolder = '.'\nrequest-rate = '50'\n"),
            ["line 5, column 16", "`request-rate`", "the string \"50\"", "request-rate = 50"],
        ),
        (
            format!("{server}[server.limits]\nidle-timeout = 60\n"),
            ["line 4, column 16", "`idle-timeout`", "a string", "idle-timeout = \"60s\""],
        ),
        (
            format!("{server}[server]\nlist = 1\n"),
            ["line 3, column 2", "serve.toml", "duplicate key", "--example-config"],
        ),
        (
            "[server]\nprotocol = 'echo'\n".to_owned(),
            ["line 1, column 1", "serve.toml", "[[server]]", "double brackets"],
        ),
    ] {
        let says = [&says[..], &["overlapped serve --example-config"]].concat();
        file_refused(folder.path(), &described, &says);
    }
}

#[test]
fn the_annotated_file_is_printed_by_the_program_itself() {
    let output = run(&["serve", "--example-config"]);
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/serve.toml");
    assert_eq!(text(&output), (fs::read_to_string(document).unwrap(), String::new()));
    assert!(output.status.success());
}
