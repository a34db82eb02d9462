//! Layers that tell clients apart.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::StatusCode;
use overlapped_wire::http::{ClientIdentity, text};

use super::{ask, ask_as, say};
use crate::peer::Peer;
use crate::web::files::tests::{Got, request};
use crate::web::{BasicAuth, Call, Forwarded, Handler, Network, RequestLimit, User};

fn from(address: &str) -> Peer {
    let remote = address.parse::<std::net::IpAddr>().ok().map(|ip| SocketAddr::new(ip, 1234));
    Peer { remote, ..Peer::default() }
}

/// A handler that answers with what it sees of the client.
fn who(call: Call<'_>) -> overlapped_wire::http::Answer {
    let Peer { remote, secure, .. } = call.peer;
    let user = call.request.extensions().get::<User>().map_or("-", User::name);
    let remote = remote.map_or("local".to_owned(), |remote| remote.ip().to_string());
    text(StatusCode::OK, format!("{remote} {secure} {user}"))
}

#[test]
fn networks_contain_their_addresses() {
    for (network, inside, outside) in [
        (
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.1.2", "::ffff:10.1.2.3"][..],
            &["11.0.0.0", "::1"][..],
        ),
        ("192.0.2.7", &["192.0.2.7"], &["192.0.2.8"]),
        ("0.0.0.0/0", &["1.2.3.4"], &["::1"]),
        ("2001:db8::/32", &["2001:db8:1::1"], &["2001:db9::1", "10.0.0.1"]),
        ("::/0", &["::1"], &["1.2.3.4"]),
        ("unix", &[], &["127.0.0.1"]),
    ] {
        let parsed: Network = network.parse().unwrap();
        for (addresses, expected) in [(inside, true), (outside, false)] {
            for address in addresses {
                let holds = parsed.contains(Some(address.parse().unwrap()));
                assert_eq!(holds, expected, "{network} {address}");
            }
        }
        assert_eq!(parsed.contains(None), network == "unix");
    }
    for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/-1", "a", "10.0.0.0/8/8"] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

#[test]
fn only_trusted_proxies_set_the_clients_address() {
    let trusted = ["10.0.0.0/8", "unix"].map(|text| text.parse().unwrap());
    let site = Forwarded::new(trusted, who);
    let seen = |peer: &str, fields: &[(&str, &str)]| {
        ask_as(&site, from(peer), "GET", "/", fields).text().to_owned()
    };
    let told = ("x-forwarded-for", "192.0.2.9");
    let https = ("x-forwarded-proto", "https");
    assert_eq!(seen("198.51.100.1", &[told, https]), "198.51.100.1 false -");
    assert_eq!(seen("10.1.2.3", &[told, https]), "192.0.2.9 true -");
    assert_eq!(seen("", &[told]), "192.0.2.9 false -");
    assert_eq!(seen("10.1.2.3", &[]), "10.1.2.3 false -");
    for (list, client) in [
        ("6.6.6.6, 192.0.2.9", "192.0.2.9"),
        ("6.6.6.6, 192.0.2.9, 10.9.9.9", "192.0.2.9"),
        ("10.3.3.3, 10.9.9.9", "10.3.3.3"),
        ("192.0.2.9:4711", "192.0.2.9"),
        ("[2001:db8::7]:80", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("6.6.6.6, unknown, 10.9.9.9", "10.9.9.9"),
        ("unknown", "10.1.2.3"),
        ("", "10.1.2.3"),
        ("evil\t6.6.6.6", "10.1.2.3"),
    ] {
        let seen = seen("10.1.2.3", &[("x-forwarded-for", list)]);
        assert_eq!(seen, format!("{client} false -"), "{list}");
    }
    let two = [("x-forwarded-for", "6.6.6.6"), told];
    assert_eq!(seen("10.1.2.3", &two), "192.0.2.9 false -", "the last field counts");
    let both = [https, ("x-forwarded-proto", "http")];
    assert_eq!(seen("10.1.2.3", &both), "10.1.2.3 false -");
    let request = request("GET", "/", &[told]);
    let answer = site.handle(Call::new(request, &mut std::io::empty(), from("10.1.2.3")));
    let identity = answer.extensions().get::<ClientIdentity>().unwrap();
    assert_eq!(identity.client, Some("192.0.2.9".parse().unwrap()), "the access log is told");
}

#[test]
fn a_client_with_too_many_requests_gets_429_and_retry_after() {
    let site = RequestLimit::new(NonZeroU32::new(2).unwrap(), say("x"));
    let get = |peer: &str| ask_as(&site, from(peer), "GET", "/", &[]);
    let mut refused = 0;
    for _ in 0..60 {
        let got = get("192.0.2.1");
        if got.status == 429 {
            let seconds: u64 = got.field("retry-after").parse().unwrap();
            assert!((1..=2).contains(&seconds), "{seconds}");
            refused += 1;
        }
    }
    // A burst of twenty, and two more for each second that this took.
    assert!(refused > 0, "none of 60 was refused");
    assert_eq!(get("192.0.2.2").status, 200, "another client");
}

fn basic(both: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(both))
}

#[test]
fn only_clients_with_a_password_are_served() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("users");
    let write = |users: &[(&str, &str)]| {
        let lines = users
            .iter()
            .map(|(name, password)| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap()));
        fs::write(&file, lines.collect::<String>()).unwrap();
    };
    write(&[("alice", "s:cret"), ("bob", "pass")]);
    overlapped::run(|| {
        let site = BasicAuth::new(&file, who).unwrap();
        let got = |field: &str| ask(&site, "GET", "/", &[("authorization", field)]);
        for _ in 0..3 {
            let right = got(&basic("alice:s:cret"));
            assert_eq!((right.status.as_u16(), right.text()), (200, "local false alice"));
            assert_eq!(right.field("cache-control"), "private");
        }
        for wrong in ["alice:", "bob:s:cret", "nobody:pass", "alice"] {
            assert_eq!(got(&basic(wrong)).status, 401, "{wrong}");
        }
        for wrong in ["", "Basic", "Basic !!", "Bearer abc", &basic("alice:s:cret\0")] {
            let answer: Got = got(wrong);
            assert_eq!(answer.status, 401, "{wrong:?}");
            assert!(answer.field("www-authenticate").starts_with("Basic realm="));
        }
        assert_eq!(ask(&site, "GET", "/", &[]).status, 401);
        let two = [("authorization", &*basic("a:b")), ("authorization", &*basic("alice:s:cret"))];
        assert_eq!(ask(&site, "GET", "/", &two).status, 401, "two fields");
        // The file is read again: passwords that were right are forgotten.
        write(&[("alice", "other password"), ("eve", "x")]);
        assert_eq!(got(&basic("alice:s:cret")).status, 401);
        assert_eq!(got(&basic("alice:other password")).status, 200);
        fs::write(&file, "nonsense\n").unwrap();
        assert_eq!(got(&basic("eve:x")).status, 200, "a broken file leaves the users as they were");
    })
    .unwrap();
}

