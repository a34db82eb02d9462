//! `serve http --cgi` with third-party CGI programs, and with real clients.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use testkit::{report, rounds, wait_until};

use common::{Server, Signal, has_client, install, on_each_port, text};

const PLAIN: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n";

/// Creates a folder with a site and scripts.
fn folder(scripts: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    fs::create_dir(folder.path().join("scripts")).unwrap();
    for (name, text) in scripts {
        install(&folder.path().join("scripts").join(name), text);
    }
    folder
}

fn serve(port: &str, folder: &Path, more: &[&str]) -> Server {
    let (site, scripts) = (folder.join("site"), folder.join("scripts"));
    let usual = ["http", site.to_str().unwrap(), "--cgi", scripts.to_str().unwrap()];
    Server::serve(port, &[&usual[..], &["--listen", "127.0.0.1:0"], more].concat())
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}/cgi-bin/{path}", server.addr)
}

/// Returns the output of curl, which must succeed.
fn curl(arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    let output = curl.args(["--silent", "--show-error"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output).1);
    text(&output).0
}

/// Returns the path of a program.
fn path_of(program: &str) -> String {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &format!("command -v {program}")]).output().unwrap();
    text(&output).0.trim().to_owned()
}

#[test]
fn variables_are_given_to_scripts_and_limits_are_kept() {
    let folder = folder(&[
        ("variables", &format!("{PLAIN}echo \"$A|$B|$HTTP_AUTHORIZATION\"\n")),
        ("endless", &format!("{PLAIN}exec cat /dev/zero\n")),
        ("slow", "#!/bin/sh\nsleep 1000\n"),
    ]);
    if !has_client("curl") {
        return;
    }
    let flags = ["--cgi-env", "A=1=2", "--cgi-env", "B=", "--cgi-authorization"];
    let limits = ["--cgi-header-timeout", "3s", "--cgi-max-output", "1MiB"];
    let server = serve("auto", folder.path(), &[&flags[..], &limits].concat());
    let got = curl(&["--user", "a:b", &url(&server, "variables")]);
    assert_eq!(got, "1=2||Basic YTpi\n");
    let code = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"];
    assert_eq!(curl(&[&code[..], &[&url(&server, "slow")]].concat())[..3], *"504");
    let url = url(&server, "endless");
    let cut = Command::new("curl").args(["--silent"]).args(code).arg(url).output().unwrap();
    let size: u64 = text(&cut).0.strip_prefix("200 ").unwrap().parse().unwrap();
    assert!(!cut.status.success() && size <= 1 << 20, "{cut:?}");
}

#[test]
fn scripts_get_the_name_of_the_user_whose_password_was_checked() {
    if !(has_client("curl") && has_client("htpasswd")) {
        return;
    }
    let folder = folder(&[(
        "who",
        &format!("{PLAIN}echo \"$AUTH_TYPE $REMOTE_USER<$HTTP_AUTHORIZATION>\"\n"),
    )]);
    let users = folder.path().join("users");
    let mut htpasswd = Command::new("htpasswd");
    let made = htpasswd.arg("-bcB").arg(&users).args(["me", "secret"]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made).1);
    let server = serve("auto", folder.path(), &["--auth", users.to_str().unwrap()]);
    let code = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    assert_eq!(curl(&[&code[..], &[&url(&server, "who")]].concat()), "401");
    assert_eq!(curl(&["--user", "me:secret", &url(&server, "who")]), "Basic me<>\n");
}

