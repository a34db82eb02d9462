//! Dangers that concern sockets, in one process: P1, P2, P3, P4, P10, P11.
//!
//! Each test prints `RELIABILITY <id> <checks> <figure>` on success. With `OVERLAPPED_TORTURE=1`
//! the tests run as many rounds as the table of dangers asks for.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::fs::File;
use overlapped::net::{TcpListener, TcpStream, wait_readable};
use overlapped::os::unix::net::UnixStream;
use overlapped::task::unblock;
use overlapped::time::{sleep, timeout};
use overlapped::{Channel, JoinError, run, run_until, spawn, yield_now};
use socket2::SockRef;
use support::{Rng, in_order, open_descriptors, pair, report, rounds};

#[test]
fn p1_a_cancel_that_races_with_a_success_neither_loses_nor_duplicates_a_byte() {
    let _alone = in_order();
    let (rounds, least) = (rounds(6_000, 100_000), rounds(20, 1_000));
    let mut total = 0;
    // Killed without bytes, killed but given bytes first, given bytes before the kill, late, in
    // time.
    let [nothing, both, bytes_only, late, in_time] = run(|| {
        let (tx, rx) = pair();
        // The peer is another thread, so that bytes come at any moment.
        let (go, told) = std::sync::mpsc::channel::<(u64, u8)>();
        let mut peer = std::net::TcpStream::from(tx);
        peer.set_nodelay(true).unwrap();
        let writer = std::thread::spawn(move || {
            for (spin, byte) in told {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_nanos(spin) {
                    std::hint::spin_loop();
                }
                peer.write_all(&[byte]).unwrap();
            }
        });
        let rx = Rc::new(rx);
        let mut random = Rng(7);
        let mut counts = [0usize; 5];
        // The frequency of the outcomes depends on the machine: the loop goes on until the rarest
        // one was seen often enough.
        for round in 0..rounds * 8 {
            if round >= rounds && counts.iter().all(|&count| count >= least) {
                break;
            }
            total += 1;
            let byte = round as u8;
            let got = Rc::new(Cell::new(None));
            let window = 40_000 * (1 + round as u64 % 4);
            go.send((random.below(window as usize) as u64, byte)).unwrap();
            if round % 2 == 0 {
                // The first killer stores whether the reader had its bytes by then.
                let victim = Rc::new(RefCell::new(None::<overlapped::Tasklet<()>>));
                let before = Rc::new(Cell::new(None));
                let strike = {
                    let (victim, before, got) = (victim.clone(), before.clone(), got.clone());
                    move || {
                        if let (Some(reader), None) = (&*victim.borrow(), before.get()) {
                            before.set(Some(got.get().is_some()));
                            reader.kill();
                        }
                    }
                };
                // One killer is before the reader in the queue for the bytes, and another one
                // behind it. In either order of wakes, one of them often finds the reader with its
                // bytes, but not yet running.
                let early = (round % 4 == 0).then(|| {
                    let (rx, strike) = (rx.clone(), strike.clone());
                    spawn(move || {
                        let _ = timeout(Duration::from_millis(1), || wait_readable(&*rx));
                        strike();
                    })
                });
                let reader = spawn({
                    let (rx, got) = (rx.clone(), got.clone());
                    move || {
                        let mut buf = [!byte; 4];
                        let n = (&*rx).read(&mut buf).unwrap();
                        assert_eq!((n, buf[0]), (1, byte));
                        got.set(Some(buf[0]));
                        yield_now();
                    }
                });
                *victim.borrow_mut() = Some(reader);
                let begin = Instant::now();
                // Sometimes the kill comes long after the bytes, also if each call takes long
                // (under strace).
                let patience = if round % 16 == 2 { 8 * window } else { window };
                let until = Duration::from_nanos(random.below(patience as usize) as u64);
                if round % 4 == 0 {
                    if round % 8 == 0 {
                        yield_now();
                    }
                    let _ = timeout(Duration::from_millis(1), || wait_readable(&*rx));
                }
                while round % 4 != 0 && begin.elapsed() < until {
                    yield_now();
                }
                strike();
                if let Some(early) = early {
                    early.kill();
                    let _ = early.join();
                }
                let reader = victim.take().unwrap();
                let before = before.get() == Some(true);
                let killed = matches!(reader.join(), Err(JoinError::Killed));
                match (got.get(), before) {
                    (None, _) => counts[0] += usize::from(killed),
                    (Some(_), false) => counts[1] += 1,
                    (Some(_), true) => counts[2] += 1,
                }
            } else {
                let patience = if round % 16 == 1 { 8 * window } else { window };
                let limit = Duration::from_nanos(random.below(patience as usize) as u64);
                let mut buf = [!byte; 4];
                match timeout(limit, || (&*rx).read(&mut buf)) {
                    Ok(n) => {
                        assert_eq!((n, buf[0]), (1, byte));
                        got.set(Some(byte));
                        counts[4] += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
                        assert_eq!(buf, [!byte; 4], "late, and yet the buffer was written");
                        counts[3] += 1;
                    }
                }
            }
            if got.get().is_none() {
                let mut buf = [0; 4];
                let n = timeout(Duration::from_secs(5), || (&*rx).read(&mut buf)).unwrap();
                assert_eq!(
                    (n, buf[0]),
                    (1, byte),
                    "round {round}: bytes that were not seen are still there"
                );
            }
        }
        drop(go);
        writer.join().unwrap();
        assert_eq!((&*rx).read(&mut [0; 4]).unwrap(), 0, "not one byte more");
        counts
    })
    .unwrap();
    let figure = format!(
        "killed empty-handed {nothing}, killed with bytes {both}, bytes first {bytes_only}, \
         late {late}, \
         in time {in_time}; lost 0, doubled 0"
    );
    for count in [nothing, both, bytes_only, late, in_time] {
        assert!(count >= least, "not tested: an outcome is too rare: {figure}");
    }
    report("P1", total, &figure);
}

