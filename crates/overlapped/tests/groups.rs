//! Many tasklets: waits for the first to end and for all of them, and limits on their number.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use overlapped::task::{
    self, TaskletGroup, WaitError, map, map_unordered, no_switch, wait_all, wait_any,
};
use overlapped::time::{Duration, Instant, sleep, timeout};
use overlapped::{
    Builder, Channel, Config, JoinError, SpawnError, Tasklet, run, run_until, scope, spawn,
    yield_now,
};
use support::Rng;

const MS: Duration = Duration::from_millis(1);
const FOR_EVER: Duration = Duration::from_secs(60);

/// Counts the tasklets that are inside at the same time.
#[derive(Clone, Default)]
struct Crowd(Rc<Cell<usize>>, Rc<Cell<usize>>);

impl Crowd {
    fn inside(&self, f: impl FnOnce()) {
        self.0.set(self.0.get() + 1);
        self.1.set(self.1.get().max(self.0.get()));
        f();
        self.0.set(self.0.get() - 1);
    }

    fn most(&self) -> usize {
        self.1.get()
    }
}

#[test]
fn wait_any_returns_tasklets_in_the_order_of_their_ends() {
    run(|| {
        let naps = [3, 1, 4, 0, 2];
        let nap = |turns: usize| {
            spawn(move || {
                (0..turns).for_each(|_| yield_now());
                turns
            })
        };
        let mut handles: Vec<Tasklet<usize>> = naps.into_iter().map(nap).collect();
        let mut left = Vec::from(naps);
        for turns in 0..5 {
            let (at, ended) = wait_any(&mut handles).unwrap();
            assert_eq!(ended.unwrap(), turns);
            assert_eq!(left.remove(at), turns, "the index is the one it had");
            assert_eq!(handles.len(), left.len());
        }
        assert_eq!(wait_any(&mut handles).err(), Some(WaitError::Empty));
    })
    .unwrap();
}

#[test]
fn wait_any_takes_panics_and_kills_and_leaves_the_rest_when_it_fails() {
    run_until(|| {
        let mut handles = vec![
            spawn(|| sleep(FOR_EVER)),
            spawn(|| support::quiet_panic("boom")),
            spawn(|| sleep(FOR_EVER)),
        ];
        let (at, ended) = wait_any(&mut handles).unwrap();
        assert!(at == 1 && matches!(ended, Err(JoinError::Panicked(_))));
        handles[1].kill();
        let (at, ended) = wait_any(&mut handles).unwrap();
        assert!(at == 1 && matches!(ended, Err(JoinError::Killed)));
        let cut = timeout(2 * MS, || wait_any(&mut handles));
        assert_eq!(cut.err(), Some(WaitError::TimedOut));
        assert_eq!(no_switch(|| wait_any(&mut handles)).err(), Some(WaitError::WouldBlock));
        assert_eq!(handles.len(), 1);
        let mut paused = vec![spawn(task::pause), spawn(task::pause)];
        handles[0].kill();
        assert!(wait_any(&mut handles).unwrap().1.is_err());
        assert!(matches!(wait_any(&mut paused).err(), Some(WaitError::Deadlock(_))));
        scope(|s| {
            let mut children: Vec<_> = (0..3).map(|i| s.spawn(move || i)).collect();
            while let Ok((_, ended)) = wait_any(&mut children) {
                ended.unwrap();
            }
        });
    })
    .unwrap();
}

#[test]
fn wait_all_keeps_the_order_of_the_handles() {
    run(|| {
        let nap = |i: u32| {
            spawn(move || {
                (0..10 - i).for_each(|_| yield_now());
                if i == 3 { support::quiet_panic("three") } else { i }
            })
        };
        let handles: Vec<_> = (0..5).map(nap).collect();
        let results = wait_all(handles);
        for (i, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value as usize, i),
                Err(JoinError::Panicked(_)) => assert_eq!(i, 3),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(wait_all(Vec::<Tasklet<()>>::new()).is_empty());
    })
    .unwrap();
}

