//! Transfers that are interrupted: by deadlines, kills, and the end of the scheduler.

mod moving;
mod support;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use moving::{SINKS, SOURCES, every_pair, file_of, pattern, sink, source};
use overlapped::io::transfer;
use overlapped::time::{sleep, timeout};
use overlapped::{run, run_until, spawn};
use support::{Rng, asked, child, open_descriptors, report, rounds, said, wait_until};

fn micros(rng: &mut Rng, most: usize) -> Duration {
    Duration::from_micros(rng.below(most) as u64)
}

/// Reads pieces of random sizes, with pauses in between.
fn lazy(mut from: impl Read + Send + 'static, seed: u64) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut rng, mut bytes, mut piece) = (Rng(seed), Vec::new(), vec![0; 200_000]);
        loop {
            let room = 1 + rng.below(piece.len());
            match from.read(&mut piece[..room]).unwrap() {
                0 => return bytes,
                n => bytes.extend_from_slice(&piece[..n]),
            }
            if rng.below(4) == 0 {
                thread::sleep(micros(&mut rng, 300));
            }
        }
    })
}

#[test]
fn p17_a_deadline_loses_no_byte_and_a_transfer_goes_on_where_it_was() {
    let rounds = rounds(3, 60);
    let whole = pattern(6_000_000);
    let (mut cut, mut handed_back) = (0, 0);
    for round in 0..rounds {
        run(|| {
            for (i, from) in SOURCES.into_iter().enumerate() {
                for to in ["pipe", "socket", "blocking socket"] {
                    let mut rng = Rng((round * 100 + i) as u64);
                    let input = source(from, &whole);
                    let (out, reader): (OwnedFd, _) = if to == "pipe" {
                        let (reader, writer) = std::io::pipe().unwrap();
                        (writer.into(), lazy(reader, rng.next()))
                    } else {
                        let (ours, theirs) = support::tcp_pair();
                        ours.set_nonblocking(to == "socket").unwrap();
                        (ours.into(), lazy(theirs, rng.next()))
                    };
                    let mut moved = 0;
                    loop {
                        let patience = micros(&mut rng, 1_000);
                        match timeout(patience, || transfer(&input, &out)) {
                            Ok(last) => break moved += last,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                                cut += 1;
                                moved += error.delivered();
                                if !error.undelivered().is_empty() {
                                    handed_back += 1;
                                    let rest = file_of(error.undelivered());
                                    moved += transfer(&rest, &out).unwrap();
                                }
                            }
                        }
                    }
                    drop(out);
                    let got = reader.join().unwrap();
                    assert!(got == whole, "{from} to {to}: {} of {}", got.len(), whole.len());
                    assert_eq!(moved, whole.len() as u64, "{from} to {to}");
                }
            }
        })
        .unwrap();
    }
    assert!(
        cut > 10 * rounds && handed_back > rounds,
        "not tested: {cut} cancelled, {handed_back} handed back"
    );
    report("P17", cut, &format!("transfers ended by deadlines, {handed_back} handed bytes back"));
}