#[test]
fn a_guessing_client_has_few_attempts_and_others_are_not_disturbed() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("users");
    fs::write(&file, format!("alice:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    overlapped::run(|| {
        let site = BasicAuth::new(&file, say("x")).unwrap();
        let try_it = |peer: &str, both: &str| {
            let field = [("authorization", &*basic(both))];
            ask_as(&site, from(peer), "GET", "/", &field)
        };
        let tried = |count: usize| {
            let wrong =
                (0..count).map(|n| try_it("192.0.2.1", &format!("alice:{n}")).status.as_u16());
            wrong.filter(|status| *status == 429).count()
        };
        assert_eq!(tried(30), 0);
        // At most one more attempt per ten seconds.
        assert!(tried(20) > 0);
        let refused = try_it("192.0.2.1", "alice:secret");
        assert_eq!(refused.status, 429, "a right guess among wrong ones is not to be seen");
        assert!(refused.field("retry-after").parse::<u64>().unwrap() >= 1);
        for _ in 0..100 {
            assert_eq!(try_it("192.0.2.2", "alice:secret").status, 200);
        }
    })
    .unwrap();
}

#[test]
fn simultaneous_right_passwords_do_not_count_as_wrong() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("users");
    let users = ["alice", "bob"].map(|name| {
        let hash = bcrypt::hash("secret", 4).unwrap();
        format!("{name}:{hash}\n")
    });
    fs::write(&file, users.concat()).unwrap();
    overlapped::run(|| {
        let site = BasicAuth::new(&file, say("x")).unwrap();
        let at_once = |both: &dyn Fn(usize) -> String| {
            let statuses = std::cell::RefCell::new(Vec::new());
            overlapped::scope(|scope| {
                for number in 0..60 {
                    let (site, statuses, both) = (&site, &statuses, both(number));
                    scope.spawn(move || {
                        let field = [("authorization", &*basic(&both))];
                        let got = ask_as(site, from("192.0.2.1"), "GET", "/", &field);
                        statuses.borrow_mut().push(got.status.as_u16());
                    });
                }
            });
            statuses.into_inner()
        };
        let right = |number: usize| ["alice:secret", "bob:secret"][number % 2].to_owned();
        assert_eq!(at_once(&right), [200; 60], "none is known yet");
        // The file is read again, and all known passwords are forgotten.
        fs::write(&file, format!("# changed\n{}", users.concat())).unwrap();
        assert_eq!(at_once(&right), [200; 60], "the file has changed");
        // Equal simultaneous wrong attempts are hashed and counted once.
        assert_eq!(at_once(&|_| "alice:wrong".to_owned()), [401; 60]);
        assert_eq!(at_once(&right), [200; 60]);
        let wrong = at_once(&|number| format!("alice:{number}"));
        let count = |status| wrong.iter().filter(|got| **got == status).count();
        assert_eq!(count(401) + count(429), 60, "{wrong:?}");
        // One was counted before, and one more may have been replenished.
        assert!((29..=31).contains(&count(401)), "{wrong:?}");
        assert!(at_once(&right).contains(&429), "a right one among wrong ones is not to be seen");
    })
    .unwrap();
}