#[test]
fn p2_no_byte_of_a_recycled_stack_changes_after_a_kill_in_recv() {
    let _alone = in_order();
    const TASKLETS: usize = 200;
    let rounds = rounds(10, 40);
    let mut checks = 0usize;
    run(|| {
        let pairs: Vec<_> = (0..TASKLETS).map(|_| pair()).collect();
        let (txs, rxs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let rxs: Vec<_> = rxs.into_iter().map(Rc::new).collect();
        let txs: Vec<_> = txs.into_iter().map(std::net::TcpStream::from).collect();
        for round in 0..rounds {
            let writers: Vec<_> = txs.iter().map(|tx| tx.try_clone().unwrap()).collect();
            let peers = std::thread::spawn(move || {
                for mut tx in writers {
                    tx.write_all(&[0xEE; 16 * 1024]).unwrap();
                }
            });
            let blocked: Vec<_> = rxs
                .iter()
                .map(|rx| {
                    let rx = rx.clone();
                    spawn(move || {
                        let mut buf = [0u8; 16 * 1024];
                        let _ = (&*rx).read(&mut buf).unwrap();
                        std::hint::black_box(&mut buf);
                        sleep(Duration::from_secs(60));
                    })
                })
                .collect();
            for _ in 0..round % 7 {
                yield_now();
            }
            blocked.iter().for_each(|tasklet| tasklet.kill());
            blocked.into_iter().for_each(|tasklet| assert!(tasklet.join().is_err()));
            // Fills the same stacks again, while the peers go on writing.
            let filled: Vec<_> = (0..TASKLETS)
                .map(|_| {
                    spawn(|| {
                        let mut pattern = [0x5A_u8; 20 * 1024];
                        std::hint::black_box(&mut pattern);
                        sleep(Duration::from_millis(3));
                        std::hint::black_box(&mut pattern).iter().filter(|&&b| b != 0x5A).count()
                    })
                })
                .collect();
            for tasklet in filled {
                assert_eq!(tasklet.join().unwrap(), 0, "bytes changed in a recycled stack");
                checks += 1;
            }
            let mut sink = vec![0; 1 << 16];
            unblock(move || peers.join().unwrap()).unwrap();
            for rx in &rxs {
                while timeout(Duration::from_micros(1), || (&**rx).read(&mut sink)).is_ok() {}
            }
        }
    })
    .unwrap();
    report("P2", checks, "0 bytes changed in recycled stacks");
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn p3_leaving_with_a_thousand_operations_in_flight_takes_less_than_a_second_and_leaks_no_fd() {
    let _alone = in_order();
    let rounds = rounds(9, 300);
    let leave = |round: usize| {
        let begin = Rc::new(Cell::new(None));
        let main = || {
            let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let (full, _peer) = pair();
            let (full, channel) = (Rc::new(full), Channel::<u8>::new());
            let file = Rc::new(File::from(tempfile::tempfile().unwrap()));
            let tasklets: Vec<_> = (0..1_000)
                .map(|i| {
                    let (listener, full, channel) =
                        (listener.clone(), full.clone(), channel.clone());
                    let file = file.clone();
                    spawn(move || match i % 8 {
                        0 => drop(listener.accept()),
                        1 => drop((&*full).read(&mut [0; 512])),
                        2 => sleep(Duration::from_secs(3_600)),
                        3 => drop(channel.recv()),
                        4 => drop(wait_readable(&*full)),
                        // These two repeat, because no disk operation waits for ever.
                        5 => while (&*file).write(&[1; 4096]).is_ok() {},
                        6 => while file.read_at(&mut [0; 4096], 0).is_ok() {},
                        _ => drop((&*full).write_all(&[0; 1 << 16])),
                    })
                })
                .collect();
            sleep(Duration::from_millis(5));
            begin.set(Some(Instant::now()));
            match round % 3 {
                0 => {}
                1 => tasklets.iter().for_each(|tasklet| tasklet.kill()),
                _ => std::panic::resume_unwind(Box::new("leaving")),
            }
        };
        let left = catch_unwind(AssertUnwindSafe(|| match round % 3 {
            0 => run_until(main).unwrap(),
            _ => run(main).unwrap(),
        }));
        assert_eq!(left.is_err(), round % 3 == 2);
        begin.get().unwrap().elapsed()
    };
    for round in 0..3 {
        leave(round);
    }
    let before = (open_descriptors(), mappings());
    let slowest = (0..rounds).map(leave).max().unwrap();
    assert!(slowest < support::within(Duration::from_secs(1)), "leaving took {slowest:?}");
    assert_eq!(open_descriptors(), before.0, "descriptors are left");
    // The allocator may map an arena or two, once.
    assert!(mappings() <= before.1 + 4, "mappings: {} before, {} after", before.1, mappings());
    report("P3", rounds * 1_000, &format!("slowest leave {} ms", slowest.as_millis()));
}

/// A connection all of whose bytes carry its number.
trait Connection: Sized + AsRawFd + 'static {
    fn pair() -> (Self, Self);
    fn receive(&self, buf: &mut [u8]) -> std::io::Result<usize>;
    fn send(&self, buf: &[u8]) -> std::io::Result<usize>;
}

macro_rules! connection {
    ($stream:ty, $pair:expr) => {
        impl Connection for $stream {
            fn pair() -> (Self, Self) {
                $pair
            }

            fn receive(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }
        }
    };
}

connection!(TcpStream, pair());
connection!(UnixStream, UnixStream::pair().unwrap());

/// Sends the bytes of connection `tag`, in pieces of odd sizes, until a send fails.
fn send_tagged<S: Connection>(stream: &S, tag: u64, size: usize) {
    let bytes = tag.to_le_bytes().repeat(size / 8 + 2);
    let mut sent = 0;
    while let Ok(n) = stream.send(&bytes[sent % 8..][..size]) {
        sent += n;
        yield_now();
    }
}

/// Receives until the end. Returns the number of bytes, which all carry `tag`, or panics.
fn receive_tagged<S: Connection>(stream: &S, tag: u64, count: &Cell<usize>) {
    const SIZE: usize = 3_000;
    let expected = tag.to_le_bytes().repeat(SIZE / 8 + 2);
    let mut at = 0;
    let mut buf = [0; SIZE];
    while let Ok(n @ 1..) = stream.receive(&mut buf) {
        let is_ours = buf[..n] == expected[at % 8..][..n];
        assert!(is_ours, "a foreign byte in connection {tag}: {:?}", &buf[..n]);
        at += n;
        count.set(count.get() + n);
    }
}

/// One connection: both of its ends have reads and writes pending when one end is killed, which
/// closes it. Returns the number of the killed end.
fn connect_and_kill<S: Connection>(tag: u64, random: &mut Rng, bytes: &Rc<Cell<usize>>) -> i32 {
    let (ours, theirs) = S::pair();
    let number = ours.as_raw_fd();
    // Small pieces may be received, large ones fill the connection up and wait.
    let sizes = [1 + random.below(100), 30_000];
    let which = random.below(2);
    let ends = [(ours, sizes[which]), (theirs, sizes[1 - which])].map(|(stream, size)| {
        let (stream, bytes) = (Rc::new(stream), bytes.clone());
        let reader = stream.clone();
        [
            spawn(move || receive_tagged(&*reader, tag, &bytes)),
            spawn(move || send_tagged(&*stream, tag, size)),
        ]
    });
    for _ in 0..random.below(12) {
        yield_now();
    }
    let [killed, other] = ends;
    killed.iter().for_each(|tasklet| tasklet.kill());
    let joined = killed.into_iter().map(|tasklet| tasklet.join()).collect::<Vec<_>>();
    for result in joined.into_iter().chain(other.map(|tasklet| tasklet.join())) {
        assert!(matches!(result, Ok(()) | Err(JoinError::Killed)), "{result:?}");
    }
    number
}

#[test]
fn p4_a_reused_descriptor_number_brings_no_foreign_byte() {
    let _alone = in_order();
    const SLOTS: usize = 8;
    let rounds = rounds(1_600, 100_000) / SLOTS;
    let (bytes, again) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    run(|| {
        let numbers = Rc::new(RefCell::new(HashSet::new()));
        let slots: Vec<_> = (0..SLOTS)
            .map(|slot| {
                let (bytes, again, numbers) = (bytes.clone(), again.clone(), numbers.clone());
                spawn(move || {
                    let mut random = Rng(slot as u64);
                    for round in 0..rounds {
                        let tag = (1 + round * SLOTS + slot) as u64;
                        let number = match random.below(4) {
                            0 => connect_and_kill::<TcpStream>(tag, &mut random, &bytes),
                            _ => connect_and_kill::<UnixStream>(tag, &mut random, &bytes),
                        };
                        let is_new = numbers.borrow_mut().insert(number);
                        again.set(again.get() + usize::from(!is_new));
                    }
                })
            })
            .collect();
        slots.into_iter().for_each(|slot| slot.join().unwrap());
    })
    .unwrap();
    let (bytes, again) = (bytes.get(), again.get());
    assert!(again * 10 >= rounds * SLOTS * 9, "not tested: only {again} numbers were used again");
    assert!(bytes > rounds * SLOTS * 100, "not tested: only {bytes} bytes were received");
    report("P4", again, &format!("{} MiB received, 0 foreign bytes", bytes >> 20));
}

#[test]
fn p10_partial_writes_lose_no_byte() {
    let _alone = in_order();
    let rounds = rounds(24, 200);
    let shorts = run(|| {
        let mut random = Rng(3);
        for round in 0..rounds {
            let (tx, rx) = pair();
            SockRef::from(&tx).set_send_buffer_size(4096).unwrap();
            tx.set_nodelay(true).unwrap();
            let bytes: Vec<u8> = (0..1 << 20).map(|_| random.below(256) as u8).collect();
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes);
            let expected = hasher.finish();
            let vectored = round % 3 == 2;
            let writer = spawn(move || {
                let mut calls = 0;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (a, b) = rest.split_at(rest.len() / 2);
                    let slices = [std::io::IoSlice::new(a), std::io::IoSlice::new(b)];
                    let n =
                        if vectored { (&tx).write_vectored(&slices) } else { (&tx).write(rest) };
                    rest = &rest[n.unwrap()..];
                    calls += 1;
                }
                calls
            });
            let size = [1, 3, 100, 1_000, 4_096, 65_536][round % 6];
            let (mut hasher, mut seen) = (DefaultHasher::new(), Vec::with_capacity(1 << 20));
            let mut buf = vec![0; size];
            while let n @ 1.. = (&rx).read(&mut buf).unwrap() {
                seen.extend_from_slice(&buf[..n]);
                // A reader of single bytes would take minutes, so it reads only the first 10,000
                // bytes.
                if seen.len() > 10_000 && size < 1_000 {
                    buf.resize(30_000, 0);
                }
            }
            hasher.write(&seen);
            assert_eq!((seen.len(), hasher.finish()), (1 << 20, expected), "round {round}");
            assert!(writer.join().unwrap() > 1, "not tested: one write took all");
        }
        rounds
    })
    .unwrap();
    report("P10", shorts, "1 MiB each through 4 KiB send buffers, hashes equal");
}

