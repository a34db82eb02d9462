//! The library's own calls in tasklets of this crate, several schedulers, and destructors.
#![allow(missing_docs)]
mod support;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use overlapped::{Channel, Config};
use overlapped_install::spawn;
use support::{ms, run_in_tasklet};

#[test]
fn the_librarys_own_calls_work_as_ever() {
    run_in_tasklet(|| {
        let listener = overlapped::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(move || {
            for _ in 0..10 {
                let (mut stream, _) = listener.accept().unwrap();
                spawn(move || {
                    let mut bytes = vec![0; 1 << 18];
                    stream.read_exact(&mut bytes).unwrap();
                    stream.write_all(&bytes).unwrap();
                });
            }
        });
        // One half uses the library's sockets, one std's.
        let clients: Vec<_> = (0..10u8)
            .map(|number| {
                spawn(move || {
                    let bytes = vec![number; 1 << 18];
                    let mut back = vec![0; 1 << 18];
                    if number % 2 == 0 {
                        let mut stream = overlapped::net::TcpStream::connect(address).unwrap();
                        stream.write_all(&bytes).unwrap();
                        stream.read_exact(&mut back).unwrap();
                    } else {
                        let mut stream = std::net::TcpStream::connect(address).unwrap();
                        stream.write_all(&bytes).unwrap();
                        stream.read_exact(&mut back).unwrap();
                    }
                    assert_eq!(bytes, back);
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        server.join().unwrap();
        let channel = Channel::new();
        let theirs = channel.clone();
        let receiver = spawn(move || (0..100).map(|_| theirs.recv().unwrap()).sum::<i32>());
        (0..100).for_each(|number| channel.send(number).unwrap());
        assert_eq!(receiver.join().unwrap(), 4950);
        let path = support::path("native");
        overlapped::fs::write(&path, b"native").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"native");
        assert_eq!(overlapped::fs::read(&path).unwrap(), b"native");
        overlapped::fs::remove_file(&path).unwrap();
        assert_eq!(overlapped::task::unblock(|| 7).unwrap(), 7);
    });
}

#[test]
fn tasklets_of_several_schedulers_share_locks_and_channels() {
    support::install();
    let count = Arc::new(Mutex::new(0));
    let shared = count.clone();
    overlapped_install::run_with(Config::new().threads(3), || {
        let placed = overlapped::task::place_on_each(move |_| {
            let all: Vec<_> = (0..5)
                .map(|_| {
                    let shared = shared.clone();
                    spawn(move || {
                        for _ in 0..10 {
                            let mut count = shared.lock().unwrap();
                            let before = *count;
                            thread::sleep(std::time::Duration::from_micros(100));
                            *count = before + 1;
                        }
                    })
                })
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
        placed.unwrap().into_iter().for_each(|one| one.join().unwrap());
    })
    .unwrap();
    assert_eq!(*count.lock().unwrap(), 150);
}

#[test]
fn a_destructor_waits_for_a_threads_lock_while_its_tasklet_unwinds() {
    struct Adds(Arc<Mutex<u32>>);
    impl Drop for Adds {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    run_in_tasklet(|| {
        let count = Arc::new(Mutex::new(0));
        let theirs = count.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let _held = theirs.lock().unwrap();
            sender.send(()).unwrap();
            thread::sleep(ms(1200)); // Longer than it says nothing.
        });
        receiver.recv().unwrap();
        let adds = Adds(count.clone());
        let panics = spawn(move || {
            let _adds = adds;
            panic!("as it should");
        });
        assert!(panics.join().is_err());
        assert_eq!(*count.lock().unwrap(), 1);
        thread.join().unwrap();
    });
}

#[test]
fn a_destructor_waits_for_a_neighbours_locks_while_its_tasklet_unwinds() {
    struct Waits(Arc<Mutex<u32>>, std::sync::mpsc::Receiver<()>);
    impl Drop for Waits {
        fn drop(&mut self) {
            assert!(thread::panicking());
            *self.0.lock().unwrap() += 1;
            // The other tasklet runs, and is not unwinding.
            self.1.recv().unwrap();
            thread::sleep(ms(1));
            let (mut a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
            let neighbour = spawn(move || {
                thread::sleep(ms(1));
                a.write_all(b"x").unwrap();
            });
            b.read_exact(&mut [0]).unwrap();
            neighbour.join().unwrap();
            overlapped_install::scope(|s| drop(s.spawn(|| thread::sleep(ms(1)))));
        }
    }
    run_in_tasklet(|| {
        let count = Arc::new(Mutex::new(0));
        let (sender, receiver) = std::sync::mpsc::channel();
        let waits = Waits(count.clone(), receiver);
        let held = count.lock().unwrap();
        let panics = spawn(move || {
            let _waits = waits;
            panic!("as it should");
        });
        overlapped::yield_now(); // It waits.
        assert!(!panics.is_finished() && !thread::panicking());
        drop(held);
        overlapped::yield_now(); // It waits.
        assert!(!panics.is_finished() && !thread::panicking());
        sender.send(()).unwrap();
        assert!(panics.join().is_err());
        assert_eq!(*count.lock().unwrap(), 1);
    });
}

#[test]
fn a_kill_of_a_tasklet_that_unwinds_is_an_error_of_its_calls() {
    struct Reads(std::os::unix::net::UnixStream);
    impl Drop for Reads {
        fn drop(&mut self) {
            let error = self.0.read(&mut [0]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
        }
    }
    run_in_tasklet(|| {
        let (_a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        let reads = spawn(move || {
            let _reads = Reads(b);
            panic!("as it should");
        });
        overlapped::yield_now(); // It reads.
        assert!(!reads.is_finished());
        reads.kill();
        match reads.join() {
            Err(overlapped::task::JoinError::Panicked(_)) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn destructors_at_the_end_of_a_killed_tasklet_wait_for_a_neighbours_lock() {
    struct Locks(std::cell::RefCell<Option<Arc<Mutex<u32>>>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            *self.0.take().unwrap().lock().unwrap() += 1;
        }
    }
    thread_local!(static LOCKS: Locks = const { Locks(std::cell::RefCell::new(None)) });
    run_in_tasklet(|| {
        let count = Arc::new(Mutex::new(0));
        let held = count.lock().unwrap();
        let theirs = count.clone();
        let ends = spawn(move || {
            LOCKS.with(|locks| locks.0.replace(Some(theirs)));
            thread::sleep(ms(60_000));
        });
        overlapped::yield_now(); // It sleeps.
        ends.kill();
        // Its destructor does.
        support::until_waits_for(ends.id(), "a futex");
        drop(held);
        drop(ends.join());
        assert_eq!(*count.lock().unwrap(), 1);
    });
}

#[test]
fn what_a_run_leaves_over_is_killed_and_told_so_by_its_calls() {
    support::install();
    let (sender, receiver) = std::sync::mpsc::channel();
    let value = overlapped_install::run_until(|| {
        let (_a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
        spawn(move || sender.send(b.read(&mut [0]).unwrap_err().raw_os_error()).unwrap());
        overlapped::yield_now(); // The tasklet reads.
        std::mem::forget(_a);
        7
    });
    assert_eq!((value.unwrap(), receiver.recv().unwrap()), (7, Some(libc::ECANCELED)));
}

#[test]
fn tasklets_are_placed_on_other_schedulers() {
    support::install();
    overlapped_install::run_with(Config::new().threads(2), || {
        let here = thread::current().id();
        let lock = Arc::new(Mutex::new(0));
        let placed: Vec<_> = (0..10)
            .map(|number| {
                let lock = lock.clone();
                let add = move || {
                    let mut held = lock.lock().unwrap();
                    thread::sleep(ms(1));
                    *held += 1;
                    thread::current().id() != here
                };
                match number % 2 {
                    0 => overlapped_install::place(add),
                    _ => overlapped_install::place_on(1, add).unwrap(),
                }
            })
            .collect();
        assert!(placed.into_iter().all(|one| one.join().unwrap()));
        assert_eq!(*lock.lock().unwrap(), 10);
        let panics = overlapped_install::place(|| panic!("as it should"));
        assert!(matches!(panics.join(), Err(overlapped_install::JoinError::Panicked(_))));
        let (begun, has_begun) = std::sync::mpsc::channel();
        let sleeps = overlapped_install::place(move || {
            begun.send(()).unwrap();
            thread::sleep(ms(60_000));
        });
        has_begun.recv().unwrap();
        sleeps.kill();
        drop(sleeps.join());
    })
    .unwrap();
}
