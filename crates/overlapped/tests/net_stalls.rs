//! Waits that must not delay other tasklets (busy neighbours, lingering closes, full peers, slow
//! names), and waits that must end at a shutdown.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use overlapped::net::{Shutdown, TcpListener, TcpStream};
use overlapped::os::fd::raw;
use overlapped::os::unix::net::UnixStream;
use overlapped::task::{shield, unblock};
use overlapped::time::{sleep, timeout};
use overlapped::{Config, run, run_until, spawn, yield_now};
use socket2::SockRef;
use support::{ms, pair, wait_until, wait_until_others_wait};

/// Tests that measure time run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `f` in a scheduler on a thread of its own, and fails if it does not end in time.
fn in_time(limit: Duration, f: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    match wait.recv_timeout(limit) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        // A thread on which a tasklet was parked for good does not end.
        Ok(()) => {}
    }
}

#[test]
fn a_tasklet_that_only_yields_does_not_keep_the_network_from_others() {
    in_time(Duration::from_secs(60), || {
        run(|| {
            let (mut tx, mut rx) = pair();
            let stop = Rc::new(Cell::new(false));
            let spinner = spawn({
                let stop = stop.clone();
                move || {
                    while !stop.get() {
                        yield_now()
                    }
                }
            });
            let echo = spawn(move || {
                let mut buf = [0; 1];
                while rx.read(&mut buf).unwrap() == 1 {
                    sleep(ms(1));
                    rx.write_all(&buf).unwrap();
                }
            });
            support::in_time(ms(1_000), || {
                let begin = Instant::now();
                for _ in 0..20 {
                    tx.write_all(b"x").unwrap();
                    tx.read_exact(&mut [0]).unwrap();
                }
                begin.elapsed()
            });
            drop(tx);
            echo.join().unwrap();
            stop.set(true);
            spinner.join().unwrap();
        })
        .unwrap();
    });
}

#[test]
fn bytes_that_arrive_in_time_are_read_though_the_thread_was_busy() {
    run(|| {
        for _ in 0..10 {
            let (tx, mut rx) = pair();
            rx.set_read_timeout(Some(ms(20))).unwrap();
            let reader = spawn(move || rx.read(&mut [0; 8]).map_err(|error| error.kind()));
            yield_now();
            let writer = std::thread::spawn(move || {
                (&tx).write_all(b"x").unwrap();
                tx
            });
            let _tx = writer.join().unwrap();
            std::thread::sleep(ms(30));
            assert_eq!(reader.join().unwrap(), Ok(1));
        }
    })
    .unwrap();
}

#[test]
fn a_sleeping_scheduler_is_woken_by_other_threads_again_and_again() {
    in_time(Duration::from_secs(10), || {
        run(|| {
            for i in 0..200u64 {
                let nap = Duration::from_micros(i % 7 * 100);
                unblock(move || std::thread::sleep(nap)).unwrap();
            }
        })
        .unwrap();
    });
}

#[test]
fn the_grace_time_ends_though_a_shielded_accept_still_waits() {
    in_time(Duration::from_secs(3), || {
        Config::new()
            .grace(ms(100))
            .run_until(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                spawn(move || shield(|| listener.accept()).map(drop));
                yield_now();
            })
            .unwrap();
    });
}

#[test]
fn closing_a_socket_that_lingers_blocks_no_other_tasklet() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    run(|| {
        let (tx, rx) = pair();
        tx.set_linger(Some(Duration::from_secs(60))).unwrap();
        tx.set_write_timeout(Some(ms(10))).unwrap();
        while (&tx).write(&[0; 1 << 16]).is_ok() {}
        let closer = spawn(move || drop(tx));
        let begin = Instant::now();
        sleep(ms(10));
        assert!(
            begin.elapsed() < support::within(ms(200)),
            "a close held up a neighbour for {:?}",
            begin.elapsed()
        );
        drop(rx);
        closer.join().unwrap();
    })
    .unwrap();
}

/// Counts the writes that happen while its tasklet unwinds.
struct Counting(TcpStream, Rc<Cell<usize>>);

