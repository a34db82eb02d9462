//! An agent over tasklets, against servers on this machine.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Write};
use std::rc::Rc;
use std::time::Duration;

use overlapped::net::{SocketAddr, TcpListener, TcpStream};
use overlapped::sync::Barrier;
use overlapped::time::timeout;
use overlapped::{JoinError, run_until, scope, spawn, yield_now};
use overlapped_ureq::agent;
use ureq::config::Config;
use ureq::{Error, Proxy};

const FOR_EVER: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config::builder().proxy(None).timeout_global(Some(FOR_EVER)).build()
}

/// Answers each request with the text that `respond` returns for its path, over kept connections,
/// and counts the connections.
fn serve(respond: impl Fn(&str) -> String + 'static) -> io::Result<(SocketAddr, Rc<Cell<usize>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (addr, connections) = (listener.local_addr()?, Rc::new(Cell::new(0)));
    let (count, respond) = (connections.clone(), Rc::new(respond));
    spawn(move || {
        for stream in listener.incoming() {
            let respond = respond.clone();
            count.set(count.get() + 1);
            spawn(move || answer(stream?, &*respond));
        }
    });
    Ok((addr, connections))
}

fn answer(stream: TcpStream, respond: &dyn Fn(&str) -> String) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        // The rest of the head, up to its empty line.
        while stream.read_line(&mut String::new())? > 2 {}
        let body = respond(request.split(' ').nth(1).unwrap_or("?"));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes())?;
    }
}

#[test]
fn requests_of_many_tasklets_are_under_way_at_once() {
    const COUNT: usize = 50;
    run_until(|| {
        // No request is answered before all have arrived.
        let all = Barrier::new(COUNT);
        let (addr, _) = serve(move |path| {
            all.wait();
            path.to_owned()
        })?;
        let agent = agent(config());
        scope(|s| {
            for n in 0..COUNT {
                let agent = &agent;
                s.spawn(move || {
                    let url = format!("http://localhost:{}/{n}", addr.port());
                    let text = agent.get(url).call().unwrap().body_mut().read_to_string();
                    assert_eq!(text.unwrap(), format!("/{n}"));
                });
            }
        });
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn tasklets_share_idle_connections() {
    run_until(|| {
        let (addr, connections) = serve(|path| path.to_owned())?;
        let agent = agent(config());
        for n in 0..20 {
            let agent = agent.clone();
            let text = spawn(move || {
                let mut response = agent.get(format!("http://{addr}/{n}")).call()?;
                response.body_mut().read_to_string()
            });
            assert_eq!(text.join().unwrap().unwrap(), format!("/{n}"));
        }
        assert_eq!(connections.get(), 1);
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn time_limits_deadlines_and_kills_end_a_request() {
    run_until(|| {
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", silent.local_addr()?);
        let limit = Some(Duration::from_millis(10));
        let hasty = agent(Config::builder().proxy(None).timeout_recv_response(limit).build());
        let ended = hasty.get(&url).call();
        assert!(matches!(ended, Err(Error::Timeout(_))), "{ended:?}");
        let patient = agent(config());
        let ended = timeout(Duration::from_millis(10), || patient.get(&url).call());
        assert!(matches!(ended, Err(Error::Timeout(_))), "{ended:?}");
        let victim = spawn(move || patient.get(&url).call().is_ok());
        (0..10).for_each(|_| yield_now());
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_socks_proxy_is_refused_and_not_gone_past() {
    run_until(|| {
        let (addr, connections) = serve(|path| path.to_owned())?;
        let proxy = Proxy::new("socks5://127.0.0.1:1").unwrap();
        let agent = agent(Config::builder().proxy(Some(proxy)).build());
        let refused = agent.get(format!("http://{addr}/")).call();
        assert!(matches!(refused, Err(Error::ConnectProxyFailed(_))), "{refused:?}");
        assert_eq!(connections.get(), 0);
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}