#[test]
fn map_keeps_the_order_and_its_limit() {
    let crowd = Crowd::default();
    let seen = crowd.clone();
    run(move || {
        let mut rng = Rng(1);
        let items: Vec<(usize, usize)> = (0..500).map(|i| (i, rng.below(8))).collect();
        let crowd = crowd.clone();
        let results = map(16, items, move |(i, turns)| {
            crowd.inside(|| (0..turns).for_each(|_| yield_now()));
            i
        });
        let results: Result<Vec<_>, _> = results.collect();
        assert_eq!(results.unwrap(), (0..500).collect::<Vec<_>>());
    })
    .unwrap();
    assert_eq!(seen.most(), 16);
}

#[test]
fn map_takes_no_item_before_there_is_room_for_it() {
    run(|| {
        let taken = Rc::new(Cell::new(0));
        let count = taken.clone();
        let items = (0..).inspect(move |_| count.set(count.get() + 1));
        let mut results = map(4, items, |i: u32| i);
        assert_eq!((taken.get(), results.size_hint().1), (0, None));
        for i in 0..10 {
            assert_eq!(results.next().unwrap().unwrap(), i);
            support::wait_until_others_wait();
            assert_eq!(taken.get(), i + 4, "a slow consumer holds the source back");
        }
    })
    .unwrap();
}

#[test]
fn a_panic_in_map_stands_in_its_item_s_place() {
    run(|| {
        let results = map(3, 0..9, |i| {
            yield_now();
            if i % 3 == 1 { support::quiet_panic(i) } else { i }
        });
        let results: Vec<_> = results.map(|result| result.ok()).collect();
        let expected: Vec<_> = (0..9).map(|i| (i % 3 != 1).then_some(i)).collect();
        assert_eq!(results, expected);
    })
    .unwrap();
}

/// Records whether its tasklet was killed.
struct Told(Rc<RefCell<Vec<usize>>>, usize);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

#[test]
fn dropping_map_or_killing_its_consumer_kills_what_it_has_begun() {
    let begin = Instant::now();
    for how in 0..3 {
        let told: Rc<RefCell<Vec<usize>>> = Rc::default();
        let seen = told.clone();
        run(move || {
            let told = told.clone();
            let consumer = spawn(move || {
                let mut results = map(3, 0..10, move |i| {
                    let _told = Told(told.clone(), i);
                    if i > 0 {
                        sleep(FOR_EVER);
                    }
                });
                results.next().unwrap().unwrap();
                match how {
                    0 => drop(results),
                    1 => drop(results.next()),
                    _ => {
                        let cut = timeout(2 * MS, || results.next());
                        assert!(matches!(cut, Some(Err(JoinError::TimedOut))), "{cut:?}");
                    }
                }
            });
            (0..5).for_each(|_| yield_now());
            if how == 1 {
                consumer.kill();
            }
            assert_eq!(consumer.join().is_ok(), how != 1);
        })
        .unwrap();
        let mut told = seen.take();
        told.sort_unstable();
        // One more item has begun for each result that was taken.
        assert_eq!(told, if how == 0 { vec![0, 1, 2] } else { vec![0, 1, 2, 3] }, "{how}");
    }
    assert!(begin.elapsed() < FOR_EVER / 2, "no tasklet sleeps any longer");
}

/// Counts the items that a map with room for three begins. The first of its ten items waits for the
/// last one, for `limit` at most.
fn begun_while_the_first_waits<R>(
    limit: Duration,
    results: impl FnOnce(Rc<dyn Fn(u32) -> u32>) -> R,
) -> (R, u32) {
    run(move || {
        let begun = Rc::new(Cell::new(0));
        let count = begun.clone();
        let last = Channel::<()>::new();
        let results = results(Rc::new(move |i| {
            count.set(count.get() + 1);
            match i {
                0 => _ = timeout(limit, || last.recv()),
                9 => _ = last.try_send(()),
                _ => {}
            }
            i
        }));
        (results, begun.get())
    })
    .unwrap()
}

#[test]
fn a_slow_item_holds_back_map_and_not_map_unordered() {
    let first = |f: Rc<dyn Fn(u32) -> u32>| map(3, 0..10, move |i| f(i)).next();
    // The last one does not begin.
    let (first, begun) = begun_while_the_first_waits(50 * MS, first);
    assert_eq!(first.unwrap().unwrap(), 0);
    assert_eq!(begun, 3, "a window over the items");
    let (order, begun) = begun_while_the_first_waits(FOR_EVER, |f| {
        map_unordered(3, 0..10, move |i| f(i)).map(Result::unwrap).collect::<Vec<_>>()
    });
    assert_eq!((order.len(), begun), (10, 10));
    assert!(order[8..].contains(&0), "{order:?}: it waited for the last one");
}

