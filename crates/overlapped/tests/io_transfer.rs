//! Transfers between descriptors: every pair, every size, errors and ends.

mod moving;
mod support;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use moving::{SINKS, SOURCES, every_pair, file_of, pattern, sink, source};
use overlapped::io::{Side, pipe, transfer, transfer_up_to};
use overlapped::time::{sleep, timeout};
use overlapped::{run, spawn};
use support::{asked, child, in_time, pair, rounds, said, within};

#[test]
fn every_byte_arrives_in_order_between_any_two_descriptors() {
    let sizes = [0, 1, 4_095, 65_536, 65_537, 3_000_000];
    let whole = pattern(*sizes.last().unwrap());
    let test = || {
        every_pair(|from, to| {
            for size in sizes {
                let (out, result) = sink(to);
                let moved = transfer(source(from, &whole[..size]), &out).unwrap();
                assert_eq!(moved, size as u64, "{from} to {to}");
                drop(out);
                assert!(result() == whole[..size], "{from} to {to}: {size} bytes differ");
            }
        });
    };
    test();
    run(test).unwrap();
}

#[test]
fn a_transfer_up_to_a_limit_leaves_the_rest() {
    let whole = pattern(300_000);
    run(|| {
        every_pair(|from, to| {
            let input = source(from, &whole);
            let (out, result) = sink(to);
            for part in [0, 1, 70_000, 129_999] {
                let moved = transfer_up_to(&input, &out, part);
                assert_eq!(moved.unwrap(), part, "{from} to {to}");
            }
            let rest = transfer_up_to(&input, &out, u64::MAX).unwrap();
            assert_eq!(rest, 100_000, "{from} to {to}");
            drop(out);
            assert!(result() == whole, "{from} to {to}");
        });
    })
    .unwrap();
}

#[test]
fn files_go_on_at_their_cursors() {
    run(|| {
        let mut from = file_of(&pattern(1_000_000));
        let mut to = file_of(b"head");
        from.seek(SeekFrom::Start(400_000)).unwrap();
        to.seek(SeekFrom::End(0)).unwrap();
        assert_eq!(transfer_up_to(&from, &to, 500_000).unwrap(), 500_000);
        assert_eq!(from.stream_position().unwrap(), 900_000);
        assert_eq!(to.stream_position().unwrap(), 500_004);
        to.rewind().unwrap();
        let mut bytes = Vec::new();
        to.read_to_end(&mut bytes).unwrap();
        assert!(bytes[..4] == *b"head" && bytes[4..] == pattern(1_000_000)[400_000..900_000]);
    })
    .unwrap();
}

#[test]
fn offsets_beyond_four_gibibytes_are_right() {
    const BOUND: u64 = 4 << 30;
    let before = BOUND - 100_000;
    let bytes = pattern(300_000);
    run(|| {
        for to in SINKS {
            let mut from = tempfile::tempfile().unwrap();
            from.seek(SeekFrom::Start(before)).unwrap();
            from.write_all(&bytes).unwrap();
            from.seek(SeekFrom::Start(before)).unwrap();
            let (out, result) = sink(to);
            assert_eq!(transfer(&from, &out).unwrap(), 300_000);
            drop(out);
            assert!(result() == bytes, "file to {to}");
        }
        for from in SOURCES {
            let mut to = tempfile::tempfile().unwrap();
            to.seek(SeekFrom::Start(before)).unwrap();
            assert_eq!(transfer(source(from, &bytes), &to).unwrap(), 300_000);
            let mut result = vec![0; 300_000];
            std::os::unix::fs::FileExt::read_exact_at(&to, &mut result, before).unwrap();
            assert!(result == bytes, "{from} to file");
            assert_eq!(to.metadata().unwrap().len(), before + 300_000);
        }
    })
    .unwrap();
}

#[test]
fn more_than_four_gibibytes_are_counted_right() {
    let length = rounds(300 << 20, 5 << 30) as u64;
    let from = tempfile::tempfile().unwrap();
    from.set_len(length).unwrap();
    run(|| {
        let (ours, theirs) = support::tcp_pair();
        ours.set_nonblocking(true).unwrap();
        let reader =
            thread::spawn(move || std::io::copy(&mut { theirs }, &mut std::io::sink()).unwrap());
        assert_eq!(transfer(&from, &ours).unwrap(), length);
        drop(ours);
        assert_eq!(reader.join().unwrap(), length);
        // A device is copied through memory.
        { &from }.rewind().unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(transfer(&from, &null).unwrap(), length);
    })
    .unwrap();
}

