//! Errors of tasklets in functions that return `io::Result`.

mod support;

use std::io::{self, ErrorKind};

use overlapped::task::{TaskletGroup, WaitError, no_switch, pause};
use overlapped::time::{Duration, sleep, timeout};
use overlapped::{
    Builder, Channel, Config, JoinError, RecvError, RunError, Select, SpawnError, run, run_until,
    spawn,
};

const FOR_EVER: Duration = Duration::from_secs(60);

#[test]
fn errors_of_run_become_io_errors_that_keep_the_original() {
    fn nested() -> io::Result<u8> {
        Ok(run(|| 1)?)
    }
    let error = run(nested).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(matches!(error.downcast::<RunError>(), Ok(RunError::Nested)));
    fn stuck() -> io::Result<()> {
        Ok(run(pause)?)
    }
    let error = stuck().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    assert!(error.to_string().contains("deadlock"), "{error}");
    let refused = io::Error::from(ErrorKind::PermissionDenied);
    assert_eq!(io::Error::from(RunError::Port(refused)).kind(), ErrorKind::PermissionDenied);
    assert_eq!(io::Error::from(RunError::Killed).kind(), ErrorKind::Other);
}

#[test]
fn errors_of_join_become_io_errors_that_keep_the_original() {
    fn join(f: impl FnOnce() -> u8 + 'static) -> io::Result<u8> {
        Ok(spawn(f).join()?)
    }
    run_until(|| {
        assert_eq!(join(|| 1).unwrap(), 1);
        let error = join(|| support::quiet_panic("boom")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.to_string().contains("boom"), "{error}");
        match error.downcast::<JoinError>() {
            Ok(JoinError::Panicked(payload)) => assert_eq!(payload.message(), Some("boom")),
            other => panic!("{other:?}"),
        }
        let sleeper = || {
            sleep(FOR_EVER);
            1
        };
        let sleeps = || join(sleeper).unwrap_err().kind();
        assert_eq!(timeout(Duration::ZERO, sleeps), ErrorKind::TimedOut);
        assert_eq!(no_switch(sleeps), ErrorKind::WouldBlock);
        let killed = spawn(|| sleep(FOR_EVER));
        killed.kill();
        assert_eq!(io::Error::from(killed.join().unwrap_err()).kind(), ErrorKind::Other);
    })
    .unwrap();
    let stuck = run_until(|| spawn(pause).join().unwrap_err()).unwrap();
    assert_eq!(io::Error::from(stuck).kind(), ErrorKind::Deadlock);
}

#[test]
fn errors_of_spawn_become_io_errors_that_keep_the_original() {
    fn start() -> io::Result<()> {
        Builder::new().spawn(|| ())?;
        Ok(())
    }
    let error = start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(matches!(error.downcast::<SpawnError>(), Ok(SpawnError::NoScheduler)));
    let full = Config::new().tasklets_max(1).run(start).unwrap();
    assert_eq!(full.unwrap_err().kind(), ErrorKind::QuotaExceeded);
    run_until(|| {
        let mut group = TaskletGroup::new(1);
        group.spawn(|| sleep(FOR_EVER)).unwrap();
        let late = timeout(Duration::ZERO, || group.spawn(|| ()));
        assert_eq!(late, Err(SpawnError::Wait(WaitError::TimedOut)));
        assert_eq!(io::Error::from(late.unwrap_err()).kind(), ErrorKind::TimedOut);
        let refused = no_switch(|| group.spawn(|| ()));
        assert_eq!(io::Error::from(refused.unwrap_err()).kind(), ErrorKind::WouldBlock);
    })
    .unwrap();
}

#[test]
fn errors_of_channels_and_selects_become_io_errors_that_keep_the_original() {
    fn recv(channel: &Channel<u8>) -> io::Result<u8> {
        Ok(channel.recv()?)
    }
    run_until(|| {
        let channel = Channel::new();
        assert_eq!(no_switch(|| recv(&channel).unwrap_err().kind()), ErrorKind::WouldBlock);
        let late = timeout(Duration::ZERO, || recv(&channel)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let stuck = recv(&channel).unwrap_err();
        assert_eq!(stuck.kind(), ErrorKind::Deadlock);
        assert!(matches!(stuck.downcast(), Ok(RecvError::Deadlock(_))));
        channel.close();
        assert_eq!(recv(&channel).unwrap_err().kind(), ErrorKind::BrokenPipe);
        let empty = io::Error::from(Select::<()>::new().wait().unwrap_err());
        assert_eq!(empty.kind(), ErrorKind::InvalidInput);
        assert!(matches!(empty.downcast(), Ok(WaitError::Empty)));
        assert_eq!(io::Error::from(WaitError::TimedOut).kind(), ErrorKind::TimedOut);
    })
    .unwrap();
}