extern "C" fn on_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

static SIGNALS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[test]
fn p11_signals_are_invisible() {
    let _alone = in_order();
    // SAFETY: a zeroed sigaction is valid; the handler touches an atomic only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    // SAFETY: no preconditions.
    let me = unsafe { libc::pthread_self() };
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let kicker = std::thread::spawn({
        let stop = stop.clone();
        move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // SAFETY: the thread that made this one joins it before it ends.
                unsafe { libc::pthread_kill(me, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let length = Duration::from_secs(rounds(1, 10) as u64);
    let mut echoes = 0;
    run_until(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                spawn(move || {
                    let mut buf = [0; 64];
                    while let n @ 1.. = stream.read(&mut buf).unwrap() {
                        sleep(Duration::from_micros(300));
                        stream.write_all(&buf[..n]).unwrap();
                    }
                });
            }
        });
        let begin = Instant::now();
        while begin.elapsed() < length {
            let mut stream = TcpStream::connect(addr).unwrap();
            for i in 0..50u32 {
                stream.write_all(&i.to_le_bytes()).unwrap();
                let mut buf = [0; 4];
                stream.read_exact(&mut buf).unwrap();
                assert_eq!(buf, i.to_le_bytes());
                echoes += 1;
            }
            let idle = timeout(Duration::from_millis(4), || stream.read(&mut [0; 4]));
            assert_eq!(idle.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        }
    })
    .unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    kicker.join().unwrap();
    let signals = SIGNALS.load(std::sync::atomic::Ordering::Relaxed);
    assert!(signals > 100, "not tested: {signals} signals");
    report("P11", echoes, &format!("{signals} signals, none visible"));
}
