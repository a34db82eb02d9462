//! `select!`: bodies in place of closures.

use overlapped::task::WaitError;
use overlapped::time::{Duration, Instant};
use overlapped::{Channel, RecvError, run, select, spawn};

const MS: Duration = Duration::from_millis(1);

#[test]
fn bodies_share_variables_and_leave_loops() {
    run(|| {
        let (numbers, words, quit) = (Channel::new(), Channel::new(), Channel::<()>::new());
        let (n, w, q) = (numbers.clone(), words.clone(), quit.clone());
        drop(spawn(move || {
            for i in 0..4 {
                n.send(i).unwrap();
                w.send("word").unwrap();
            }
            q.send(()).unwrap();
        }));
        let (mut sum, mut count) = (0, 0);
        let rounds = loop {
            select! {
                recv(numbers) -> number => {
                    sum += number.unwrap();
                    if sum > 1_000 {
                        continue;
                    }
                }
                recv(words) -> word => if word == Ok("word") { count += 1 },
                recv(quit) -> _ => break sum + count,
            }
            .unwrap();
        };
        assert_eq!((sum, count, rounds), (6, 4, 10));
    })
    .unwrap();
}

#[test]
fn bodies_return_and_pass_errors_on() {
    fn first(channel: &Channel<u8>) -> Result<u8, RecvError> {
        let got = select! {
            recv(channel) -> got => got?,
            after(20 * MS) => return Ok(0),
        };
        Ok(got.unwrap() + 1)
    }
    run(|| {
        let channel = Channel::new();
        assert_eq!(first(&channel), Ok(0));
        let sender = channel.clone();
        drop(spawn(move || sender.send(6)));
        assert_eq!(first(&channel), Ok(7));
        channel.close();
        assert_eq!(first(&channel), Err(RecvError::Closed));
    })
    .unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no such I/O")]
fn every_kind_of_alternative_can_be_written() {
    struct Door {
        channel: Channel<u8>,
    }
    impl Door {
        fn channel(&self) -> Channel<u8> {
            self.channel.clone()
        }
    }
    run(|| {
        let (rx, tx) = std::io::pipe().unwrap();
        let door = Door { channel: Channel::new() };
        let mut pending = Some(1);
        let mut worker = Some(spawn(overlapped::task::pause));
        let soon = Instant::now() + 5 * MS;
        // Expressions, temporaries among them, may be wherever a name may be.
        let happened = select! {
            recv(door.channel()) -> _ => "recv",
            send(door.channel, pending) -> sent => { sent.unwrap(); "send" }
            join(worker) -> _ => { "join" },
            readable(rx) -> ready => { ready.unwrap(); "readable" }
            at(soon) => "at",
            after(Duration::from_secs(60)) => "after",
        };
        assert_eq!((happened, pending), (Ok("at"), Some(1)));
        assert_eq!(select! { writable(tx) -> ready => ready.is_ok() }, Ok(true));
        let worker = worker.unwrap();
        worker.resume().unwrap();
        let mut worker = Some(worker);
        assert!(select! { join(worker) -> ended => ended.is_ok() }.unwrap());
        assert!(worker.is_none());
    })
    .unwrap();
}

#[test]
fn the_default_is_taken_if_nothing_can_happen_at_once() {
    run(|| {
        let channel = Channel::new();
        assert_eq!(select! { recv(channel) -> got => got.unwrap(), default => 0 }, Ok(0));
        let sender = channel.clone();
        drop(spawn(move || sender.send(5)));
        overlapped::yield_now();
        let mut rounds = 0;
        let got = loop {
            rounds += 1;
            select! {
                recv(channel) -> got => break got,
                default => overlapped::yield_now(),
            }
            .unwrap();
        };
        assert_eq!((got, rounds), (Ok(5), 1));
        let mut nothing: Option<u8> = None;
        assert_eq!(
            select! { send(channel, nothing) -> _ => 1, default => 0 },
            Err(WaitError::Empty)
        );
    })
    .unwrap();
}

#[test]
fn biased_takes_the_first_and_selects_nest() {
    run(|| {
        let (a, b) = (Channel::new(), Channel::new());
        for (channel, name) in [(&a, 'a'), (&b, 'b')] {
            let channel = channel.clone();
            drop(spawn(move || while channel.send(name).is_ok() {}));
        }
        for _ in 0..50 {
            overlapped::yield_now();
            let got = select! {
                biased;
                recv(b) -> first => {
                    let second = select! { biased; recv(a) -> got => got, recv(b) -> got => got };
                    (first, second.unwrap())
                }
                recv(a) -> got => (got.clone(), got),
            };
            assert_eq!(got, Ok((Ok('b'), Ok('a'))));
        }
        a.close();
        b.close();
    })
    .unwrap();
}
