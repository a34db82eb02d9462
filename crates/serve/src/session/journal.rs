//! The access log's lines for the requests that a session has in work.
//!
//! A line says how much of the reply's body has left, which is known when all replies of a batch
//! were sent or when one could not be. So lines wait here until then; those of a session that fails
//! or is killed are written by the drop.

use std::time::SystemTime;

use overlapped::time::Instant;
use overlapped_wire::AccessRecord;

use crate::Connection;
use crate::watch::Line;

/// Lines that wait, and the request that is being answered.
pub(super) struct Journal<'c> {
    connection: &'c Connection,
    /// `None`: there is no access log.
    record: Option<AccessRecord>,
    begun: Option<Begun>,
    answered: Vec<Answered>,
}

/// A request in work.
struct Begun {
    now: SystemTime,
    at: Instant,
    /// The place where its reply's body begins, counted in bytes of the connection.
    body: u64,
}

struct Answered {
    line: Line,
    body: u64,
    end: u64,
}

impl<'c> Journal<'c> {
    pub(super) fn new(connection: &'c Connection) -> Journal<'c> {
        let record = connection.venue().log.is_some().then(AccessRecord::default);
        Journal { connection, record, begun: None, answered: Vec::new() }
    }

    /// For what answers.
    pub(super) fn record(&mut self) -> Option<&mut AccessRecord> {
        self.record.as_mut()
    }

    /// A request is to be answered, if that was not said before.
    pub(super) fn begin(&mut self, now: SystemTime) {
        if self.record.is_some() && self.begun.is_none() {
            self.begun = Some(Begun { now, at: Instant::now(), body: u64::MAX });
        }
    }

    /// Its reply comes behind `waiting` bytes that are not sent yet.
    pub(super) fn reply(&mut self, waiting: usize) {
        if let (Some(begun), Some(record)) = (&mut self.begun, &self.record) {
            begun.body = self.connection.sent() + (waiting + record.head_bytes) as u64;
        }
    }

    /// It has been answered: `waiting` bytes are not sent yet. `None`: its reply broke off.
    pub(super) fn end(&mut self, waiting: Option<usize>) {
        let (Some(log), Some(record)) = (&self.connection.venue().log, &mut self.record) else {
            return;
        };
        let Some(Begun { now, at, body }) = self.begun.take() else { return };
        let line = log.line(self.connection.peer(), now, record, at.elapsed());
        let end = waiting.map_or(u64::MAX, |waiting| self.connection.sent() + waiting as u64);
        self.answered.push(Answered { line, body, end });
        record.request.clear();
        record.status = None;
        record.fields.clear();
        record.head_bytes = 0;
    }

    /// A request of which only `rest` has come.
    pub(super) fn break_off(&mut self, now: SystemTime, rest: &[u8]) {
        let Some(record) = &mut self.record else { return };
        let line = rest.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty());
        let Some(line) = line else { return };
        record.request = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]).into_owned();
        self.begin(now);
        self.end(None);
    }

    /// Everything has been sent, or nothing will be any more.
    pub(super) fn write(&mut self) {
        let Some(log) = &self.connection.venue().log else { return };
        let sent = self.connection.sent();
        let lines = self
            .answered
            .drain(..)
            .map(|Answered { line, body, end }| (line, end.min(sent).saturating_sub(body)));
        log.write(lines);
    }
}

/// The most bytes that are noted of a first line that never ended.
const LINE_MAX: usize = 8 << 10;

impl Drop for Journal<'_> {
    fn drop(&mut self) {
        self.end(None);
        if !self.answered.is_empty() {
            self.write();
        }
    }
}