#[test]
fn a_file_without_a_known_length_is_read_to_its_end() {
    run(|| {
        let expected = std::fs::read("/proc/self/status").unwrap().len();
        for to in SINKS {
            let (out, result) = sink(to);
            let moved = transfer(File::open("/proc/self/status").unwrap(), &out).unwrap();
            drop(out);
            let bytes = result();
            assert_eq!(moved, bytes.len() as u64, "{to}");
            assert!(bytes.len().abs_diff(expected) < 100 && bytes.starts_with(b"Name:"), "{to}");
        }
    })
    .unwrap();
}

#[test]
fn a_slow_reader_holds_up_no_other_tasklet() {
    let whole = pattern(3_000_000);
    run(|| {
        // The readers begin after this tasklet has run for a while beside all idle transfers, or
        // after a minute if it does not run.
        let (ticking, ticked) = channel::<()>();
        let ticks = spawn(move || {
            (0..200).for_each(|_| sleep(Duration::from_millis(1)));
            drop(ticking);
        });
        let ticked = Arc::new(Mutex::new(ticked));
        let mut movers = Vec::new();
        for from in SOURCES {
            for to in ["pipe", "socket", "blocking socket"] {
                let input = source(from, &whole);
                let (out, mut theirs): (OwnedFd, File) = if to == "pipe" {
                    let (reader, writer) = std::io::pipe().unwrap();
                    (writer.into(), OwnedFd::from(reader).into())
                } else {
                    let (ours, theirs) = support::tcp_pair();
                    ours.set_nonblocking(to == "socket").unwrap();
                    socket2::SockRef::from(&ours).set_send_buffer_size(50_000).unwrap();
                    socket2::SockRef::from(&theirs).set_recv_buffer_size(50_000).unwrap();
                    (ours.into(), OwnedFd::from(theirs).into())
                };
                let ticked = ticked.clone();
                let reader = thread::spawn(move || {
                    let end = ticked.lock().unwrap().recv_timeout(Duration::from_secs(60));
                    let mut bytes = Vec::new();
                    theirs.read_to_end(&mut bytes).unwrap();
                    assert_eq!(end, Err(RecvTimeoutError::Disconnected), "{from} to {to} blocks");
                    bytes
                });
                movers.push((from, to, spawn(move || transfer(input, out).unwrap()), reader));
            }
        }
        for (from, to, mover, reader) in movers {
            assert_eq!(mover.join().unwrap(), whole.len() as u64);
            assert!(reader.join().unwrap() == whole, "{from} to {to}");
        }
        ticks.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_file_that_may_not_grow_is_the_sink_s_error_and_the_source_goes_back() {
    const NAME: &str = "a_file_that_may_not_grow_is_the_sink_s_error_and_the_source_goes_back";
    const LIMIT: usize = 1 << 20;
    if asked().is_none() {
        let output = child(NAME, "limit");
        assert!(output.status.success(), "{}", said(&output));
        return;
    }
    // SAFETY: a valid limit, and a signal that is ignored.
    unsafe {
        let limit = libc::rlimit { rlim_cur: LIMIT as u64, rlim_max: libc::RLIM_INFINITY };
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let whole = pattern(LIMIT);
    run(|| {
        // The ring's own write, for files that cannot be spliced, has no such limit.
        for from in ["file", "pipe", "socket"] {
            for to in ["file", "file to append to"] {
                if from != "file" && to != "file" {
                    continue;
                }
                let input = source(from, &whole);
                let (out, result) = sink(to);
                let mut head = File::from(out);
                head.write_all(&[7; 1000]).unwrap();
                let error = transfer(&input, &head).unwrap_err();
                assert_eq!((error.kind(), error.side()), (ErrorKind::FileTooLarge, Side::Sink));
                let delivered = error.delivered() as usize;
                assert_eq!(delivered, LIMIT - 1000, "{from} to {to}");
                assert!(result()[1000..] == whole[..delivered]);
                let (rest_out, rest) = sink("file");
                transfer(&input, &rest_out).unwrap();
                let left = [error.undelivered(), &rest()].concat();
                assert!(left == whole[delivered..], "{from} to {to}: {} left", left.len());
                assert!(from != "file" || error.undelivered().is_empty());
            }
        }
    })
    .unwrap();
}

#[test]
fn an_endless_transfer_yields_and_obeys_its_deadline() {
    run(|| {
        let zero = File::open("/dev/zero").unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        in_time(Duration::from_millis(55), || {
            let begin = Instant::now();
            let neighbour = spawn(move || {
                sleep(Duration::from_millis(5));
                begin.elapsed()
            });
            let error = timeout(Duration::from_millis(60), || transfer(&zero, &null)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.delivered() > 0);
            assert!(begin.elapsed() < within(Duration::from_secs(2)));
            neighbour.join().unwrap()
        });
    })
    .unwrap();
}

#[test]
fn a_source_that_is_reset_is_the_source_s_error() {
    run(|| {
        for to in SINKS {
            let (ours, theirs) = support::tcp_pair();
            ours.set_nonblocking(true).unwrap();
            (&theirs).write_all(&pattern(1000)).unwrap();
            let (out, result) = sink(to);
            let source = ours.try_clone().unwrap();
            let resetting = spawn(move || {
                let unread = || rustix::io::ioctl_fionread(&source).unwrap();
                support::wait_until("the source has been read", || unread() == 0);
                overlapped::net::TcpStream::from(theirs).set_linger(Some(Duration::ZERO)).unwrap();
            });
            let error = transfer(&ours, &out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{to}");
            assert_eq!((error.side(), error.delivered()), (Side::Source, 1000), "{to}");
            assert!(std::io::Error::from(error).raw_os_error().is_some());
            resetting.join().unwrap();
            drop(out);
            assert!(result() == pattern(1000));
        }
    })
    .unwrap();
}

#[test]
fn a_sink_that_goes_away_is_the_sink_s_error_and_no_byte_is_unaccounted_for() {
    // These are more bytes than the sockets' buffers can hold.
    let whole = pattern(16_000_000);
    run(|| {
        for from in SOURCES {
            for into_pipe in [false, true] {
                let input = source(from, &whole);
                let (reader, writer) = pipe().unwrap();
                let (ours, theirs) = pair();
                let mover = spawn(move || {
                    let result =
                        if into_pipe { transfer(&input, &writer) } else { transfer(&input, &ours) };
                    let (out, rest) = sink("file");
                    transfer(&input, &out).unwrap();
                    (result.unwrap_err(), rest())
                });
                let mut some = vec![0; 50_000];
                if into_pipe {
                    (&reader).read_exact(&mut some).unwrap();
                } else {
                    (&theirs).read_exact(&mut some).unwrap();
                }
                drop((reader, theirs));
                let (error, rest) = mover.join().unwrap();
                let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(kinds.contains(&error.kind()), "{from}: {error}");
                assert_eq!(error.side(), Side::Sink, "{from}: {error}");
                assert!(some == whole[..50_000]);
                let delivered = error.delivered() as usize;
                assert!(delivered >= 50_000);
                let expected = &whole[delivered..];
                let left = [error.undelivered(), &rest].concat();
                assert!(left == expected, "{from}: {} left of {}", left.len(), expected.len());
            }
        }
    })
    .unwrap();
}

#[test]
fn a_full_disk_is_the_sink_s_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    run(|| {
        for from in SOURCES {
            let error = transfer(source(from, &pattern(10_000)), &full).unwrap_err();
            assert_eq!((error.kind(), error.side()), (ErrorKind::StorageFull, Side::Sink));
            let taken = if from == "file" { 0 } else { error.undelivered().len() };
            assert_eq!(error.delivered(), 0);
            assert!(taken > 0 || from == "file");
        }
    })
    .unwrap();
}

#[test]
fn descriptors_that_cannot_be_read_or_written_are_errors_of_their_side() {
    run(|| {
        let whole = pattern(200_000);
        for to in SINKS {
            let (out, _result) = sink(to);
            let write_only = File::options().write(true).open("/dev/null").unwrap();
            let error = transfer(&write_only, &out).unwrap_err();
            assert_eq!((error.side(), error.delivered()), (Side::Source, 0), "to {to}: {error}");
            let directory = File::open("/").unwrap();
            let error = transfer(&directory, &out).unwrap_err();
            assert_eq!((error.side(), error.kind()), (Side::Source, ErrorKind::IsADirectory));
        }
        for from in SOURCES {
            let read_only = File::open("/proc/self/status").unwrap();
            let error = transfer(source(from, &whole), &read_only).unwrap_err();
            assert_eq!((error.side(), error.delivered()), (Side::Sink, 0), "{from}: {error}");
        }
    })
    .unwrap();
}

#[test]
fn datagram_sockets_are_refused() {
    let (one, other) = UnixDatagram::pair().unwrap();
    let (out, _result) = sink("pipe");
    let error = transfer(&one, &out).unwrap_err();
    assert_eq!((error.kind(), error.side()), (ErrorKind::InvalidInput, Side::Source));
    let error = transfer(source("file", b"x"), &other).unwrap_err();
    assert_eq!((error.kind(), error.side()), (ErrorKind::InvalidInput, Side::Sink));
}

#[test]
fn a_deadline_leaves_a_file_s_cursor_behind_the_delivered_bytes() {
    let whole = pattern(20_000_000);
    run(|| {
        // On a machine that stalls, the deadline may pass before the sink is full.
        let at_full_sink = |limit: u64| {
            let ((ours, theirs), from) = (pair(), file_of(&whole));
            let limit = Duration::from_millis(limit);
            let error = timeout(limit, || transfer(&from, &ours)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            (error.side() == Side::Sink).then_some((ours, theirs, from, error))
        };
        let found = [20, 200, 2_000, 20_000].into_iter().find_map(at_full_sink);
        let (ours, mut theirs, mut from, error) = found.expect("the sink, not the source, is full");
        assert_eq!(error.undelivered(), b"");
        assert_eq!(from.stream_position().unwrap(), error.delivered());
        let rest = spawn(move || {
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).unwrap();
            bytes
        });
        transfer(&from, &ours).unwrap();
        drop(ours);
        assert!(rest.join().unwrap() == whole);
    })
    .unwrap();
}

#[test]
fn idle_transfers_do_not_hold_up_others() {
    run(|| {
        let idle: Vec<_> = (0..200)
            .map(|_| {
                let ((from, source_peer), (to, sink_peer)) = (pair(), pair());
                let tasklet = spawn(move || transfer(&from, &to).map(drop));
                (tasklet, source_peer, sink_peer)
            })
            .collect();
        support::wait_until_others_wait();
        let begin = Instant::now();
        for to in SINKS {
            let (out, result) = sink(to);
            transfer(source("file", &pattern(1_000_000)), &out).unwrap();
            drop(out);
            assert!(result() == pattern(1_000_000));
        }
        let took = begin.elapsed();
        assert!(took < within(Duration::from_secs(2)), "{took:?}");
        for (tasklet, source_peer, sink_peer) in idle {
            source_peer.shutdown(Shutdown::Write).unwrap();
            tasklet.join().unwrap().unwrap();
            drop(sink_peer);
        }
    })
    .unwrap();
}

#[test]
fn while_unwinding_files_are_moved_and_a_full_sink_is_an_error() {
    struct Mover(OwnedFd, OwnedFd, std::rc::Rc<std::cell::Cell<Option<Result<u64, ErrorKind>>>>);
    impl Drop for Mover {
        fn drop(&mut self) {
            assert!(thread::panicking());
            self.2.set(Some(transfer(&self.0, &self.1).map_err(|error| error.kind())));
        }
    }
    let whole = pattern(1_000_000);
    run(|| {
        for (to, expected) in [("file", Ok(1_000_000)), ("full pipe", Err(ErrorKind::WouldBlock))] {
            let (reader, writer) = pipe().unwrap();
            let out = if to == "file" {
                sink(to).0
            } else {
                writer.as_fd().try_clone_to_owned().unwrap()
            };
            let result = std::rc::Rc::new(std::cell::Cell::new(None));
            let mover = Mover(source("file", &whole), out, result.clone());
            let killed = spawn(move || {
                let _mover = mover;
                sleep(Duration::from_secs(100));
            });
            overlapped::yield_now();
            killed.kill();
            assert!(killed.join().is_err());
            assert_eq!(result.take(), Some(expected), "{to}");
            drop((reader, writer));
        }
    })
    .unwrap();
}