#[test]
fn more_attempts_of_an_address_than_may_wait_are_answered_503() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("users");
    fs::write(&file, format!("alice:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    overlapped::run(|| {
        let site = BasicAuth::new(&file, say("x")).unwrap();
        let busy = std::cell::Cell::new(0);
        overlapped::scope(|scope| {
            for guess in 0..200 {
                let (site, busy) = (&site, &busy);
                scope.spawn(move || {
                    let field = [("authorization", &*basic(&format!("alice:{guess}")))];
                    let got = ask_as(site, from("192.0.2.1"), "GET", "/", &field);
                    busy.set(busy.get() + usize::from(got.status == 503));
                });
            }
        });
        assert!(busy.get() >= 100, "{} of 200", busy.get());
    })
    .unwrap();
}

#[test]
fn a_first_right_password_does_not_wait_behind_the_guesses_of_another_address() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("users");
    // A hash that takes a processor tens of milliseconds here.
    fs::write(&file, format!("alice:{}\n", bcrypt::hash("secret", 9).unwrap())).unwrap();
    overlapped::run(|| {
        let site = BasicAuth::new(&file, say("x")).unwrap();
        let try_it = |peer: &str, both: &str| {
            let field = [("authorization", &*basic(both))];
            ask_as(&site, from(peer), "GET", "/", &field).status.as_u16()
        };
        let guessed = std::cell::Cell::new(0);
        overlapped::scope(|scope| {
            for guess in 0..20 {
                let (try_it, guessed) = (&try_it, &guessed);
                scope.spawn(move || {
                    assert_eq!(try_it("192.0.2.1", &format!("alice:{guess}")), 401);
                    guessed.set(guessed.get() + 1);
                });
            }
            overlapped::time::sleep(std::time::Duration::from_millis(1));
            let before = guessed.get();
            assert_eq!(try_it("192.0.2.2", "alice:secret"), 200);
            let waited = guessed.get() - before;
            assert!(waited <= 8, "it has waited for {waited} guesses of another address");
        });
        assert_eq!(guessed.get(), 20);
    })
    .unwrap();
}
