//! Twenty downloads by ureq over its own sockets, first one after the other, then all together.

use std::time::{Duration, Instant};

const DOWNLOADS: usize = 20;

/// Downloads in both ways from the server on `port` of this machine, and returns their times.
pub(crate) fn both_ways(port: u64) -> Result<[Duration; 2], String> {
    let url = format!("http://127.0.0.1:{port}/");
    let download = || -> Result<(), String> {
        let answer = ureq::get(&url).call().and_then(|mut answer| answer.body_mut().read_to_vec());
        answer.map(drop).map_err(|error| error.to_string())
    };
    overlapped_install::run(|| {
        let begin = Instant::now();
        (0..DOWNLOADS).try_for_each(|_| download())?;
        let serial = begin.elapsed();
        let begin = Instant::now();
        overlapped_install::scope(|scope| {
            let all: Vec<_> = (0..DOWNLOADS).map(|_| scope.spawn(download)).collect();
            all.into_iter().try_for_each(|one| one.join().map_err(|error| error.to_string())?)
        })?;
        Ok([serial, begin.elapsed()])
    })
    .map_err(|error| error.to_string())?
}
