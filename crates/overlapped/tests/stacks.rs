//! Stacks at their limits: overflow, and a hundred thousand of them.

mod support;

use overlapped::task::{self, Guards, pause};
use overlapped::{Builder, Channel, Config, run, spawn, yield_now};
use support::in_order;

/// Recurses until the stack ends.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 32]);
    if std::hint::black_box(depth) == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + frame[(depth % 32) as usize]
}

/// A child: a neighbour's stack holds a canary and checks it from another thread's point of view,
/// in memory shared with the parent through a file.
fn overflow(path: &str) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let (begin, begun) = std::sync::mpsc::channel();
    run(|| {
        drop(
            Builder::new()
                .name("neighbour")
                .spawn(move || {
                    let canary = std::hint::black_box([0x5au8; 1024]);
                    let address = canary.as_ptr().addr();
                    // This tasklet is parked for good, so the thread never reads a freed stack.
                    std::thread::spawn(move || {
                        let canary: *const [u8; 1024] = std::ptr::with_exposed_provenance(address);
                        loop {
                            // SAFETY: the neighbour is parked for as long as the process lives.
                            let seen = unsafe { canary.read_volatile() };
                            let intact = seen.iter().all(|&byte| byte == 0x5a);
                            file.write_all_at(if intact { b"intact" } else { b"broken" }, 0)
                                .unwrap();
                            let _ = begin.send(());
                        }
                    });
                    let _ = canary.as_ptr().expose_provenance();
                    pause();
                    std::hint::black_box(&canary);
                })
                .unwrap(),
        );
        yield_now();
        begun.recv().unwrap();
        let culprit = Builder::new().name("culprit").spawn(|| recurse(0)).unwrap();
        drop(culprit.join());
    })
    .unwrap();
}

#[test]
fn s1_an_overflow_ends_the_process_naming_the_tasklet() {
    use std::os::unix::process::ExitStatusExt;
    if let Some(path) = support::asked() {
        return overflow(&path);
    }
    let children = support::rounds(8, 1_000);
    for child in 0..children {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let output = support::child("s1_an_overflow_ends_the_process_naming_the_tasklet", path);
        let said = support::said(&output);
        let signal = output.status.signal();
        assert!(matches!(signal, Some(libc::SIGSEGV | libc::SIGABRT)), "child {child}: {said}");
        assert!(said.contains("'culprit'"), "child {child} does not name the tasklet: {said}");
        let size = "it has used all 192 KiB (256 with the guard)";
        assert!(said.contains(size), "child {child} does not name the size: {said}");
        let canary = std::fs::read_to_string(path).unwrap();
        assert_eq!(canary, "intact", "child {child}: the neighbour's stack");
    }
    support::report("S1", children, "children overflowed, each named the tasklet, canaries intact");
}

#[test]
fn s3_many_parked_tasklets_need_few_mappings() {
    // Mappings are counted for the whole process.
    let _alone = in_order();
    let parked = support::rounds(20_000, 100_000);
    let before = support::mappings();
    let most = run(|| {
        let gate = Channel::<()>::new();
        for _ in 0..parked {
            let gate = gate.clone();
            drop(spawn(move || drop(gate.recv())));
        }
        yield_now();
        assert_eq!(gate.balance(), -parked.cast_signed(), "all are parked");
        let now = support::mappings();
        assert_eq!(task::stats().unwrap().waiting_for_stack, 0);
        gate.close();
        now
    })
    .unwrap();
    let new = most.saturating_sub(before);
    let by_ranges = new < 1_000;
    // Before Linux 6.13 there are no guard regions, and two mappings for each stack.
    assert!(by_ranges || new >= parked, "{new} new mappings");
    support::report("S3", parked, &format!("parked tasklets, {new} new mappings"));
}

#[test]
fn s3_with_mprotect_tasklets_beyond_the_limit_wait_for_stacks_and_run() {
    let _alone = in_order();
    let tasklets = support::rounds(40_000, 100_000);
    let (parked, starved, ran) = Config::new()
        .guards(Guards::Mprotect)
        .run(|| {
            let gate = Channel::<()>::new();
            let done = std::rc::Rc::new(std::cell::Cell::new(0));
            for _ in 0..tasklets {
                let (gate, done) = (gate.clone(), done.clone());
                drop(spawn(move || {
                    drop(gate.recv());
                    done.set(done.get() + 1);
                }));
            }
            yield_now();
            let parked = gate.balance().unsigned_abs();
            let starved = task::stats().unwrap().waiting_for_stack;
            assert_eq!(parked + starved, tasklets, "each is parked or waits for a stack");
            gate.close();
            while done.get() < tasklets {
                yield_now();
            }
            (parked, starved, done.get())
        })
        .unwrap();
    assert!(starved > 0, "mprotect ran into no limit; vm.max_map_count is large here");
    support::report(
        "S3",
        ran,
        &format!("with mprotect: {parked} parked, {starved} waited, all ran"),
    );
}

#[test]
fn stacks_max_is_a_limit_and_every_tasklet_gets_a_turn() {
    let ended = Config::new().stacks_max(5).run(|| {
        let most = std::rc::Rc::new(std::cell::Cell::new(0));
        let tasklets: Vec<_> = (0..100)
            .map(|i| {
                let most = most.clone();
                spawn(move || {
                    yield_now();
                    most.set(most.get().max(task::stats().unwrap().stacks));
                    i
                })
            })
            .collect();
        let sum: u32 = tasklets.into_iter().map(|tasklet| tasklet.join().unwrap()).sum();
        (sum, most.get())
    });
    assert_eq!(ended.unwrap(), (4950, 5));
}

#[test]
fn a_tasklet_gets_the_stack_it_asked_for() {
    run(|| {
        let small = Builder::new().stack_size(1).spawn(|| 1).unwrap();
        let large = Builder::new().stack_size(8 << 20);
        let deep = large.spawn(|| {
            #[inline(never)]
            fn deep(left: usize) -> usize {
                let frame = std::hint::black_box([left; 128]);
                if left == 0 { 0 } else { deep(left - 1) + frame[1] / left }
            }
            deep(1_500)
        });
        assert_eq!((small.join().unwrap(), deep.unwrap().join().unwrap()), (1, 1_500));
    })
    .unwrap();
}

#[test]
fn a_child_of_fork_sees_no_scheduler() {
    let status = run(|| {
        assert!(overlapped::task::in_tasklet());
        // SAFETY: the child calls nothing but what is async-signal-safe: it reads a thread-local
        // and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(overlapped::task::in_tasklet())) }
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(overlapped::task::in_tasklet(), "the parent goes on as before");
        status
    });
    assert_eq!(status.unwrap(), 0);
}
