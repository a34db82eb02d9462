//! A map over all schedulers of a run.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use overlapped::task::{current, par_map};
use overlapped::{Config, JoinError, run, spawn, time, yield_now};

const FOR_EVER: Duration = Duration::from_secs(60);

fn threads(n: usize) -> Config {
    Config::new().threads(n)
}

#[test]
#[cfg_attr(miri, ignore = "under Miri each tasklet is a thread")]
fn par_map_uses_all_schedulers_and_keeps_the_order() {
    for count in [1, 3] {
        let results = threads(count).run(|| {
            let here = thread::current().id();
            let results = par_map(32, 0..500, |i| (i, thread::current().id()));
            assert_eq!(results.size_hint(), (500, Some(500)));
            (here, results.collect::<Result<Vec<_>, _>>().unwrap())
        });
        let (here, results) = results.unwrap();
        assert!(results.iter().map(|(i, _)| *i).eq(0..500));
        let used: HashSet<_> = results.iter().map(|(_, thread)| *thread).collect();
        assert_eq!((used.len(), used.contains(&here)), (count, true));
    }
}

#[test]
fn par_map_keeps_its_limit_and_holds_its_source_back() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    threads(2)
        .run(move || {
            let taken = std::rc::Rc::new(std::cell::Cell::new(0));
            let count = taken.clone();
            let items = (0..).inspect(move |_| count.set(count.get() + 1));
            let mut results = par_map(4, items, move |i: u32| {
                most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                (0..3).for_each(|_| yield_now());
                inside.fetch_sub(1, SeqCst);
                i
            });
            assert_eq!(taken.get(), 0);
            for i in 0..50 {
                assert_eq!(results.next().unwrap().unwrap(), i);
                assert_eq!(taken.get(), i + 4);
            }
        })
        .unwrap();
    assert!(seen.load(SeqCst) <= 4);
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn dropping_par_map_or_killing_its_consumer_kills_what_it_has_begun() {
    for kill in [false, true] {
        let ended = Arc::new(AtomicUsize::new(0));
        let seen = ended.clone();
        threads(2)
            .run(move || {
                let consumer = spawn(move || {
                    let mut results = par_map(3, 0..10, move |i| {
                        let _counted = Counted(ended.clone());
                        if i > 0 {
                            time::sleep(FOR_EVER);
                        }
                    });
                    results.next().unwrap().unwrap();
                    if kill {
                        current().remote().kill();
                        drop(results.next());
                    }
                });
                assert_eq!(consumer.join().is_ok(), !kill);
            })
            .unwrap();
        // Which of the items had begun before the kill depends on the other thread.
        assert!((1..=4).contains(&seen.load(SeqCst)), "the run ends within a minute");
    }
}

#[test]
fn panics_and_deadlines_in_par_map_stand_in_their_items_places() {
    threads(2)
        .run(|| {
            let results = par_map(3, 0..9, |i| {
                if i % 3 == 1 {
                    std::panic::resume_unwind(Box::new("quiet"));
                }
                i
            });
            let results: Vec<_> = results.map(Result::ok).collect();
            let expected: Vec<_> = (0..9).map(|i| (i % 3 != 1).then_some(i)).collect();
            assert_eq!(results, expected);
            let mut slow = par_map(3, 0..5, |_| time::sleep(FOR_EVER));
            let late = time::timeout(Duration::from_millis(2), || slow.by_ref().collect());
            let late: Vec<Result<(), JoinError>> = late;
            assert_eq!(late.len(), 5, "a result for each item");
            assert!(late.iter().all(|end| matches!(end, Err(JoinError::TimedOut))), "{late:?}");
        })
        .unwrap();
}

#[test]
fn par_map_goes_on_with_fewer_at_the_limit_and_loses_no_item() {
    let results = threads(2).tasklets_max(2).run(|| {
        let results = par_map(100, 0..200, |i| {
            yield_now();
            i * 2
        });
        results.map(Result::unwrap).collect::<Vec<u32>>()
    });
    assert!(results.unwrap().into_iter().eq((0..200).map(|i| i * 2)));
}

#[test]
fn par_map_outside_a_scheduler_says_where_it_was_called() {
    let mut results = par_map(3, 0..3, |i| i);
    let next = std::panic::AssertUnwindSafe(|| drop(results.next()));
    let said = *std::panic::catch_unwind(next).unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("task::par_map,") && said.contains("par_map.rs:"), "{said}");
    assert!(run(|| ()).is_ok());
}
