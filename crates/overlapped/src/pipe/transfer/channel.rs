//! From anything into a pipe of our own, and out of it into anything.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::leg::{Leg, leg, wait_for};
use super::{End, Ended, Failure, Side, Transfer};
use crate::sys::splice;
use crate::task::breathe;

/// A pipe holds this much unless it is asked to hold more (pipe(7)).
const SIZE: usize = 64 << 10;

/// What it may grow to where the source fills it: as much as anybody may have by default. Between
/// two sockets on the loopback this halves the processor time.
const SIZE_MAX: usize = 1 << 20;

/// A pipe with bytes on their way. However it is left, they go where they can.
struct Channel<'a> {
    reader: OwnedFd,
    writer: OwnedFd,
    size: usize,
    held: usize,
    from: End<'a>,
    to: End<'a>,
}

impl<'a> Channel<'a> {
    fn open(from: End<'a>, to: End<'a>) -> io::Result<Channel<'a>> {
        let (reader, writer) = splice::channel()?;
        Ok(Channel { reader, writer, size: SIZE, held: 0, from, to })
    }

    fn grow(&mut self, size: usize) {
        self.size = splice::enlarge(self.writer.as_fd(), size).unwrap_or(self.size);
    }

    fn fill(&self, most: usize) -> Result<Leg, Failure> {
        leg(&self.from, &End::ours(self.writer.as_fd()), most)
    }

    fn drain(&self) -> Result<Leg, Failure> {
        leg(&End::ours(self.reader.as_fd()), &self.to, self.held)
    }

    /// Gives the bytes on their way back to a file, or on to the sink, as far as that goes without
    /// waiting for anybody; a file is always written to. How many went on, and the rest.
    fn settle(&mut self) -> (usize, Vec<u8>) {
        if self.held == 0 {
            return (0, Vec::new());
        }
        if self.from.is_file() && splice::seek_back(self.from.fd, self.held).is_ok() {
            self.held = 0;
            return (0, Vec::new());
        }
        let mut went_on = 0;
        while self.held > 0
            && let Ok(moved @ 1..) = splice::splice_now(&self.reader, self.to.fd, self.held)
        {
            self.held -= moved;
            went_on += moved;
        }
        let mut rest = splice::take(self.reader.as_fd(), std::mem::take(&mut self.held));
        if self.to.is_file() {
            // One that splice(2) does not know: to be appended to.
            let (written, _) = splice::write_all(self.to.fd, &rest);
            went_on += written;
            rest.drain(..written);
        }
        (went_on, rest)
    }
}

impl Drop for Channel<'_> {
    /// A kill: the tasklet is unwinding.
    fn drop(&mut self) {
        let _nobody_takes_it = self.settle();
    }
}

impl Transfer<'_> {
    pub(super) fn by_channel(&mut self) -> Result<Ended, Failure> {
        let mut channel = Channel::open(self.from, self.to).map_err(Failure::of_source)?;
        if self.from.is_file() {
            channel.grow(SIZE_MAX);
        }
        let ended = self.through(&mut channel);
        let (went_on, rest) = channel.settle();
        self.note(went_on);
        match ended {
            Ok(Ended::Unfit(_)) => Ok(Ended::Unfit(rest)),
            Ok(Ended::Whole) => Ok(Ended::Whole),
            Err(failure) => Err(failure.with(rest)),
        }
    }

    fn through(&mut self, channel: &mut Channel<'_>) -> Result<Ended, Failure> {
        while self.left > 0 {
            match channel.fill(self.part(channel.size))? {
                Leg::Moved(0) => break,
                Leg::Moved(moved) => channel.held = moved,
                Leg::Blocked => {
                    // The pipe is empty.
                    wait_for(&self.from, Side::Source)?;
                    continue;
                }
                Leg::Unfit => return Ok(Ended::UNFIT),
            }
            let is_filled = channel.held == channel.size;
            while channel.held > 0 {
                match channel.drain()? {
                    Leg::Moved(0) => {
                        return Err(Failure::of_sink(io::ErrorKind::WriteZero.into()));
                    }
                    Leg::Moved(moved) => {
                        channel.held -= moved;
                        self.note(moved);
                    }
                    Leg::Blocked => wait_for(&self.to, Side::Sink)?,
                    Leg::Unfit => return Ok(Ended::UNFIT),
                }
            }
            if is_filled && channel.size < SIZE_MAX {
                channel.grow(SIZE_MAX);
            }
            breathe().map_err(Failure::of_source)?;
        }
        Ok(Ended::Whole)
    }
}