impl Write for Counting {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.1.set(self.1.get() + usize::from(std::thread::panicking()));
        self.0.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn p16_unwinding_against_peers_that_do_not_read_delays_no_other_tasklet() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let torture = std::env::var_os("OVERLAPPED_TORTURE").is_some_and(|value| value == "1");
    let tasklets = if torture { 1_000 } else { 200 };
    let latest = Rc::new(RefCell::new(Duration::ZERO));
    let (flushes, full_ones) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    run_until(|| {
        let mut peers = Vec::new();
        let full: Vec<_> = (0..tasklets)
            .map(|_| {
                let (tx, rx) = pair();
                SockRef::from(&tx).set_send_buffer_size(4096).unwrap();
                SockRef::from(&rx).set_recv_buffer_size(4096).unwrap();
                peers.push(rx);
                let (flushes, full_ones) = (flushes.clone(), full_ones.clone());
                spawn(move || {
                    tx.set_write_timeout(Some(ms(5))).unwrap();
                    while (&tx).write(&[0; 1 << 16]).is_ok() {}
                    tx.set_write_timeout(None).unwrap();
                    let mut out = BufWriter::with_capacity(32 * 1024, Counting(tx, flushes));
                    out.write_all(&[1; 10_000]).unwrap();
                    full_ones.set(full_ones.get() + 1);
                    sleep(Duration::from_secs(3_600));
                })
            })
            .collect();
        spawn({
            let latest = latest.clone();
            move || loop {
                let begin = Instant::now();
                sleep(Duration::from_millis(5));
                let late = begin.elapsed() - Duration::from_millis(5);
                latest.replace_with(|latest| late.max(*latest));
            }
        });
        wait_until("all are full", || full_ones.get() >= tasklets);
        latest.replace(Duration::ZERO);
        let begin = Instant::now();
        full.iter().for_each(|tasklet| tasklet.kill());
        wait_until("all have ended", || full.iter().all(|tasklet| tasklet.is_finished()));
        assert!(begin.elapsed() < support::within(ms(500)), "a tasklet waits while unwinding");
        drop(peers);
    })
    .unwrap();
    assert!(flushes.get() >= tasklets, "{} writes while unwinding: too few", flushes.get());
    let latest = *latest.borrow();
    assert!(latest < support::within(ms(50)), "a neighbour's timer was {latest:?} late");
    println!("RELIABILITY P16 {tasklets} worst lateness {} us", latest.as_micros());
}

#[test]
fn looking_up_a_name_blocks_the_caller_only() {
    run(|| {
        let ticks = Rc::new(Cell::new(0));
        let ticker = spawn({
            let ticks = ticks.clone();
            move || loop {
                sleep(ms(1));
                ticks.set(ticks.get() + 1);
            }
        });
        for _ in 0..20 {
            let listener = TcpListener::bind("localhost:0").unwrap();
            TcpStream::connect(("localhost", listener.local_addr().unwrap().port())).unwrap();
        }
        let begin = Instant::now();
        assert!(TcpStream::connect("no-such-host.invalid:80").is_err());
        let took = begin.elapsed().as_millis() as usize;
        assert!(ticks.get() + 5 >= took / 4, "{} ticks in {took} ms", ticks.get());
        let late = timeout(Duration::ZERO, || TcpStream::connect("localhost:80"));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let looking = spawn(|| TcpStream::connect("no-such-host.invalid:80").map(drop));
        yield_now();
        looking.kill();
        assert!(looking.join().is_err());
        ticker.kill();
    })
    .unwrap();
}

#[test]
fn a_descriptor_that_two_schedulers_wait_for_wakes_both() {
    let (tx, rx) = std::thread::spawn(|| run(pair).unwrap()).join().unwrap();
    let rx = std::sync::Arc::new(rx);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let rx = rx.clone();
            std::thread::spawn(move || {
                run(|| {
                    overlapped::net::wait_readable(&*rx).unwrap();
                    let mut seen = 0;
                    while let n @ 1.. = (&*rx).read(&mut [0; 7]).unwrap() {
                        seen += n;
                    }
                    seen
                })
                .unwrap()
            })
        })
        .collect();
    for _ in 0..100 {
        (&tx).write_all(&[1; 100]).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    drop(tx);
    let seen: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(seen, 10_000, "each byte to one of them");
}

/// Calls `shut` while `write`, in another tasklet, waits for room. Returns the error of the write.
fn write_across(
    write: impl FnOnce() -> std::io::Result<usize> + 'static,
    shut: impl FnOnce(),
) -> Option<ErrorKind> {
    let writer = spawn(write);
    wait_until_others_wait();
    assert!(!writer.is_finished(), "the write waits for room");
    shut();
    writer.join().unwrap().err().map(|error| error.kind())
}

/// Writes until there is no room.
fn fill(mut tx: &UnixStream) {
    tx.set_nonblocking(true).unwrap();
    while tx.write(&[0; 64 << 10]).is_ok() {}
    tx.set_nonblocking(false).unwrap();
}

