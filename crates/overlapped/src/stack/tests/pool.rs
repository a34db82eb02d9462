use std::time::Duration;

use super::super::{GUARD, Guards, Pool, SIZE_DEFAULT, Stack, StackConfig, TakeError};
use super::{case, child};
use crate::sys::memory;
use corosensei::stack::Stack as _;
use corosensei::{Coroutine, CoroutineResult};

fn config(max: usize) -> StackConfig {
    StackConfig { size: SIZE_DEFAULT, guards: Guards::Auto, max }
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Returns a field of /proc/self/status, in KiB.
fn status_kib(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn is_mapped(address: usize) -> bool {
    let page = std::ptr::with_exposed_provenance_mut(address & !4095);
    let mut flag = 0u8;
    // SAFETY: mincore writes one byte for one page and only looks at the address.
    unsafe { libc::mincore(page, 4096, &mut flag) == 0 }
}

/// The processor time of this thread: the machine may be shared.
#[derive(Clone, Copy)]
struct Instant(Duration);

impl Instant {
    fn now() -> Instant {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is writable.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
        Instant(Duration::new(now.tv_sec as u64, now.tv_nsec as u32))
    }

    fn elapsed(self) -> Duration {
        Instant::now().0 - self.0
    }
}

/// Writes one byte, `below` bytes under the base.
fn touch(stack: &Stack, below: usize) {
    let address = stack.base().get() - below;
    assert!(stack.usable().contains(&address));
    // SAFETY: the address lies in the usable part of a stack that nothing else uses.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
}

#[test]
fn the_stack_given_back_last_is_taken_first() {
    let mut pool = Pool::new(config(8));
    let (a, b) = (pool.take(None).unwrap(), pool.take(None).unwrap());
    let (base_a, base_b) = (a.base(), b.base());
    assert_ne!(base_a, base_b);
    pool.give(a);
    pool.give(b);
    assert_eq!((pool.in_use(), pool.pooled()), (0, 2));
    assert_eq!(pool.take(None).unwrap().base(), base_b);
    assert_eq!(pool.take(None).unwrap().base(), base_a);
    assert_eq!((pool.in_use(), pool.pooled()), (2, 0));
}

#[test]
fn sizes_are_rounded_up_to_powers_of_two() {
    let mut pool = Pool::new(config(8));
    for (asked, size) in [(0, 128), (128, 128), (129, 256), (1000, 1024), (1 << 20, 1 << 20)] {
        let stack = pool.take(Some(asked * 1024)).unwrap();
        assert_eq!(stack.size(), size * 1024);
        assert_eq!(stack.guard(), stack.limit().get()..stack.limit().get() + GUARD);
        assert_eq!(stack.usable(), stack.guard().end..stack.base().get());
        assert!(stack.usable().len() >= size * 1024 - GUARD - 1536);
        assert_eq!(stack.base().get() % 64, 0);
        touch(&stack, 1);
        touch(&stack, stack.usable().len());
        pool.give(stack);
    }
    for absurd in [(1 << 40) + 1, usize::MAX] {
        assert!(matches!(pool.take(Some(absurd)), Err(TakeError::Os(_))));
    }
}

#[test]
fn stacks_of_all_sizes_are_disjoint() {
    let mut pool = Pool::new(config(1000));
    let mut ranges = Vec::new();
    for index in 0..600 {
        let stack = pool.take([None, Some(1 << 17), Some(1 << 19)][index % 3]).unwrap();
        ranges.push(stack.limit().get()..stack.limit().get() + stack.size());
    }
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

#[test]
fn at_the_maximum_take_fails_until_a_stack_is_given_back() {
    let mut pool = Pool::new(config(2));
    let (a, b) = (pool.take(None).unwrap(), pool.take(Some(1 << 20)).unwrap());
    assert!(matches!(pool.take(None), Err(TakeError::Limit)));
    pool.give(b);
    let c = pool.take(None).unwrap();
    pool.give(a);
    // A leaked stack keeps its memory, so it still counts.
    drop(c);
    let _d = pool.take(None).unwrap();
    assert!(matches!(pool.take(None), Err(TakeError::Limit)));
    assert!(matches!(Pool::new(config(0)).take(None), Err(TakeError::Os(_))));
}

#[test]
fn only_one_stack_is_lent_beyond_the_maximum() {
    let mut pool = Pool::new(config(1));
    let a = pool.take(None).unwrap();
    let beyond = pool.take_beyond().unwrap();
    assert!(matches!(pool.take_beyond(), Err(TakeError::Limit)));
    pool.give(a);
    assert!(matches!(pool.take(None), Err(TakeError::Limit)));
    pool.give(beyond);
    let _a = pool.take(None).unwrap();
    let _beyond = pool.take_beyond().unwrap();
}

#[test]
fn without_address_space_there_is_a_limit_and_then_an_error() {
    let test = "without_address_space_there_is_a_limit_and_then_an_error";
    if case().is_none() {
        let output = child(module_path!(), test, "child");
        return assert!(output.status.success(), "{output:?}");
    }
    let room = status_kib("VmSize") as u64 * 1024 + (4 << 20);
    let limit = libc::rlimit { rlim_cur: room, rlim_max: room };
    // SAFETY: the structure is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let mut pool = Pool::new(config(1000));
    let mut stacks = Vec::with_capacity(1000);
    let error = loop {
        match pool.take(None) {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error,
        }
    };
    // Slabs shrink to the room that is left.
    assert!(matches!(error, TakeError::Limit), "{error:?}");
    assert!((8..=16).contains(&stacks.len()), "{}", stacks.len());
    pool.give(stacks.pop().unwrap());
    stacks.push(pool.take(None).unwrap());
    assert!(matches!(pool.take(Some(1 << 30)), Err(TakeError::Limit)));
    stacks.drain(..).for_each(|stack| pool.give(stack));
    assert!(matches!(pool.take(Some(1 << 30)), Err(TakeError::Os(_))));
}

#[test]
fn dropping_the_pool_unmaps_only_slabs_whose_stacks_came_back() {
    let test = "dropping_the_pool_unmaps_only_slabs_whose_stacks_came_back";
    if case().is_none() {
        // Alone in a process, so that nothing else maps memory at the addresses that are checked.
        let output = child(module_path!(), test, "child");
        return assert!(output.status.success(), "{output:?}");
    }
    let mut pool = Pool::new(config(100));
    let stacks: Vec<Stack> = (0..20).map(|_| pool.take(None).unwrap()).collect();
    // 16 in the first slab, 4 in the second.
    let (first, last) = (stacks[0].base().get() - 1, stacks[19].base().get() - 1);
    for stack in stacks {
        pool.give(stack);
    }
    assert!(is_mapped(first) && is_mapped(last));
    let forgotten = pool.take(None).unwrap();
    assert_eq!(forgotten.base().get() - 1, last);
    drop(forgotten);
    drop(pool);
    assert!(!is_mapped(first));
    assert!(is_mapped(last));
}

#[test]
fn a_stack_outlives_its_pool() {
    let mut pool = Pool::new(config(4));
    let (a, b) = (pool.take(None).unwrap(), pool.take(None).unwrap());
    pool.give(b);
    drop(pool);
    touch(&a, 4000);
    assert!(a.used() > 0);
}

#[test]
#[should_panic(expected = "a stack of another pool")]
fn a_stack_of_another_pool_is_refused() {
    let (mut one, mut two) = (Pool::new(config(4)), Pool::new(config(4)));
    let _ = two.take(None).unwrap();
    two.give(one.take(None).unwrap());
}

#[test]
fn used_is_the_deepest_page_and_survives_reuse() {
    let mut pool = Pool::new(config(4));
    let stack = pool.take(None).unwrap();
    assert_eq!(stack.used(), 0);
    touch(&stack, 1);
    assert!((1..=4096).contains(&stack.used()));
    touch(&stack, 100_000);
    let used = stack.used();
    assert!((100_000..104_096).contains(&used), "{used}");
    pool.give(stack);
    assert_eq!(pool.take(None).unwrap().used(), used);
}

#[test]
fn used_sees_a_page_beyond_the_first_chunk_of_a_large_stack() {
    let mut pool = Pool::new(config(4));
    let stack = pool.take(Some(16 << 20)).unwrap();
    touch(&stack, 5_000_000);
    assert!((5_000_000..5_004_096).contains(&stack.used()));
}

#[test]
fn guards_are_unreadable_and_usable_parts_are_readable() {
    let mut pool = Pool::new(config(4));
    let stack = pool.take(None).unwrap();
    assert!(
        !memory::is_readable(stack.guard().start) && !memory::is_readable(stack.guard().end - 8)
    );
    assert!(
        memory::is_readable(stack.usable().start) && memory::is_readable(stack.usable().end - 8)
    );
}

#[test]
fn trim_keeps_hot_stacks_and_frees_the_pages_of_idle_ones() {
    let mut pool = Pool::new(config(1000));
    let stacks: Vec<Stack> = (0..900).map(|_| pool.take(None).unwrap()).collect();
    for stack in stacks {
        touch(&stack, 1);
        pool.give(stack);
    }
    // The free list was empty since the last trim, so every stack counts as used.
    assert!(!pool.trim());
    let warm: Vec<Stack> = (0..100).map(|_| pool.take(None).unwrap()).collect();
    assert!(warm.iter().all(|stack| stack.used() > 0));
    for stack in warm {
        pool.give(stack);
    }
    // 800 were idle, and each call trims 128.
    let calls = (0..10).position(|_| !pool.trim()).unwrap() + 1;
    assert_eq!(calls, 7);
    let stacks: Vec<Stack> = (0..900).map(|_| pool.take(None).unwrap()).collect();
    assert!(stacks[..100].iter().all(|stack| stack.used() > 0));
    assert!(stacks[100..].iter().all(|stack| stack.used() == 0));
    // A trimmed stack still has its guard, and works.
    for stack in stacks {
        touch(&stack, 1);
        pool.give(stack);
    }
    // All but the hot ones are trimmed after being idle for two trims.
    while pool.trim() {}
    while pool.trim() {}
    let stacks: Vec<Stack> = (0..900).map(|_| pool.take(None).unwrap()).collect();
    assert_eq!(stacks.iter().filter(|stack| stack.used() > 0).count(), 64);
}

#[test]
fn a_coroutine_runs_on_a_pooled_stack_and_gives_it_back() {
    let mut pool = Pool::new(config(4));
    for round in 0..3 {
        let stack = pool.take(None).unwrap();
        let mut coroutine =
            Coroutine::<u64, u64, u64, Stack>::with_stack(stack, |yielder, first| {
                let second = yielder.suspend(first + 1);
                let frame = std::hint::black_box([second; 4096]);
                frame[4095] * 2
            });
        assert!(matches!(coroutine.resume(round), CoroutineResult::Yield(x) if x == round + 1));
        assert!(matches!(coroutine.resume(21), CoroutineResult::Return(42)));
        let stack = coroutine.into_stack();
        assert!(stack.used() > 32 * 1024);
        pool.give(stack);
    }
    assert_eq!(pool.pooled(), 1);
}

#[test]
fn a_hundred_thousand_guarded_stacks_are_few_mappings() {
    let test = "a_hundred_thousand_guarded_stacks_are_few_mappings";
    if case().is_none() {
        // Alone: without MADV_GUARD_INSTALL it would use up the mappings of the other tests.
        let output = child(module_path!(), test, "child");
        return assert!(output.status.success(), "{output:?}");
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(13)) {
        return println!("skipped: Linux {release} has no MADV_GUARD_INSTALL");
    }
    let before = mappings();
    let mut pool = Pool::new(config(100_000));
    let stacks: Vec<Stack> = (0..100_000).map(|_| pool.take(None).unwrap()).collect();
    let added = mappings().saturating_sub(before);
    assert!(added < 1000, "{added} mappings");
    for stack in stacks {
        pool.give(stack);
    }
}

#[test]
#[ignore = "takes 5 GiB and a few seconds; run it alone, in release"]
fn a_million_stacks_cost_less_than_five_kib_each() {
    const COUNT: usize = 1_000_000;
    let mut pool = Pool::new(config(COUNT));
    let mut stacks = Vec::with_capacity(COUNT);
    stacks.resize_with(COUNT, || None);
    let before = (status_kib("VmRSS"), status_kib("VmPTE"), mappings());
    let start = Instant::now();
    stacks.iter_mut().for_each(|slot| *slot = Some(pool.take(None).unwrap()));
    let taken = start.elapsed();
    stacks.iter().flatten().for_each(|stack| touch(stack, 1));
    let touched = start.elapsed() - taken;
    let rss = status_kib("VmRSS") - before.0;
    let tables = status_kib("VmPTE") - before.1;
    let each = (rss + tables) as f64 / COUNT as f64;
    println!(
        "take {:.0} ns, first touch {:.0} ns, RSS {:.2} + tables {:.2} = {each:.2} KiB per stack, \
         {} mappings",
        taken.as_nanos() as f64 / COUNT as f64,
        touched.as_nanos() as f64 / COUNT as f64,
        rss as f64 / COUNT as f64,
        tables as f64 / COUNT as f64,
        mappings() - before.2,
    );
    assert!(each <= 5.0);
    let start = Instant::now();
    stacks.into_iter().flatten().for_each(|stack| pool.give(stack));
    println!("give {:.1} ns", start.elapsed().as_nanos() as f64 / COUNT as f64);
    let start = Instant::now();
    pool.trim();
    while pool.trim() {}
    println!("trim {:.0} ns each", start.elapsed().as_nanos() as f64 / COUNT as f64);
    let start = Instant::now();
    drop(pool);
    println!(
        "drop {:?}, RSS left {} KiB",
        start.elapsed(),
        status_kib("VmRSS").saturating_sub(before.0)
    );
}

#[test]
#[ignore = "a measurement; run it in release"]
fn cost_of_take_and_give() {
    const ROUNDS: u32 = 20_000_000;
    let mut pool = Pool::new(config(1000));
    let warm: Vec<Stack> = (0..64).map(|_| pool.take(None).unwrap()).collect();
    warm.into_iter().for_each(|stack| pool.give(stack));
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let stack = std::hint::black_box(pool.take(None).unwrap());
        pool.give(stack);
    }
    println!("take + give: {:.2} ns", start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    let start = Instant::now();
    for _ in 0..ROUNDS / 60 {
        let lent: [Stack; 60] = std::array::from_fn(|_| pool.take(None).unwrap());
        std::hint::black_box(lent).into_iter().for_each(|stack| pool.give(stack));
    }
    println!("60 takes, 60 gives: {:.2} ns a pair", start.elapsed().as_nanos() as f64 / 20e6);
}
