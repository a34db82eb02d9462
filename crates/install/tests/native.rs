//! The library's own calls in these tasklets, several schedulers, and destructors.
#![allow(missing_docs)]
mod rig;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use overlapped::{Channel, Config};
use overlapped_install::spawn;
use rig::{ms, within};

#[test]
fn the_librarys_own_calls_work_as_ever() {
    within(|| {
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
        // One half by the library's sockets, one by std's.
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
        let path = std::env::temp_dir().join(format!("overlapped-native-{}", std::process::id()));
        overlapped::fs::write(&path, b"native").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"native");
        assert_eq!(overlapped::fs::read(&path).unwrap(), b"native");
        overlapped::fs::remove_file(&path).unwrap();
        assert_eq!(overlapped::task::unblock(|| 7).unwrap(), 7);
    });
}

#[test]
fn tasklets_of_several_schedulers_share_locks_and_channels() {
    rig::install();
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
    within(|| {
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
