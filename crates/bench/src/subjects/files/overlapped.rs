//! overlapped::fs, once for each port: std's names.

use super::Files;
use ::overlapped::port::PortChoice;

pub(crate) struct Overlapped {
    #[allow(dead_code)]
    pub(crate) port: PortChoice,
}

impl Files for Overlapped {}