#[test]
fn map_unordered_returns_results_in_the_order_of_their_ends_and_keeps_its_limit() {
    let crowd = Crowd::default();
    let seen = crowd.clone();
    run(move || {
        let mut rng = Rng(1);
        let items: Vec<(usize, usize)> = (0..500).map(|i| (i, rng.below(8))).collect();
        let ended = Rc::new(RefCell::new(Vec::new()));
        let order = ended.clone();
        let results = map_unordered(16, items, move |(i, turns)| {
            crowd.inside(|| (0..turns).for_each(|_| yield_now()));
            ended.borrow_mut().push(i);
            i
        });
        assert_eq!(results.size_hint(), (500, Some(500)));
        let mut results = results.collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(results, *order.borrow());
        results.sort_unstable();
        assert_eq!(results, (0..500).collect::<Vec<_>>());
    })
    .unwrap();
    assert_eq!(seen.most(), 16);
}

#[test]
fn map_unordered_takes_no_item_before_there_is_room_for_it() {
    run(|| {
        let taken = Rc::new(Cell::new(0));
        let count = taken.clone();
        let items = (0..).inspect(move |_| count.set(count.get() + 1));
        let mut results = map_unordered(4, items, |i: u32| i);
        assert_eq!(taken.get(), 0);
        for i in 0..10 {
            assert!(results.next().unwrap().is_ok());
            support::wait_until_others_wait();
            assert_eq!(taken.get(), i + 4, "a slow consumer holds the source back");
        }
    })
    .unwrap();
}

#[test]
fn map_unordered_has_a_result_for_each_item_after_panics_and_deadlines() {
    run(|| {
        let results = map_unordered(3, 0..9, |i| {
            yield_now();
            if i % 3 == 1 { support::quiet_panic(i) } else { i }
        });
        let results: Vec<_> = results.map(|result| result.ok()).collect();
        assert_eq!(results.len(), 9);
        assert_eq!(results.iter().flatten().count(), 6);
        let (killed, told) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let ends = killed.clone();
        let mut results = map_unordered(3, 0..7, move |i| {
            let _told = Told(ends.clone(), i);
            if i < 6 {
                sleep(FOR_EVER);
            }
        });
        timeout(2 * MS, || {
            while let Some(Err(JoinError::TimedOut)) = results.next() {
                told.set(told.get() + 1);
                if told.get() == 4 {
                    break;
                }
            }
        });
        assert_eq!(told.get(), 4);
        (0..3).for_each(|_| yield_now());
        let mut killed = killed.take();
        killed.sort_unstable();
        assert_eq!(killed[..], [0, 1, 2, 3][..killed.len()], "the first ones are dropped first");
        let left = timeout(2 * MS, || results.by_ref().count());
        assert_eq!(left, 3, "seven items, seven results");
    })
    .unwrap();
}

#[test]
fn dropping_map_unordered_or_killing_its_consumer_kills_what_it_has_begun() {
    let begin = Instant::now();
    for kill in [false, true] {
        let told: Rc<RefCell<Vec<usize>>> = Rc::default();
        let seen = told.clone();
        run(move || {
            let consumer = spawn(move || {
                let mut results = map_unordered(3, 0..10, move |i| {
                    let _told = Told(told.clone(), i);
                    if i > 0 {
                        sleep(FOR_EVER);
                    }
                });
                results.next().unwrap().unwrap();
                if kill {
                    drop(results.next());
                }
            });
            (0..5).for_each(|_| yield_now());
            if kill {
                consumer.kill();
            }
            assert_eq!(consumer.join().is_ok(), !kill);
        })
        .unwrap();
        let mut told = seen.take();
        told.sort_unstable();
        assert_eq!(told, if kill { vec![0, 1, 2, 3] } else { vec![0, 1, 2] });
    }
    assert!(begin.elapsed() < FOR_EVER / 2, "no tasklet sleeps any longer");
}

