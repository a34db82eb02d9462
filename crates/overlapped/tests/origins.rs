//! The origin of tasklets: panics, deadlock reports and dumps name the call that spawned them.

mod support;

use std::panic::Location;

use overlapped::task::{self, TaskletGroup, Waiter, pause};
use overlapped::{Builder, Config, JoinError, RunError, run, scope, spawn, thread, yield_now};

/// The line of the call.
#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

fn is_at(waiter: &Waiter, line: u32) {
    assert_eq!((waiter.spawned_at.file(), waiter.spawned_at.line()), (file!(), line), "{waiter}");
}

/// Returns the line of a dump for the tasklet that has just been spawned.
fn youngest() -> Waiter {
    task::dump().lines().last().expect("the caller is one").tasklet.clone()
}

#[test]
fn every_way_to_spawn_records_the_line_of_its_call() {
    run(|| {
        drop(spawn(yield_now));
        is_at(&youngest(), line() - 1);
        drop(Builder::new().name("named").spawn(yield_now));
        is_at(&youngest(), line() - 1);
        scope(|s| {
            drop(s.spawn(yield_now));
            is_at(&youngest(), line() - 1);
        });
        drop(thread::spawn(yield_now));
        is_at(&youngest(), line() - 1);
        drop(thread::Builder::new().spawn(yield_now));
        is_at(&youngest(), line() - 1);
        thread::scope(|s| {
            drop(s.spawn(yield_now));
            is_at(&youngest(), line() - 1);
        });
        let mut group = TaskletGroup::new(2);
        group.spawn(yield_now).unwrap();
        is_at(&youngest(), line() - 1);
        drop(group);
        let seen = |()| youngest();
        let mut seen = task::map(1, [()], seen);
        is_at(&seen.next().unwrap().unwrap(), line() - 1);
        let mut seen = task::map_unordered(1, [()], |()| youngest());
        is_at(&seen.next().unwrap().unwrap(), line() - 1);
        let placed = task::place(youngest);
        is_at(&placed.join().unwrap(), line() - 1);
        let placed = task::place_on_each(|_| youngest()).unwrap();
        let from = line() - 1;
        placed.into_iter().for_each(|placed| is_at(&placed.join().unwrap(), from));
        let spawner = task::spawner().unwrap();
        let placed = spawner.spawn(youngest).unwrap();
        is_at(&placed.join().unwrap(), line() - 1);
    })
    .unwrap();
}

#[test]
fn the_first_tasklet_comes_from_the_call_of_run() {
    is_at(&run(youngest).unwrap(), line());
    is_at(&overlapped::run_until(youngest).unwrap(), line());
    is_at(&Config::new().run(youngest).unwrap(), line());
    is_at(&Config::new().run_until(youngest).unwrap(), line());
}

#[test]
fn deadlock_reports_name_the_line_of_the_spawn_too() {
    let ended = run(|| drop(spawn(pause)));
    let from = line() - 1;
    let Err(RunError::Deadlock(report)) = ended else { panic!("{ended:?}") };
    let text = report.to_string();
    assert!(text.contains(&format!(": paused, spawned at {}:{from}:", file!())), "{text}");
}

#[test]
fn a_panic_in_a_tasklet_names_the_tasklet() {
    const NAME: &str = "a_panic_in_a_tasklet_names_the_tasklet";
    if support::asked().is_some() {
        std::panic::set_hook(Box::new(|info| eprintln!("the program's hook: {info}")));
        let ended = run(|| {
            let named = Builder::new().name("worker").spawn(|| panic!("one")).unwrap();
            assert!(matches!(named.join(), Err(JoinError::Panicked(_))));
            drop(std::thread::spawn(|| panic!("two")).join());
            drop(run(|| ()));
            assert!(spawn(|| panic!("three")).join().is_err());
        });
        ended.unwrap();
        return drop(std::panic::catch_unwind(|| run(|| panic!("four"))));
    }
    let output = support::child(NAME, "child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let notes = said.lines().filter(|line| line.starts_with("note: that was "));
    let notes: Vec<_> = notes.map(|note| note.replace(file!(), "here")).collect();
    assert_eq!(notes.len(), 2, "those of threads and of the first tasklet need none: {said}");
    assert!(notes[0].contains("tasklet 2 'worker', spawned at here:"), "{said}");
    assert!(notes[1].contains("tasklet 3, spawned at here:"), "{said}");
    let (hook, note) = (said.find("one").unwrap(), said.find("note: ").unwrap());
    assert!(said.starts_with("the program's hook") && hook < note, "{said}");
}

/// Prints and returns: a panic hook must not end a program that goes on after a panic.
#[test]
fn a_panic_is_survived_where_standard_error_is_gone() {
    const NAME: &str = "a_panic_is_survived_where_standard_error_is_gone";
    if support::asked().is_some() {
        run(|| {
            let (rx, tx) = std::io::pipe().unwrap();
            drop(rx);
            // SAFETY: the descriptor is standard error's from now on.
            assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&tx), 2) }, 2);
            assert!(spawn(|| panic!("unheard")).join().is_err());
        })
        .unwrap();
        return println!("SURVIVED");
    }
    let output = support::child(NAME, "child");
    assert!(output.status.success(), "{}: {}", output.status, support::said(&output));
    assert!(support::said(&output).contains("SURVIVED"));
}
