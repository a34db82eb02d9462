//! The access log's lines for the requests that a session is answering.
//!
//! A line says how much of the reply's body was sent. That is known when all replies of a batch
//! were sent, or when one could not be. So lines wait here until then; dropping them writes those
//! of a session that fails or is killed.

use std::time::SystemTime;

use overlapped::time::Instant;
use overlapped_wire::AccessRecord;

use super::Connection;
use super::end::first_line;
use crate::telemetry::AccessLine;

/// The maximum number of bytes that are logged of a first line that never ended.
const LINE_MAX: usize = 8 << 10;

/// Lines that wait, and the request that is being answered.
pub(super) struct PendingLines<'c> {
    connection: &'c Connection,
    /// `None` without an access log.
    record: Option<AccessRecord>,
    current: Option<Current>,
    answered: Vec<Answered>,
}

/// The request that is being answered.
struct Current {
    now: SystemTime,
    begin: Instant,
    /// The position of its reply's body among the connection's bytes.
    body: u64,
}

/// A request that was answered, with the positions of its reply's body.
struct Answered {
    line: AccessLine,
    body: u64,
    end: u64,
}

impl<'c> PendingLines<'c> {
    pub(super) fn new(connection: &'c Connection) -> PendingLines<'c> {
        let record = connection.context().log.is_some().then(AccessRecord::default);
        PendingLines { connection, record, current: None, answered: Vec::new() }
    }

    /// Returns the record that the protocol fills in.
    pub(super) fn record(&mut self) -> Option<&mut AccessRecord> {
        self.record.as_mut()
    }

    /// Begins a request's line, unless one has begun.
    pub(super) fn begin(&mut self, now: SystemTime) {
        if self.record.is_some() && self.current.is_none() {
            self.current = Some(Current { now, begin: Instant::now(), body: u64::MAX });
        }
    }

    /// Sets where the reply begins: behind `unsent` bytes that are not sent yet.
    pub(super) fn reply(&mut self, unsent: usize) {
        if let (Some(current), Some(record)) = (&mut self.current, &self.record) {
            current.body = self.connection.sent() + (unsent + record.head_bytes) as u64;
        }
    }

    /// Ends the request's line; `unsent` bytes are not sent yet, or `None` if the reply broke off.
    pub(super) fn end(&mut self, unsent: Option<usize>) {
        let (Some(log), Some(record)) = (&self.connection.context().log, &mut self.record) else {
            return;
        };
        let Some(Current { now, begin, body }) = self.current.take() else { return };
        let line = log.line(self.connection.peer(), now, record, begin.elapsed());
        let end = unsent.map_or(u64::MAX, |unsent| self.connection.sent() + unsent as u64);
        self.answered.push(Answered { line, body, end });
        record.request.clear();
        record.status = None;
        record.fields.clear();
        record.head_bytes = 0;
    }

    /// Adds the line of a request of which only `partial` has arrived.
    pub(super) fn add_partial(&mut self, now: SystemTime, partial: &[u8]) {
        let Some(record) = &mut self.record else { return };
        let Some(line) = first_line(partial) else { return };
        record.request = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]).into_owned();
        self.begin(now);
        self.end(None);
    }

    /// Writes all lines: everything has been sent, or nothing will be any more.
    pub(super) fn write(&mut self) {
        let Some(log) = &self.connection.context().log else { return };
        let sent = self.connection.sent();
        let lines = self
            .answered
            .drain(..)
            .map(|Answered { line, body, end }| (line, end.min(sent).saturating_sub(body)));
        log.write(lines);
    }
}

impl Drop for PendingLines<'_> {
    fn drop(&mut self) {
        self.end(None);
        if !self.answered.is_empty() {
            self.write();
        }
    }
}