#[test]
fn p17_a_kill_loses_no_byte_and_leaves_nothing() {
    const NAME: &str = "p17_a_kill_loses_no_byte_and_leaves_nothing";
    if asked().is_none() {
        let output = child(NAME, "kill");
        assert!(output.status.success(), "{}", said(&output));
        let text = said(&output);
        let line = text.lines().find(|line| line.contains("RELIABILITY P17"));
        println!("{}", line.expect("the child reports"));
        return;
    }
    let rounds = rounds(8, 200);
    let whole = pattern(3_000_000);
    let (mut killed, mut lost) = (0, 0);
    run(|| {
        let mut rng = Rng(7);
        // The descriptors of the runtime and of the pool are open after the first round.
        let mut before = 0;
        for round in 0..rounds {
            every_pair(|from, to| {
                let input = source(from, &whole);
                let (out, result) = sink(to);
                let ends = (input.try_clone().unwrap(), out.try_clone().unwrap());
                let mover = spawn(move || transfer(&ends.0, &ends.1).map(drop));
                sleep(micros(&mut Rng(rng_seed(round, from, to)), 2_000));
                mover.kill();
                let ended = mover.join();
                drop(out);
                let (rest_out, rest) = sink("file");
                let left = transfer(&input, &rest_out).unwrap();
                drop(rest_out);
                let (got, rest) = (result(), rest());
                assert_eq!(left, rest.len() as u64);
                let missing = whole.len() - got.len() - rest.len();
                assert!(got[..] == whole[..got.len()], "{from} to {to}");
                assert!(rest[..] == whole[got.len() + missing..], "{from} to {to}");
                let may_lose = from.contains("socket") && to.contains("socket")
                    || from.contains("blocking") && to == "pipe"
                    || from == "pipe" && to.contains("blocking");
                assert!(missing == 0 || may_lose && missing <= 1 << 20, "{from} to {to} {missing}");
                KILLED.with(|cell| cell.set(cell.get() + usize::from(ended.is_err())));
                LOST.with(|cell| cell.set(cell.get() + usize::from(missing > 0)));
            });
            let _ = rng.next();
            if round == 0 {
                before = open_descriptors();
            }
        }
        (killed, lost) = (KILLED.with(|cell| cell.get()), LOST.with(|cell| cell.get()));
        // Feeding threads may not have closed their descriptors yet.
        wait_until("every descriptor is closed", || open_descriptors() <= before);
        assert_eq!(overlapped::task::stats().unwrap().live, 1);
    })
    .unwrap();
    assert!(killed > rounds, "not tested: {killed} killed");
    report(
        "P17",
        killed,
        &format!("transfers killed, bytes lost only between two sockets ({lost} times)"),
    );
}

thread_local! {
    static KILLED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static LOST: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn rng_seed(round: usize, from: &str, to: &str) -> u64 {
    (round * 1000 + from.len() * 31 + to.len()) as u64
}

#[test]
fn leaving_the_scheduler_ends_transfers_at_once() {
    let whole = pattern(20_000_000);
    let began = run_until(|| {
        for from in SOURCES {
            let input = source(from, &whole);
            let (ours, theirs) = support::tcp_pair();
            ours.set_nonblocking(true).unwrap();
            let out = tempfile::tempfile().unwrap();
            spawn(move || transfer(&input, &ours).map(drop));
            let input = source(from, &whole);
            spawn(move || transfer(&input, &out).map(drop));
            // The reading ends stay open, and are not read.
            std::mem::forget(theirs);
        }
        sleep(Duration::from_millis(3));
        Instant::now()
    })
    .unwrap();
    assert!(began.elapsed() < support::within(Duration::from_secs(1)), "{:?}", began.elapsed());
}

#[test]
fn two_transfers_at_once_share_a_source_and_duplicate_no_byte() {
    // Every byte of a pipe goes to one of several transfers.
    let whole = pattern(2_000_000);
    run(|| {
        let input = std::rc::Rc::new(source("pipe", &whole));
        let movers: Vec<_> = SINKS
            .into_iter()
            .map(|to| {
                let input = input.clone();
                let (out, result) = sink(to);
                let mover = spawn(move || transfer(&*input, &out).unwrap());
                (mover, result)
            })
            .collect();
        let mut total = 0;
        for (mover, result) in movers {
            let moved = mover.join().unwrap();
            assert_eq!(result().len() as u64, moved);
            total += moved;
        }
        assert_eq!(total, whole.len() as u64);
    })
    .unwrap();
}

#[test]
fn a_file_that_grows_while_it_is_moved_is_moved_to_its_end() {
    run(|| {
        for to in SINKS {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&pattern(300_000)).unwrap();
            let mut input = File::open(file.path()).unwrap();
            input.rewind().unwrap();
            let (out, result) = sink(to);
            let first = transfer(&input, &out).unwrap();
            file.write_all(&pattern(100)).unwrap();
            assert_eq!((first, transfer(&input, &out).unwrap()), (300_000, 100));
            drop(out);
            assert_eq!(result().len(), 300_100, "{to}");
        }
    })
    .unwrap();
}
