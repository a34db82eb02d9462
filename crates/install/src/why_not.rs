//! The reasons for which the takeover is refused.

use std::fmt;

/// The reason why [`install`](crate::install) has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyNot {
    /// The process finds other functions than this crate's by these names: those of a library that
    /// was loaded before the program (`LD_PRELOAD`), or libc's, if this crate is a part of a shared
    /// library.
    Symbols(Vec<&'static str>),
    /// The program is linked statically, so no function in it is found by name. There this crate
    /// replaces no function, and the program has libc's.
    Static,
    /// A tasklet cannot have
    /// [thread-locals of its own](overlapped::Builder::own_thread_locals) here, for this reason.
    ThreadLocals(&'static str),
    /// Such a tasklet cannot run here; the text says why.
    Run(String),
    /// A call that should have blocked its tasklet has blocked the thread, or returned a wrong
    /// result; the text says which.
    SelfTest(&'static str),
    /// Raw calls were to be [trapped](crate::Options::trap_raw_calls), and cannot be here; the text
    /// gives the reason and the remedy.
    Trap(String),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyNot::Symbols(names) => {
                write!(f, "other functions than overlapped-install's are called by the names ")?;
                f.write_str(&names.join(", "))?;
                f.write_str(
                    "; report() lists their owners: start the program without LD_PRELOAD, and \
                     link it dynamically",
                )
            }
            WhyNot::Static => f.write_str(
                "the program is linked statically, so no function of libc's can be taken over: \
                 link it dynamically, with glibc (without -Ctarget-feature=+crt-static)",
            ),
            WhyNot::ThreadLocals(why) => write!(f, "no thread-locals of a tasklet's own: {why}"),
            WhyNot::Run(why) => write!(f, "no tasklet can run: {why}"),
            WhyNot::SelfTest(what) => write!(f, "the self-test failed: {what}"),
            WhyNot::Trap(why) => write!(f, "raw calls cannot be trapped: {why}"),
        }
    }
}

impl std::error::Error for WhyNot {}