/// Tells whether processes with these numbers exist, apart from zombies.
fn are_alive(numbers: &str) -> bool {
    let is_alive = |number| match fs::read_to_string(format!("/proc/{number}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => false,
    };
    numbers.split_whitespace().any(is_alive)
}

#[test]
fn h10_a_second_signal_leaves_no_script_behind() {
    on_each_port(|port| {
        let scripts = "#!/bin/sh\ntrap '' INT TERM HUP\nsleep 1000 & echo $! $$ > numbers.new\n\
                       mv numbers.new numbers; wait; sleep 1000\n";
        let folder = folder(&[("stubborn", scripts)]);
        let server = serve(port, folder.path(), &["--drain", "1000s"]);
        let mut client = server.connect();
        client.write_all(b"GET /cgi-bin/stubborn HTTP/1.0\r\n\r\n").unwrap();
        let numbers = folder.path().join("scripts/numbers");
        wait_until("the script runs", || numbers.exists());
        let numbers = fs::read_to_string(numbers).unwrap();
        assert!(are_alive(&numbers));
        server.signal(Signal::INT);
        // By then its listener is closed.
        wait_until("it drains", || std::net::TcpStream::connect(server.addr).is_err());
        assert!(are_alive(&numbers));
        let stopped = server.stop(Signal::INT);
        assert_eq!((stopped.status.code(), &*stopped.stdout), (Some(130), ""), "{stopped:?}");
        // A killed process may take a moment to end.
        wait_until("the script and its child are killed", || !are_alive(&numbers));
        report("H10", 2, &format!("{port}: processes of a script killed by a second signal"));
    });
}

#[test]
fn h16_under_load_no_script_is_refused() {
    if !has_client("ab") {
        return;
    }
    on_each_port(|port| {
        let folder = folder(&[("quick", PLAIN)]);
        let server = serve(port, folder.path(), &[]);
        let count = rounds(640, 20_000);
        let mut ab = Command::new("ab");
        ab.args(["-q", "-c", "64", "-n", &count.to_string(), &url(&server, "quick")]);
        let begin = Instant::now();
        let (message, stderr) = text(&ab.output().unwrap());
        let each = count as f64 / begin.elapsed().as_secs_f64();
        assert!(
            message.contains(&format!("Complete requests:      {count}\n")),
            "{message}{stderr}"
        );
        assert!(
            !message.contains("Non-2xx") && message.contains("Failed requests:        0\n"),
            "{message}"
        );
        let figure = format!("{port}: ab -c 64 on a script, 0 refused, {each:.0} a second");
        report("H16", count, &figure);
    });
}

/// Clones a repository, changes 5 MiB of it, pushes the change, and clones it again.
const GIT: &str = "set -e
export HOME=\"$PWD/home\" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_TRACE_CURL=\"$PWD/trace\"
mkdir home
git config --global user.name me
git config --global user.email me@example.org
git config --global init.defaultBranch main
git init -q --bare repositories/a.git
git -C repositories/a.git config http.receivepack true
git clone -q \"$URL\" first 2>&1
head -c 5M /dev/urandom > first/data
git -C first add data
git -C first commit -q -m data
for n in $(seq 60); do
    git -C first update-ref refs/heads/b$n $(git -C first commit-tree -m $n 'HEAD^{tree}')
done
git -C first push -q --all
git clone -q --mirror \"$URL\" second
git -C second fsck --strict >/dev/null 2>&1
git -C second show main:data | cmp - first/data
git -C second for-each-ref | wc -l
if git ls-remote \"${URL%a.git}none.git\" 2>complaint; then exit 1; fi
grep -q 'not found' complaint
echo missing is told so
";

#[test]
fn git_clones_and_pushes_megabytes_in_chunks_and_packed_requests() {
    if !has_client("git") {
        return;
    }
    on_each_port(|port| {
        let folder = folder(&[("git", "#!/bin/sh\nexec git http-backend\n")]);
        let root = format!("GIT_PROJECT_ROOT={}/repositories", folder.path().display());
        let flags = ["--cgi-env", &root, "--cgi-env", "GIT_HTTP_EXPORT_ALL="];
        let server = serve(port, folder.path(), &flags);
        let mut shell = Command::new("sh");
        shell.args(["-c", GIT]).current_dir(folder.path()).env("URL", url(&server, "git/a.git"));
        let output = shell.output().unwrap();
        let (message, stderr) = text(&output);
        assert!(output.status.success(), "{message}{stderr}");
        assert!(message.ends_with("61\nmissing is told so\n"), "{message}{stderr}");
        let trace = fs::read_to_string(folder.path().join("trace")).unwrap().to_ascii_lowercase();
        for sent in ["header: transfer-encoding: chunked", "header: content-encoding: gzip"] {
            assert!(trace.contains(&format!("=> send {sent}")), "git has not sent {sent}");
        }
        assert_eq!(server.stop(Signal::TERM).count("errors"), 0);
    });
}

/// Reports what it was sent. php-cgi does not read the first line.
const PHP: &str = "<?php
http_response_code(201);
header('X-Info: ' . $_SERVER['PATH_INFO']);
setcookie('a', 'b');
echo $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['SCRIPT_NAME'], ' ', $_GET['q'] ?? '-', ' ';
echo $_POST['field'] ?? '-', ' ', isset($_FILES['file']) ? $_FILES['file']['size'] : '-', ' ';
echo basename($_SERVER['SCRIPT_FILENAME']), ' ', basename($_SERVER['DOCUMENT_ROOT']), \"\\n\";
";

#[test]
fn php_runs_as_a_script() {
    if !(has_client("php-cgi") && has_client("curl")) {
        return;
    }
    on_each_port(|port| {
        let text = format!("#!{}\n{PHP}", path_of("php-cgi"));
        let folder = folder(&[("a.php", &text)]);
        fs::write(folder.path().join("large"), vec![b'x'; 1_000_000]).unwrap();
        let server = serve(port, folder.path(), &[]);
        let url = url(&server, "a.php/more?q=1%202");
        let got = curl(&["--include", &url]);
        assert!(got.starts_with("HTTP/1.1 201 "), "{got}");
        assert!(got.to_ascii_lowercase().contains("\r\nx-info: /more\r\n"), "{got}");
        assert!(got.to_ascii_lowercase().contains("\r\nset-cookie: a=b\r\n"), "{got}");
        assert!(got.ends_with("\r\n\r\nGET /cgi-bin/a.php 1 2 - - a.php site\n"), "{got}");
        let got = curl(&["--data", "field=some", &url]);
        assert_eq!(got, "POST /cgi-bin/a.php 1 2 some - a.php site\n");
        let file = format!("file=@{}", folder.path().join("large").display());
        let got = curl(&["--form", "field=x", "--form", &file, &url]);
        assert_eq!(got, "POST /cgi-bin/a.php 1 2 x 1000000 a.php site\n");
    });
}

const PERL: &str = "use strict; use warnings; use CGI;
my $q = CGI->new;
print $q->header(-status => '202 Accepted', -type => 'text/plain', -cookie => $q->cookie(a => 'b'));
my ($size, $file, $piece) = (0, scalar $q->upload('file'), '');
if ($file) { while (my $read = read($file, $piece, 65536)) { $size += $read } }
print join(' ', $q->request_method, $q->path_info, $q->url(-path_info => 1, -query => 1), $size,
    map { $_ . '=' . ($_ eq 'file' ? '' : $q->param($_)) } sort $q->param), \"\\n\";
";

#[test]
fn perls_cgi_module_runs_as_a_script() {
    if !(has_client("perl") && has_client("curl")) {
        return;
    }
    let mut perl = Command::new("perl");
    if !perl.args(["-MCGI", "-e", "1"]).output().unwrap().status.success() {
        println!("SKIPPED: the check with Perl's CGI.pm, which is not installed");
        return;
    }
    on_each_port(|port| {
        let text = format!("#!{}\n{PERL}", path_of("perl"));
        let folder = folder(&[("a.pl", &text)]);
        fs::write(folder.path().join("large"), vec![b'x'; 1_000_000]).unwrap();
        let server = serve(port, folder.path(), &[]);
        let url = url(&server, "a.pl/more");
        let got = curl(&["--include", &format!("{url}?q=1")]);
        assert!(got.starts_with("HTTP/1.1 202 "), "{got}");
        assert!(got.to_ascii_lowercase().contains("\r\nset-cookie: a=b"), "{got}");
        assert!(got.ends_with(&format!("\r\n\r\nGET /more {url}?q=1 0 q=1\n")), "{got}");
        let got = curl(&["--data", "field=some", &url]);
        assert_eq!(got, format!("POST /more {url}?field=some 0 field=some\n"));
        let file = format!("file=@{}", folder.path().join("large").display());
        let got = curl(&["--form", &file, &url]);
        assert!(got.starts_with("POST /more ") && got.contains(" 1000000 file="), "{got}");
    });
}

#[test]
fn a_script_with_a_status_alone_is_answered() {
    let folder = folder(&[("none", "#!/bin/sh\nprintf 'Status: 404 Not Found\\r\\n\\r\\n'\n")]);
    let server = serve("auto", folder.path(), &[]);
    let mut client = server.connect();
    client.write_all(b"GET /cgi-bin/none HTTP/1.0\r\n\r\n").unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 404 "), "{got}");
}

#[test]
fn a_script_gets_a_body_that_was_sent_after_100_continue_and_one_that_is_too_large_is_never_sent() {
    on_each_port(|port| {
        let folder = folder(&[("count", &format!("{PLAIN}wc -c\n"))]);
        let server = serve(port, folder.path(), &["--max-body", "100000"]);
        let mut client = server.connect();
        let head = |length: usize| {
            format!(
                "POST /cgi-bin/count HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\
                 Expect: 100-continue\r\n\r\n"
            )
        };
        client.write_all(head(99_999).as_bytes()).unwrap();
        let mut invited = [0; 25];
        client.read_exact(&mut invited).unwrap();
        assert_eq!(&invited, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(&vec![b'x'; 99_999]).unwrap();
        let got = until(&mut client, "99999\n\r\n0\r\n\r\n");
        assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
        // On the same connection.
        client.write_all(head(100_001).as_bytes()).unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert!(got.starts_with("HTTP/1.1 413 ") && !got.contains(" 100 "), "{got}");
    });
}

#[test]
fn a_script_that_runs_after_its_answer_keeps_its_place_until_its_time_limit() {
    let works_on =
        "exec >&- 2>&-; touch began; while ! [ -e go ]; do sleep 0.02; done; touch done\n";
    let folder = folder(&[
        ("long", &format!("{PLAIN}echo answered\n{works_on}")),
        (
            "stuck",
            &format!("{PLAIN}echo answered\nexec >&- 2>&-; touch stuck-began; exec sleep 1000\n"),
        ),
        ("quick", &format!("{PLAIN}echo quick\n")),
    ]);
    let scripts = folder.path().join("scripts");
    let ask = |server: &Server, path: &str| {
        let mut client = server.connect();
        write!(client, "GET /cgi-bin/{path} HTTP/1.0\r\n\r\n").unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        got
    };
    let one = ["--cgi-scripts", "1", "--cgi-queue", "0"];
    let server = serve("auto", folder.path(), &[&one[..], &["--cgi-timeout", "10m"]].concat());
    assert!(ask(&server, "long").ends_with("\r\n\r\nanswered\n"));
    wait_until("it works on", || scripts.join("began").exists());
    assert!(ask(&server, "quick").starts_with("HTTP/1.1 503 "), "it still counts");
    server.wait_for_stderr(|message| message.contains("--cgi-scripts"));
    fs::write(scripts.join("go"), "").unwrap();
    wait_until("its place is free", || ask(&server, "quick").ends_with("quick\n"));
    assert!(scripts.join("done").exists(), "it has come to its end");
    drop(server);
    let server = serve("auto", folder.path(), &[&one[..], &["--cgi-timeout", "5s"]].concat());
    assert!(ask(&server, "stuck").ends_with("\r\n\r\nanswered\n"));
    wait_until("it works on", || scripts.join("stuck-began").exists());
    wait_until("it is killed", || ask(&server, "quick").ends_with("quick\n"));
    server
        .wait_for_stderr(|message| message.contains("--cgi-timeout") && message.contains("stuck"));
}

#[test]
fn a_message_about_a_script_at_its_limit_names_the_flag() {
    let folder = folder(&[
        ("slow", "#!/bin/sh\nsleep 1000\n"),
        ("endless", &format!("{PLAIN}exec cat /dev/zero\n")),
        ("long", &format!("{PLAIN}echo begun; exec sleep 1000\n")),
    ]);
    let limits = ["--cgi-header-timeout", "3s", "--cgi-max-output", "1MiB", "--cgi-timeout", "6s"];
    let more = ["--cgi-scripts", "1", "--cgi-queue", "0"];
    let server = serve("auto", folder.path(), &[&limits[..], &more].concat());
    let begin = |path: &str| {
        let mut client = server.connect();
        write!(client, "GET /cgi-bin/{path} HTTP/1.0\r\n\r\n").unwrap();
        let mut start = [0; 12];
        client.read_exact(&mut start).unwrap();
        (client, String::from_utf8_lossy(&start[9..]).into_owned())
    };
    for (path, flag) in [
        ("slow", "--cgi-header-timeout"),
        ("endless", "--cgi-max-output"),
        ("long", "--cgi-timeout"),
    ] {
        // The previous one may still be about to end.
        let mut begun = None;
        wait_until("it runs", || {
            let (client, status) = begin(path);
            begun = Some(client);
            status != "503"
        });
        let mut client = begun.unwrap();
        let _ = client.read_to_end(&mut Vec::new());
        server.wait_for_stderr(|message| message.contains(flag));
    }
}

/// The limit on descriptors.
const LIMIT: usize = 64;

#[test]
fn idle_connections_are_closed_for_scripts_without_descriptors() {
    on_each_port(|port| {
        let folder = folder(&[("count", &format!("{PLAIN}wc -c\n"))]);
        let (site, scripts) = (folder.path().join("site"), folder.path().join("scripts"));
        fs::write(site.join("a"), "hello").unwrap();
        let arguments = [
            "http",
            site.to_str().unwrap(),
            "--cgi",
            scripts.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--idle-timeout",
            "10m",
            "--cgi-scripts",
            "1",
        ];
        let server = Server::start_with_descriptors(port, LIMIT, &arguments);
        // Opens idle connections until the given number of descriptors is left: enough for the
        // folder of scripts but not for the body; or for that but not for the pipes.
        let mut idle = Vec::new();
        for left in [0, 1, 2, 3, 4] {
            // The last case depends on timing: for its file, one of the other connections is
            // closed.
            for _ in 0..LIMIT {
                if server.descriptors() >= LIMIT - left {
                    break;
                }
                let mut client = server.connect();
                client.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                until(&mut client, "hello");
                idle.push(client);
            }
            let last = idle.last_mut().unwrap();
            let head = "POST /cgi-bin/count HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
            last.write_all(head.as_bytes()).unwrap();
            last.write_all(&vec![b'x'; 200_000]).unwrap();
            let got = until(last, "\r\n\r\n");
            assert!(got.starts_with("HTTP/1.1 200 "), "{left} left: {got}");
            assert!(until(last, "0\r\n\r\n").contains("200000\n"), "{left} left");
        }
        server.stop(Signal::TERM);
    });
}

/// Reads up to `end`.
fn until(client: &mut impl Read, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    String::from_utf8(got).unwrap()
}