#[test]
fn a_waiting_write_ends_when_its_unix_socket_is_shut_down() {
    in_time(Duration::from_secs(20), || {
        run(|| {
            for shut_by_peer in [false, true] {
                for vectored in [false, true] {
                    let (tx, rx) = UnixStream::pair().unwrap();
                    fill(&tx);
                    let mut ours = tx.try_clone().unwrap();
                    let write = move || match vectored {
                        false => ours.write(&[0; 8]),
                        true => ours.write_vectored(&[std::io::IoSlice::new(&[0; 8])]),
                    };
                    let ended = write_across(write, || match shut_by_peer {
                        false => tx.shutdown(Shutdown::Write).unwrap(),
                        true => rx.shutdown(Shutdown::Read).unwrap(),
                    });
                    assert_eq!(ended, Some(ErrorKind::BrokenPipe), "{shut_by_peer} {vectored}");
                }
            }
        })
        .unwrap();
    });
}

#[test]
fn a_waiting_transfer_ends_when_the_unix_socket_that_it_fills_is_shut_down() {
    in_time(Duration::from_secs(20), || {
        run(|| {
            let (tx, rx) = UnixStream::pair().unwrap();
            fill(&tx);
            let (from, mut feed) = overlapped::io::pipe().unwrap();
            feed.write_all(b"spliced").unwrap();
            let transfer = move || Ok(overlapped::io::transfer(&from, &tx)? as usize);
            let ended = write_across(transfer, || rx.shutdown(Shutdown::Read).unwrap());
            assert_eq!(ended, Some(ErrorKind::BrokenPipe));
        })
        .unwrap();
    });
}

#[test]
fn a_copy_to_a_full_unix_socket_ends_at_the_sockets_own_limit() {
    in_time(Duration::from_secs(20), || {
        run(|| {
            let (mut feed, mut from) = UnixStream::pair().unwrap();
            let (mut to, _rx) = UnixStream::pair().unwrap();
            to.set_write_timeout(Some(ms(250))).unwrap();
            let feeds = spawn(move || while feed.write(&[7; 64 << 10]).is_ok() {});
            let copied = timeout(ms(5_000), || overlapped::io::copy(&mut from, &mut to));
            assert_eq!(copied.unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(from);
            feeds.join().unwrap();
        })
        .unwrap();
    });
}

#[test]
fn a_waiting_raw_send_ends_when_its_unix_socket_is_shut_down() {
    in_time(Duration::from_secs(20), || {
        run(|| {
            let (tx, rx) = UnixStream::pair().unwrap();
            fill(&tx);
            let send = move || {
                // SAFETY: the buffer is a constant.
                unsafe { raw::send(tx.as_fd(), b"bytes".as_ptr(), 5, 0, None) }
            };
            let ended = write_across(send, || rx.shutdown(Shutdown::Read).unwrap());
            assert_eq!(ended, Some(ErrorKind::BrokenPipe));
        })
        .unwrap();
    });
}

#[test]
fn outside_a_scheduler_a_waiting_write_ends_when_its_socket_is_shut_down() {
    in_time(Duration::from_secs(20), || {
        let (tx, rx) = UnixStream::pair().unwrap();
        fill(&tx);
        let write = move || (&tx).write(&[0; 8]).map_err(|error| error.kind());
        let writer = support::spawn_blocked(write);
        rx.shutdown(Shutdown::Read).unwrap();
        assert_eq!(writer.join().unwrap(), Err(ErrorKind::BrokenPipe));
    });
}

#[test]
fn a_waiting_write_ends_when_its_tcp_socket_is_shut_down() {
    in_time(Duration::from_secs(20), || {
        run(|| {
            let (tx, _rx) = pair();
            tx.set_nonblocking(true).unwrap();
            while (&tx).write(&[0; 64 << 10]).is_ok() {}
            tx.set_nonblocking(false).unwrap();
            let mut ours = tx.try_clone().unwrap();
            let shut = || tx.shutdown(Shutdown::Write).unwrap();
            let ended = write_across(move || ours.write(&[0; 8]), shut);
            assert_eq!(ended, Some(ErrorKind::BrokenPipe));
        })
        .unwrap();
    });
}

/// The library tries a waiting write to a Unix socket again every 100 ms (`descriptor/readiness`).
#[test]
fn rechecks_neither_end_a_waiting_write_nor_shorten_its_limit() {
    run(|| {
        let (tx, mut rx) = UnixStream::pair().unwrap();
        fill(&tx);
        let mut ours = tx.try_clone().unwrap();
        let writer = spawn(move || ours.write(&[7; 8]).map_err(|error| error.kind()));
        sleep(ms(350));
        assert!(!writer.is_finished());
        let _all = rx.read(&mut vec![0; 1 << 20]).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(8));
        fill(&tx);
        tx.set_write_timeout(Some(ms(250))).unwrap();
        let begin = Instant::now();
        assert_eq!((&tx).write(&[7; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(begin.elapsed() >= ms(250));
    })
    .unwrap();
}
