//! overlapped: two schedulers of one run, or one and a plain thread; its channels have std's names.

use super::Wake;
use crate::wake::Asker;
use ::overlapped::port::PortChoice;
use std::time::Duration;

pub(crate) struct Overlapped {
    #[allow(dead_code)]
    pub(crate) port: PortChoice,
}

impl Wake for Overlapped {
    fn wake(&self, _asker: Asker, _in_flight: u64, _n: u64) -> Result<Duration, String> {
        Err("its channels between threads are not there yet".into())
    }

    fn remark(&self) -> &'static str {
        "overlapped::sync::mpsc::channel"
    }
}