#[test]
fn a_map_that_cannot_spawn_says_where_it_was_called() {
    let said = |mut next: Box<dyn FnMut()>| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut *next));
        *panic.unwrap_err().downcast::<String>().unwrap()
    };
    let mut ordered = map(3, 0..3, |i| i);
    let said_by_map = said(Box::new(move || _ = ordered.next()));
    let mut unordered = map_unordered(3, 0..3, |i| i);
    let said_by_other = said(Box::new(move || _ = unordered.next()));
    for (said, name) in [(said_by_map, "task::map,"), (said_by_other, "task::map_unordered,")] {
        assert!(said.contains(name) && said.contains("groups.rs:"), "{said}");
    }
}

#[test]
fn map_goes_on_with_fewer_at_the_limit_of_tasklets() {
    let config = || Config::new().tasklets_max(4);
    let results: Vec<u32> =
        config().run(|| map(100, 0..50, |i| i * 2).map(Result::unwrap).collect()).unwrap();
    assert_eq!(results, (0..50).map(|i| i * 2).collect::<Vec<_>>());
    let count = config().run(|| map_unordered(100, 0..50, |i| i).map(Result::unwrap).count());
    assert_eq!(count.unwrap(), 50);
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn a_full_group_makes_spawn_wait() {
    let crowd = Crowd::default();
    let seen = crowd.clone();
    run(move || {
        let mut group = TaskletGroup::new(5);
        let mut rng = Rng(3);
        for i in 0..200 {
            let (crowd, turns) = (crowd.clone(), rng.below(6));
            let work = move || {
                crowd.inside(|| (0..turns).for_each(|_| yield_now()));
                i
            };
            group.spawn(work).unwrap();
        }
        assert_eq!(group.len(), 200);
        let results: Result<Vec<_>, _> = group.join_all().into_iter().collect();
        assert_eq!(results.unwrap(), (0..200).collect::<Vec<_>>(), "in the order of spawning");
    })
    .unwrap();
    assert_eq!(seen.most(), 5);
}

#[test]
fn join_next_returns_members_in_the_order_of_their_ends() {
    run(|| {
        let mut group = TaskletGroup::new(usize::MAX);
        for turns in [2, 0, 3, 1] {
            let work = move || {
                (0..turns).for_each(|_| yield_now());
                if turns == 1 { support::quiet_panic(turns) } else { turns }
            };
            group.spawn_by(Builder::new().name("member"), work).unwrap();
        }
        assert_eq!(group.running(), 4);
        let mut ends = Vec::new();
        while let Some(ended) = group.join_next() {
            ends.push(ended.ok());
        }
        assert_eq!(ends, [Some(0), None, Some(2), Some(3)]);
        assert!(group.is_empty() && group.running() == 0);
        // A group can be used again.
        group.spawn(|| 9).unwrap();
        assert_eq!(group.join_next().unwrap().unwrap(), 9);
        assert!(group.join_next().is_none());
    })
    .unwrap();
}

/// A loop that could not wait would return to the same member for ever.
#[test]
fn a_loop_over_a_group_in_a_destructor_ends() {
    struct Owner(TaskletGroup<()>, Rc<Cell<u32>>);
    impl Drop for Owner {
        fn drop(&mut self) {
            while let Some(joined) = self.0.join_next() {
                assert!(matches!(joined, Err(JoinError::WouldBlock)));
                self.1.set(self.1.get() + 1);
                assert!(self.1.get() <= 3, "it goes on for ever");
            }
        }
    }
    run(|| {
        let given_up = Rc::new(Cell::new(0));
        let counted = given_up.clone();
        let owner = spawn(move || {
            let mut owner = Owner(TaskletGroup::new(3), counted);
            for _ in 0..3 {
                owner.0.spawn(overlapped::task::pause).unwrap();
            }
            overlapped::task::pause();
        });
        yield_now();
        owner.kill();
        assert!(matches!(owner.join(), Err(JoinError::Killed)));
        assert_eq!(given_up.get(), 3);
    })
    .unwrap();
}

#[test]
fn dropping_a_group_kills_its_members_also_those_that_have_not_begun() {
    let begin = Instant::now();
    for kill_owner in [false, true] {
        let told: Rc<RefCell<Vec<usize>>> = Rc::default();
        let seen = told.clone();
        run(move || {
            let told = told.clone();
            let owner = spawn(move || {
                let mut group = TaskletGroup::new(usize::MAX);
                for i in 0..4 {
                    if i == 2 {
                        yield_now();
                    }
                    let told = Told(told.clone(), i);
                    group
                        .spawn(move || {
                            let _told = told;
                            sleep(FOR_EVER);
                        })
                        .unwrap();
                }
                if kill_owner {
                    group.join_all();
                }
            });
            (0..4).for_each(|_| yield_now());
            owner.kill();
            assert_eq!(owner.join().is_ok(), !kill_owner);
        })
        .unwrap();
        let mut told = seen.take();
        told.sort_unstable();
        assert_eq!(told, [0, 1, 2, 3]);
    }
    assert!(begin.elapsed() < FOR_EVER / 2, "no tasklet sleeps any longer");
}

#[test]
fn a_wait_for_room_obeys_deadlines_deadlock_reports_and_no_switch() {
    run(|| {
        let mut group = TaskletGroup::new(2);
        let channel = Channel::<u8>::new();
        for _ in 0..2 {
            let channel = channel.clone();
            group.spawn(move || channel.recv()).unwrap();
        }
        let cut = timeout(2 * MS, || group.spawn(|| Ok(0)));
        assert_eq!(cut, Err(SpawnError::Wait(WaitError::TimedOut)));
        let cut = timeout(2 * MS, || group.join_next());
        assert!(matches!(cut, Some(Err(JoinError::TimedOut))));
        // Its wait has ended: a member's end does not wake it from another one.
        group.kill_all();
        let begin = Instant::now();
        sleep(5 * MS);
        assert!(begin.elapsed() >= 5 * MS);
        assert_eq!(group.running(), 0);
        for _ in 0..2 {
            assert!(matches!(group.join_next(), Some(Err(JoinError::Killed))));
            let channel = channel.clone();
            group.spawn(move || channel.recv()).unwrap();
        }
        yield_now();
        assert_eq!(no_switch(|| group.spawn(|| Ok(0))), Err(SpawnError::CannotWait));
        assert!(matches!(no_switch(|| group.join_next()), Some(Err(JoinError::WouldBlock))));
        // Main is the last to wait, so the deadlock report is its own.
        let told = group.spawn(|| Ok(0));
        let Err(SpawnError::Wait(WaitError::Deadlock(report))) = told else { panic!("{told:?}") };
        let text = report.to_string();
        assert!(text.contains("tasklet 1: the end of a member of its group"), "{text}");
        assert!(matches!(group.join_next(), Some(Err(JoinError::Deadlock(_)))));
        assert_eq!((group.len(), group.running()), (2, 2));
        group.kill_all();
        assert!(matches!(group.join_next(), Some(Err(JoinError::Killed))));
        group.spawn(|| Ok(7)).unwrap();
        let rest: Vec<_> = group.join_all().into_iter().map(Result::ok).collect();
        assert_eq!(rest, [None, Some(Ok(7))]);
    })
    .unwrap();
}

#[test]
fn a_member_that_cannot_be_spawned_takes_no_room() {
    let config = Config::new().tasklets_max(2);
    config
        .run(|| {
            let mut group = TaskletGroup::new(1);
            let other = spawn(task::pause);
            assert_eq!(group.spawn(|| 1), Err(SpawnError::Limit));
            assert_eq!((group.running(), group.len()), (0, 0));
            yield_now();
            other.resume().unwrap();
            other.join().unwrap();
            group.spawn(|| 2).unwrap();
            assert_eq!(group.join_next().unwrap().unwrap(), 2);
        })
        .unwrap();
    let mut group = TaskletGroup::new(1);
    assert_eq!(group.spawn(|| 1), Err(SpawnError::NoScheduler));
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri too long")]
fn thousands_pass_through_a_group_in_time() {
    let items = support::rounds(20_000, 1_000_000);
    run(|| {
        let mut group = TaskletGroup::new(1_000);
        let mut sum = 0;
        for i in 0..items {
            group.spawn(move || i).unwrap();
            if group.len() > 2_000 {
                sum += group.join_next().unwrap().unwrap();
            }
        }
        sum += group.join_all().into_iter().map(Result::unwrap).sum::<usize>();
        assert_eq!(sum, items * (items - 1) / 2);
    })
    .unwrap();
}
