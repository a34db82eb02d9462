//! Options that std does not have: before the bind, keepalive, buffer sizes.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use overlapped::net::{BindOptions, Keepalive, TcpListener, TcpStream, UdpSocket};
use overlapped::os::unix::net::{UnixDatagram, UnixStream};
use overlapped::run;
use overlapped::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

fn localhost(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), addr.port())
}

#[test]
fn only_v6_decides_whether_a_listener_hears_v4() {
    run(|| {
        for only_v6 in [false, true] {
            let options = BindOptions::new().only_v6(only_v6);
            let listener = TcpListener::bind_with("[::]:0", &options).unwrap();
            #[allow(deprecated)]
            let said = listener.only_v6().unwrap();
            assert_eq!(said, only_v6);
            let addr = localhost(listener.local_addr().unwrap());
            assert_eq!(TcpStream::connect(addr).is_err(), only_v6);
            let socket = UdpSocket::bind_with("[::]:0", &options).unwrap();
            let addr = localhost(socket.local_addr().unwrap());
            // The same port is free in the other family.
            assert_eq!(UdpSocket::bind(addr).is_ok(), only_v6);
        }
        // The option has no effect on the other family.
        TcpListener::bind_with("127.0.0.1:0", &BindOptions::new().only_v6(true)).unwrap();
    })
    .unwrap();
}

#[test]
fn sockets_that_all_set_reuse_port_share_a_port() {
    run(|| {
        let options = BindOptions::new().reuse_port(true);
        let first = TcpListener::bind_with("127.0.0.1:0", &options).unwrap();
        let addr = first.local_addr().unwrap();
        assert_eq!(TcpListener::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        let second = TcpListener::bind_with(addr, &options).unwrap();
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let accepted = [first, second].map(|listener| {
            let mut accepted = 0;
            while timeout(Duration::from_millis(20), || listener.accept()).is_ok() {
                accepted += 1;
            }
            accepted
        });
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
        let first = UdpSocket::bind_with("127.0.0.1:0", &options).unwrap();
        let addr = first.local_addr().unwrap();
        assert_eq!(UdpSocket::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        UdpSocket::bind_with(addr, &options).unwrap();
    })
    .unwrap();
}

#[test]
fn the_backlog_bounds_the_connections_that_wait_to_be_accepted() {
    run(|| {
        let fits = |options: &BindOptions| {
            let listener = TcpListener::bind_with("127.0.0.1:0", options).unwrap();
            let addr = listener.local_addr().unwrap();
            let connect =
                |_: &usize| TcpStream::connect_timeout(&addr, Duration::from_millis(50)).ok();
            let clients: Vec<_> = (0..20).map_while(|i| connect(&i)).collect();
            clients.len()
        };
        assert_eq!(fits(&BindOptions::new().backlog(3)), 4, "Linux lets one more in");
        assert_eq!(fits(&BindOptions::new()), 20);
        assert_eq!(fits(&BindOptions::new().backlog(u32::MAX)), 20);
    })
    .unwrap();
}

#[test]
fn buffers_get_the_size_that_was_asked_for() {
    run(|| {
        let options = BindOptions::new().recv_buffer_size(20_000).send_buffer_size(30_000);
        let listener = TcpListener::bind_with("127.0.0.1:0", &options).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(server.recv_buffer_size().unwrap(), 40_000, "Linux doubles it");
        assert_eq!(server.send_buffer_size().unwrap(), 60_000);
        client.set_recv_buffer_size(50_000).unwrap();
        client.set_send_buffer_size(60_000).unwrap();
        assert_eq!(client.recv_buffer_size().unwrap(), 100_000);
        assert_eq!(client.send_buffer_size().unwrap(), 120_000);
        let socket = UdpSocket::bind_with("127.0.0.1:0", &options).unwrap();
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
        // A size beyond all limits is set to the limit, and not to its low bits.
        let before = socket.recv_buffer_size().unwrap();
        socket.set_recv_buffer_size(usize::MAX - 5_000).unwrap();
        assert!(socket.recv_buffer_size().unwrap() > before);
        let (stream, _other) = UnixStream::pair().unwrap();
        stream.set_send_buffer_size(20_000).unwrap();
        assert_eq!(stream.send_buffer_size().unwrap(), 40_000);
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        datagram.set_send_buffer_size(20_000).unwrap();
        assert_eq!(datagram.send_buffer_size().unwrap(), 40_000);
    })
    .unwrap();
}

#[test]
fn keepalive_is_set_read_and_switched_off() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(stream.keepalive().unwrap(), None);
        let asked = Keepalive { idle: 60 * SECOND, interval: 7 * SECOND, probes: 3 };
        stream.set_keepalive(Some(asked)).unwrap();
        assert_eq!(stream.keepalive().unwrap(), Some(asked));
        let half = Keepalive { idle: SECOND / 2, interval: 3 * SECOND / 2, probes: 1 };
        stream.set_keepalive(Some(half)).unwrap();
        let rounded = Keepalive { idle: SECOND, interval: 2 * SECOND, probes: 1 };
        assert_eq!(stream.keepalive().unwrap(), Some(rounded));
        for bad in [
            Keepalive { idle: Duration::ZERO, ..asked },
            Keepalive { interval: Duration::MAX, ..asked },
            Keepalive { probes: 0, ..asked },
            Keepalive { probes: 128, ..asked },
        ] {
            let error = stream.set_keepalive(Some(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
        stream.set_keepalive(None).unwrap();
        assert_eq!(stream.keepalive().unwrap(), None);
    })
    .unwrap();
}
