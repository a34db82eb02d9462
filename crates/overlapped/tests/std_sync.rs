//! The same programs on std's `sync` and `thread` and on this library's. Only the `use` line
//! differs; the results must be the same.

/// Every program runs twice: as threads, and as tasklets.
macro_rules! same {
    ($($(#[$doc:meta])* fn $name:ident() -> $out:ty $body:block)*) => {
        mod as_threads {
            #[allow(unused_imports)]
            use std::{sync::{self, *}, thread};
            use super::{panic_with, text, message};
            $(pub(super) fn $name() -> $out $body)*
        }
        mod as_tasklets {
            #[allow(unused_imports)]
            use overlapped::{sync::{self, *}, thread};
            use super::{panic_with, text, message};
            $(pub(super) fn $name() -> $out $body)*
        }
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                let expected = as_threads::$name();
                let seen = overlapped::run(as_tasklets::$name).unwrap();
                assert_eq!(seen, expected);
            }
        )*
    };
}

/// Catches a panic without the hook's message.
fn panic_with(payload: &'static str) {
    std::panic::resume_unwind(Box::new(payload))
}

/// A panic's payload.
fn message(payload: Box<dyn std::any::Any + Send>) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("something else")
}

fn text(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

same! {
    fn a_mutex_counts_for_all() -> usize {
        let counter = Arc::new(Mutex::new(0));
        let parts: Vec<_> = (0..10)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || {
                    for _ in 0..100 {
                        let mut counter = counter.lock().unwrap();
                        let before = *counter;
                        thread::yield_now();
                        *counter = before + 1;
                    }
                })
            })
            .collect();
        for part in parts {
            part.join().unwrap();
        }
        Arc::into_inner(counter).unwrap().into_inner().unwrap()
    }

    fn a_mutex_shows_its_state() -> Vec<String> {
        let mut log = Vec::new();
        let mut mutex = Mutex::new(7);
        log.push(text(&mutex));
        let guard = mutex.lock().unwrap();
        log.push(format!("{guard:?} {guard}"));
        log.push(text(mutex.try_lock().map(|guard| *guard)));
        drop(guard);
        log.push(text(mutex.try_lock().map(|guard| *guard)));
        *mutex.get_mut().unwrap() = 8;
        log.push(text(mutex.into_inner()));
        log.push(text(Mutex::<u8>::default()));
        log.push(text(Mutex::from("x")));
        let unsized_one: &Mutex<[u8]> = &Mutex::new([1, 2]);
        log.push(text(unsized_one.lock().unwrap().len()));
        log
    }

    fn a_panic_poisons_a_mutex() -> Vec<String> {
        let mut log = Vec::new();
        let mutex = Arc::new(Mutex::new(1));
        let own = mutex.clone();
        let ended = thread::spawn(move || {
            let mut guard = own.lock().unwrap();
            *guard = 2;
            panic_with("in the middle");
        })
        .join();
        log.push(text(ended.map_err(message)));
        log.push(text((mutex.is_poisoned(), &*mutex)));
        log.push(text(mutex.lock().map(|guard| *guard).map_err(|error| *error.into_inner())));
        log.push(text(mutex.try_lock().map(|guard| *guard).map_err(text)));
        mutex.clear_poison();
        log.push(text((mutex.is_poisoned(), *mutex.lock().unwrap())));
        // A guard that was made while unwinding poisons nothing.
        struct Late(Arc<Mutex<i32>>);
        impl Drop for Late {
            fn drop(&mut self) {
                *self.0.lock().unwrap() += 1;
            }
        }
        let late = Late(mutex.clone());
        let ended = thread::spawn(move || {
            let _late = late;
            panic_with("before");
        })
        .join();
        log.push(text((ended.is_err(), mutex.is_poisoned(), *mutex.lock().unwrap())));
        log.push(text(Arc::into_inner(mutex).map(Mutex::into_inner)));
        log
    }

    fn a_rwlock_has_readers_or_a_writer() -> Vec<String> {
        let mut log = Vec::new();
        let lock = Arc::new(RwLock::new(vec![1]));
        {
            let (first, second) = (lock.read().unwrap(), lock.read().unwrap());
            log.push(text((first.len(), second.len())));
            log.push(text(lock.try_write().is_err()));
            log.push(text(lock.try_read().is_ok()));
        }
        {
            let mut writer = lock.write().unwrap();
            writer.push(2);
            log.push(text((lock.try_read().is_err(), lock.try_write().is_err(), &writer)));
        }
        let own = lock.clone();
        let ended = thread::spawn(move || {
            let _reader = own.read().unwrap();
            panic_with("a reader");
        });
        log.push(text((ended.join().is_err(), lock.is_poisoned())));
        let own = lock.clone();
        let ended = thread::spawn(move || {
            let _writer = own.write().unwrap();
            panic_with("a writer");
        });
        log.push(text((ended.join().is_err(), lock.is_poisoned(), &*lock)));
        log.push(text(lock.read().map(|reader| reader.len()).is_err()));
        lock.clear_poison();
        log.push(text(Arc::into_inner(lock).unwrap().into_inner()));
        log
    }

    fn writers_and_readers_see_whole_values() -> usize {
        let lock = Arc::new(RwLock::new((0, 0)));
        let parts: Vec<_> = (0..8)
            .map(|i| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for _ in 0..50 {
                        if i % 2 == 0 {
                            let mut pair = lock.write().unwrap();
                            pair.0 += 1;
                            thread::yield_now();
                            pair.1 += 1;
                        } else {
                            let pair = lock.read().unwrap();
                            thread::yield_now();
                            assert_eq!(pair.0, pair.1);
                        }
                    }
                })
            })
            .collect();
        for part in parts {
            part.join().unwrap();
        }
        let pair = *lock.read().unwrap();
        pair.0 + pair.1
    }

    fn a_condvar_hands_turns_over() -> Vec<usize> {
        let state = Arc::new((Mutex::new((0, Vec::new())), Condvar::new()));
        let parts: Vec<_> = (0..4)
            .map(|i| {
                let state = state.clone();
                thread::spawn(move || {
                    for _ in 0..5 {
                        let guard = state.0.lock().unwrap();
                        let mut guard =
                            state.1.wait_while(guard, |(turn, _)| *turn % 4 != i).unwrap();
                        guard.1.push(i);
                        guard.0 += 1;
                        state.1.notify_all();
                    }
                })
            })
            .collect();
        for part in parts {
            part.join().unwrap();
        }
        Arc::into_inner(state).unwrap().0.into_inner().unwrap().1
    }

    fn a_condvar_has_its_time() -> Vec<String> {
        use std::time::Duration;
        let mut log = Vec::new();
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let (mutex, condvar) = &*pair;
        let (guard, result) =
            condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(5)).unwrap();
        log.push(text((*guard, result)));
        let (guard, result) =
            condvar.wait_timeout_while(guard, Duration::from_millis(5), |ready| !*ready).unwrap();
        log.push(text((*guard, result.timed_out())));
        let (guard, result) =
            condvar.wait_timeout_while(guard, Duration::ZERO, |ready| *ready).unwrap();
        log.push(text((*guard, result.timed_out())));
        let own = pair.clone();
        let other = thread::spawn(move || {
            *own.0.lock().unwrap() = true;
            own.1.notify_one();
        });
        let (guard, result) =
            condvar.wait_timeout_while(guard, Duration::MAX, |ready| !*ready).unwrap();
        log.push(text((*guard, result.timed_out())));
        drop(guard);
        other.join().unwrap();
        log.push(text((condvar, Condvar::default())));
        let own = pair.clone();
        let poisoner = thread::spawn(move || {
            let _guard = own.0.lock().unwrap();
            own.1.notify_all();
            panic_with("poison");
        });
        let waited = condvar.wait_while(mutex.lock().unwrap_or_else(|e| e.into_inner()), |_| false);
        drop(waited);
        drop(poisoner.join());
        log.push(text(condvar.wait_timeout(
            mutex.lock().unwrap_or_else(|e| e.into_inner()),
            Duration::from_millis(1),
        ).is_err()));
        log
    }

    fn a_barrier_has_one_leader_each_round() -> Vec<usize> {
        let (barrier, leaders) = (Arc::new(Barrier::new(5)), Arc::new(Mutex::new(vec![0; 10])));
        let parts: Vec<_> = (0..5)
            .map(|_| {
                let (barrier, leaders) = (barrier.clone(), leaders.clone());
                thread::spawn(move || {
                    for round in 0..10 {
                        if barrier.wait().is_leader() {
                            leaders.lock().unwrap()[round] += 1;
                        }
                    }
                })
            })
            .collect();
        for part in parts {
            part.join().unwrap();
        }
        assert!(Barrier::new(0).wait().is_leader());
        assert!(Barrier::new(1).wait().is_leader());
        Arc::into_inner(leaders).unwrap().into_inner().unwrap()
    }

    fn a_once_lock_is_set_once() -> Vec<String> {
        let mut log = Vec::new();
        let once = Arc::new(OnceLock::new());
        log.push(text(&once));
        let made = Arc::new(atomic::AtomicUsize::new(0));
        let parts: Vec<_> = (0..5)
            .map(|i| {
                let (once, made) = (once.clone(), made.clone());
                thread::spawn(move || {
                    *once.get_or_init(|| {
                        made.fetch_add(1, atomic::Ordering::Relaxed);
                        thread::yield_now();
                        usize::from(i > 9) + 7
                    })
                })
            })
            .collect();
        log.push(text(once.wait()));
        for part in parts {
            log.push(text(part.join().unwrap()));
        }
        log.push(text((made.load(atomic::Ordering::Relaxed), once.set(8), once.get(), &once)));
        let failing = Arc::new(OnceLock::<u8>::new());
        let own = failing.clone();
        let ended = thread::spawn(move || {
            own.get_or_init(|| {
                panic_with("no value");
                1
            });
        });
        log.push(text((ended.join().is_err(), failing.get(), failing.get_or_init(|| 2))));
        let mut own = Arc::into_inner(failing).unwrap();
        log.push(text(own.get_mut()));
        log.push(text((own.clone() == own, own.take())));
        log.push(text(own.take()));
        log.push(text((OnceLock::from(3), OnceLock::<u8>::default())));
        log.push(text(OnceLock::from(4).into_inner()));
        log
    }

    fn a_lazy_lock_is_made_when_asked_for() -> Vec<String> {
        static LAZY: LazyLock<String> = LazyLock::new(|| {
            thread::yield_now();
            "made".to_owned()
        });
        let mut log = vec![text(&*LAZY), text(LAZY.len())];
        let parts: Vec<_> = (0..3).map(|_| thread::spawn(|| LAZY.clone())).collect();
        for part in parts {
            log.push(part.join().unwrap());
        }
        let failing = Arc::new(LazyLock::<u8, _>::new(|| {
            panic_with("no value");
            1
        }));
        let own = failing.clone();
        log.push(text(thread::spawn(move || **own).join().map_err(message)));
        let lazy: LazyLock<u8> = LazyLock::default();
        log.push(text(&lazy));
        log.push(text(LazyLock::force(&lazy)));
        log.push(text(&lazy));
        log
    }

    fn a_channel_keeps_order_and_reports_the_end() -> Vec<String> {
        use sync::mpsc::channel;
        let mut log = Vec::new();
        let (sender, receiver) = channel();
        log.push(text((&sender, &receiver)));
        log.push(text(receiver.try_recv()));
        let other = sender.clone();
        let part = thread::spawn(move || (0..5).for_each(|n| other.send(n).unwrap()));
        for _ in 0..5 {
            log.push(text(receiver.recv()));
        }
        part.join().unwrap();
        sender.send(5).unwrap();
        sender.send(6).unwrap();
        drop(sender);
        log.push(text(receiver.try_iter().collect::<Vec<_>>()));
        log.push(text((receiver.try_recv(), receiver.recv(), receiver.iter().next())));
        log.push(text(receiver.recv_timeout(std::time::Duration::ZERO)));
        let (sender, receiver) = channel();
        sender.send(1).unwrap();
        log.push(text(receiver.recv_timeout(std::time::Duration::from_millis(1))));
        log.push(text(receiver.recv_timeout(std::time::Duration::from_millis(1))));
        drop(receiver);
        log.push(text(sender.send(2)));
        let (sender, receiver) = channel();
        let part = thread::spawn(move || receiver.into_iter().sum::<i32>());
        (0..10).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        log.push(text(part.join().unwrap()));
        log
    }

    fn a_bounded_channel_waits_for_room() -> Vec<String> {
        use sync::mpsc::sync_channel;
        let mut log = Vec::new();
        let (sender, receiver) = sync_channel(2);
        log.push(text((&sender, sender.try_send(1), sender.try_send(2), sender.try_send(3))));
        log.push(text(receiver.recv()));
        log.push(text((sender.try_send(3), sender.try_send(4))));
        let other = sender.clone();
        let part = thread::spawn(move || (4..9).map(|n| other.send(n)).collect::<Vec<_>>());
        for _ in 0..7 {
            log.push(text(receiver.recv()));
        }
        log.push(text(part.join().unwrap()));
        log.push(text((sender.send(9), sender.send(10))));
        let own = sender.clone();
        let blocked = thread::spawn(move || own.send(11));
        thread::yield_now();
        drop(receiver);
        log.push(text(blocked.join().unwrap()));
        log.push(text((sender.send(12), sender.try_send(13))));
        log
    }

    fn a_rendezvous_needs_both() -> Vec<String> {
        use sync::mpsc::sync_channel;
        let mut log = Vec::new();
        let (sender, receiver) = sync_channel(0);
        log.push(text(sender.try_send(0)));
        let part = thread::spawn(move || (receiver.recv(), receiver.recv(), receiver));
        log.push(text((sender.send(1), sender.send(2))));
        let (first, second, receiver) = part.join().unwrap();
        log.push(text((first, second)));
        let own = sender.clone();
        let part = thread::spawn(move || own.send(3));
        log.push(text(receiver.recv()));
        log.push(text(part.join().unwrap()));
        let part = thread::spawn(move || {
            let sent = || sender.try_send(4).is_ok();
            testkit::wait_until_with(thread::sleep, "the receiver waits", sent);
        });
        log.push(text(receiver.recv()));
        part.join().unwrap();
        log.push(text(receiver.recv()));
        log
    }

    fn values_are_dropped_once() -> Vec<usize> {
        use sync::mpsc::{channel, sync_channel};
        let value = Arc::new(());
        let mut log = Vec::new();
        let (sender, receiver) = channel();
        (0..5).for_each(|_| sender.send(value.clone()).unwrap());
        drop(receiver.recv());
        log.push(Arc::strong_count(&value));
        drop(receiver);
        log.push(Arc::strong_count(&value));
        drop(sender.send(value.clone()));
        log.push(Arc::strong_count(&value));
        let (sender, receiver) = sync_channel(1);
        sender.send(value.clone()).unwrap();
        let own = value.clone();
        let blocked = thread::spawn(move || drop(sender.send(own)));
        thread::yield_now();
        drop(receiver);
        blocked.join().unwrap();
        log.push(Arc::strong_count(&value));
        log
    }

    fn a_handle_returns_the_outcome() -> Vec<String> {
        let mut log = Vec::new();
        log.push(text(thread::spawn(|| 42).join().map_err(message)));
        log.push(text(thread::spawn(|| panic_with("lost")).join().map_err(message)));
        let named = thread::Builder::new().name("worker".to_owned()).stack_size(1 << 16);
        let handle = named.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
        log.push(text((handle.thread().name(), &handle)));
        log.push(text(handle.join().map_err(message)));
        let handle = thread::spawn(|| thread::current().id());
        let id = handle.thread().id();
        log.push(text((handle.join().unwrap() == id, thread::current().id() == id)));
        log.push(text(thread::current().id() == thread::current().id()));
        let handle = thread::spawn(|| thread::current().name().map(str::to_owned));
        log.push(text(handle.thread().name()));
        log.push(text(handle.join().unwrap()));
        let handle = thread::spawn(|| {});
        testkit::wait_until_with(thread::sleep, "it has ended", || handle.is_finished());
        log.push(text(handle.join().map_err(message)));
        log.push(text(thread::panicking()));
        log
    }

    fn there_is_one_token() -> Vec<bool> {
        use std::time::{Duration, Instant};
        let quick = |dur| {
            let begin = Instant::now();
            thread::park_timeout(dur);
            begin.elapsed() < dur
        };
        let mut log = Vec::new();
        thread::current().unpark();
        thread::current().unpark();
        log.push(quick(Duration::from_secs(10)));
        log.push(quick(Duration::from_millis(5)));
        let flag = Arc::new(atomic::AtomicBool::new(false));
        let own = flag.clone();
        let sleeper = thread::spawn(move || {
            while !own.load(atomic::Ordering::Acquire) {
                thread::park();
            }
        });
        thread::yield_now();
        log.push(sleeper.is_finished());
        flag.store(true, atomic::Ordering::Release);
        sleeper.thread().unpark();
        log.push(sleeper.join().is_ok());
        log
    }

    fn a_scope_waits_and_borrows() -> Vec<String> {
        let mut log = Vec::new();
        let (mut numbers, mut sum) = (vec![1, 2, 3], 0);
        let result = thread::scope(|s| {
            let first = s.spawn(|| numbers.len());
            let second = s.spawn(|| {
                sum += 10;
                s.spawn(thread::yield_now);
                "second"
            });
            let named = thread::Builder::new().name("third".to_owned());
            let third = named.spawn_scoped(s, || thread::current().name().map(str::to_owned));
            let third = third.unwrap();
            let name = third.thread().name().map(str::to_owned);
            let failing = s.spawn(|| panic_with("joined"));
            (
                first.join().map_err(message),
                second.join().map_err(message),
                third.join().map_err(message),
                name,
                failing.join().map_err(message),
            )
        });
        numbers.push(sum);
        log.push(text((result, numbers)));
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            std::panic::set_hook(Box::new(|_| {}));
            thread::scope(|s| {
                s.spawn(|| panic_with("not joined"));
            });
        }));
        drop(std::panic::take_hook());
        log.push(text(failed.is_err()));
        let own = std::panic::catch_unwind(|| {
            thread::scope(|s| {
                s.spawn(|| thread::sleep(std::time::Duration::from_millis(1)));
                panic_with("its own");
            });
        });
        log.push(text(own.map_err(message)));
        log
    }
}
