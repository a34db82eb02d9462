//! Handles outlive their runs and ports, and keep none of their resources.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use overlapped::port::{Port, PortChoice};
use overlapped::{Config, spawn, task};
use support::{open_descriptors, wait_until};

mod support;

/// Waits until as many descriptors are open as before: another thread may be about to drop the last
/// reference.
#[track_caller]
fn wait_for(before: usize, what: &str) {
    let what = format!("{before} descriptors are open: {what}");
    wait_until(&what, || open_descriptors() == before);
}

/// One handle of each kind that may be kept.
fn handles() -> Vec<Box<dyn Any>> {
    let tasklet = spawn(|| 7);
    let kept: [Box<dyn Any>; 6] = [
        Box::new(tasklet.remote()),
        Box::new(tasklet),
        Box::new(task::spawner().unwrap()),
        Box::new(task::place(|| 7)),
        Box::new(overlapped::thread::spawn(|| 7)),
        Box::new(spawn(|| ()).remote()),
    ];
    kept.into()
}

/// The only test of its program, because it counts descriptors.
#[test]
fn handles_of_runs_and_ports_that_have_ended_keep_no_descriptor_open() {
    let mut kept: Vec<Box<dyn Any>> = Vec::new();
    for choice in [PortChoice::Uring, PortChoice::Poll] {
        let before = open_descriptors();
        for _ in 0..20 {
            match Config::new().port(choice).threads(2).run(handles) {
                Ok(handles) => kept.extend(handles),
                Err(error) => eprintln!("SKIPPED: no {choice:?} here: {error}"),
            }
            if let Ok(port) = Port::open_with(choice) {
                kept.push(Box::new(port.notifier()));
            }
        }
        wait_for(before, &format!("{} handles, {choice:?}", kept.len()));
    }
    let notifiers =
        kept.iter().filter_map(|kept| kept.downcast_ref::<overlapped::port::Notifier>());
    notifiers.for_each(overlapped::port::Notifier::notify);
    a_notifier_may_be_used_while_its_port_ends();
}

fn a_notifier_may_be_used_while_its_port_ends() {
    for choice in [PortChoice::Uring, PortChoice::Poll] {
        let before = open_descriptors();
        for _ in 0..support::rounds(100, 10_000) {
            let Ok(mut port) = Port::open_with(choice) else { continue };
            let (notifier, over) = (port.notifier(), AtomicBool::new(false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Relaxed) {
                        notifier.notify();
                    }
                });
                port.wait(None, &mut Vec::new()).unwrap();
                drop(port);
                over.store(true, Relaxed);
            });
        }
        wait_for(before, &format!("{choice:?}"));
    }
}
