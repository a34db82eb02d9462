//! First steps.
use overlapped::*;
use std::io::{Read, Write};

#[test]
fn joins() {
    assert_eq!(run(|| spawn(|| 42).join().unwrap()).unwrap(), 42);
}

#[test]
fn channels() {
    run(|| {
        let c = Channel::new();
        let d = c.clone();
        let t = spawn(move || {
            for i in 0..10 {
                d.send(i).unwrap();
            }
        });
        for i in 0..10 {
            assert_eq!(c.recv().unwrap(), i);
        }
        t.join().unwrap();
        assert!(matches!(c.recv(), Err(RecvError::Deadlock(_))));
    })
    .unwrap();
}

#[test]
fn echo() {
    run_until(|| {
        let l = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let a = l.local_addr().unwrap();
        spawn(move || {
            for s in l.incoming() {
                let mut s = s.unwrap();
                spawn(move || {
                    let mut b = [0; 4096];
                    loop {
                        let n = s.read(&mut b).unwrap();
                        if n == 0 {
                            break;
                        }
                        s.write_all(&b[..n]).unwrap();
                    }
                });
            }
        });
        scope(|s| {
            for i in 0..100u32 {
                s.spawn(move || {
                    let mut c = net::TcpStream::connect(a).unwrap();
                    for _ in 0..10 {
                        c.write_all(&i.to_le_bytes()).unwrap();
                        let mut b = [0; 4];
                        c.read_exact(&mut b).unwrap();
                        assert_eq!(b, i.to_le_bytes());
                    }
                });
            }
        });
    })
    .unwrap();
}

#[test]
fn kill_in_recv() {
    run(|| {
        let l = net::TcpListener::bind("localhost:0").unwrap();
        let t = spawn(move || {
            l.accept().unwrap();
        });
        yield_now();
        t.kill();
        assert!(matches!(t.join(), Err(JoinError::Killed)));
        println!("{:?}", task::stats());
        println!("{:#}", task::dump());
    })
    .unwrap();
}
