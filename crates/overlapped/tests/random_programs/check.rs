//! Findings, and the means to find them: canaries, the panic hook, signals, the watchdog.
//!
//! A finding may occur in a tasklet that is killed, or inside `catch_unwind`. So it does not panic
//! but ends the process. Everything that ends the process names the program.

use std::fmt;
use std::hint::black_box;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use overlapped::task::{self, Cancelled, Spawner};

use crate::actions::Action;
use crate::plan::Plan;

/// Ends the process if `condition` does not hold.
macro_rules! ensure {
    ($condition:expr, $($said:tt)+) => {
        if !$condition {
            $crate::check::finding(format_args!($($said)+))
        }
    };
}
pub(crate) use ensure;

/// The program that runs.
static SEED: AtomicU64 = AtomicU64::new(0);
/// Its plan, as text.
static PLAN: Mutex<String> = Mutex::new(String::new());
/// The time when it began, and the watchdog's spawners for its schedulers.
static WATCHED: Mutex<Option<(Instant, Vec<Spawner>)>> = Mutex::new(None);

/// The time limit of a program. It needs milliseconds, but the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Reports the finding and ends the process.
#[track_caller]
pub(crate) fn finding(what: fmt::Arguments<'_>) -> ! {
    let at = std::panic::Location::caller();
    let plan = PLAN.try_lock().map(|plan| plan.clone());
    say(&format!("\nFINDING: {what}\n  seen at {at}\n  in {plan:?}\n"));
    std::process::abort()
}

/// Writes to standard error, past the test harness's capture.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The last actions: the id of the tasklet, and the action.
static NOTES: [(AtomicU64, AtomicPtr<Action>); 32] =
    [const { (AtomicU64::new(0), AtomicPtr::new(std::ptr::null_mut())) }; 32];
static NOTED: AtomicUsize = AtomicUsize::new(0);

/// Records that the tasklet `id` begins an action.
pub(crate) fn note(id: u64, action: &'static Action) {
    action.times.fetch_add(1, Relaxed);
    let (whose, which) = &NOTES[NOTED.fetch_add(1, Relaxed) % NOTES.len()];
    whose.store(id, Relaxed);
    which.store((&raw const *action).cast_mut(), Relaxed);
}

/// Begins the next program. A finding prints `seed`.
pub(crate) fn begin(seed: u64, plan: &Plan) {
    SEED.store(seed, SeqCst);
    *PLAN.lock().unwrap() = format!("{plan:?}");
    *WATCHED.lock().unwrap() = Some((Instant::now(), Vec::new()));
}

/// Gives the watchdog a spawner for one of the program's schedulers.
pub(crate) fn let_in(spawner: Spawner) {
    if let Some(watched) = &mut *WATCHED.lock().unwrap() {
        watched.1.push(spawner);
    }
}

/// Ends the watch over the program.
pub(crate) fn end() {
    *WATCHED.lock().unwrap() = None;
}

/// From now on, everything that ends the process names the program.
pub(crate) fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGABRT] {
            // SAFETY: a zeroed sigaction is a valid one; the handler calls nothing but write(2),
            // signal(2) and raise(3).
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = name_the_program as *const () as usize;
                action.sa_flags = libc::SA_ONSTACK;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
        // Planned panics unwind without the hook.
        std::panic::set_hook(Box::new(|info| {
            let trace = std::backtrace::Backtrace::force_capture();
            say(&format!("{trace}\n"));
            finding(format_args!("{info}"))
        }));
        // The library formats its warnings of stalls, which are then discarded.
        tracing_subscriber::fmt().with_writer(std::io::sink).init();
        std::thread::spawn(watch);
    });
}

/// Writes a number's digits to the end of `text`, without an allocation.
fn digits(text: &mut [u8], mut number: u64) {
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

extern "C" fn name_the_program(signal: libc::c_int) {
    let write = |text: &[u8]| {
        // SAFETY: the text is there.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    };
    write(b"\nthe last actions, by tasklet:");
    let next = NOTED.load(Relaxed);
    for at in next.saturating_sub(NOTES.len())..next {
        let (whose, which) = &NOTES[at % NOTES.len()];
        let mut text = *b"\n 00000 ";
        digits(&mut text[2..7], whose.load(Relaxed));
        // SAFETY: only references to statics are noted.
        let Some(action) = (unsafe { which.load(Relaxed).as_ref() }) else { continue };
        write(&text);
        write(action.name.as_bytes());
    }
    let mut text = *b"\n\nafter 0000000000 actions\n";
    digits(&mut text[8..18], next as u64);
    write(&text);
    let mut text = *b"this was OVERLAPPED_SEED=00000000000000000000\n";
    let end = text.len() - 1;
    digits(&mut text[end - 20..end], SEED.load(SeqCst));
    write(&text);
    // SAFETY: the signal's own action follows.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Prints a dump when dropped: a scheduler that shuts down drops a closure, on a tasklet, and does
/// not run it.
struct DumpWhenDropped;

impl Drop for DumpWhenDropped {
    fn drop(&mut self) {
        say(&format!("{:#}\n", task::dump()));
    }
}

fn watch() {
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let spawners = match &*WATCHED.lock().unwrap() {
            Some((begin, spawners)) if begin.elapsed() > LIMIT => spawners.clone(),
            _ => continue,
        };
        for spawner in spawners {
            let dump = DumpWhenDropped;
            let said = spawner.spawn(move || drop(dump));
            std::thread::sleep(Duration::from_secs(2));
            say(&format!("(a scheduler: {said:?})\n"));
        }
        finding(format_args!("the program has not ended after {LIMIT:?}"));
    }
}

/// Checks that the tasklet does not see a neighbour's unwinding.
#[track_caller]
pub(crate) fn nobody_panics() {
    ensure!(!std::thread::panicking(), "a neighbour's unwinding is seen");
}

/// Returns a pseudo-random word for a position.
pub(crate) fn word(tag: u64, at: u64) -> u64 {
    let mut z = tag ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// A part of a stack frame that no other code may write to.
pub(crate) struct Frame {
    tag: u64,
    words: [u64; 12],
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(tag: u64) -> Frame {
        Frame { tag, words: std::array::from_fn(|i| word(tag, i as u64)) }
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        for (i, found) in black_box(&self.words).iter().enumerate() {
            let meant = word(self.tag, i as u64);
            ensure!(*found == meant, "a waiting frame was written to: {found:x} for {meant:x}");
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.check();
    }
}

/// A buffer on the stack between canaries. However an operation ends, it leaves all bytes as they
/// were but those that it reports as written.
pub(crate) struct Buffer<const N: usize> {
    before: Frame,
    pub(crate) bytes: [u8; N],
    after: Frame,
    /// The number of bytes that were reported as written.
    filled: usize,
}

/// The value of bytes that were not written to.
const BLANK: u8 = 0xb1;

impl<const N: usize> Buffer<N> {
    #[inline(always)]
    pub(crate) fn new(tag: u64) -> Buffer<N> {
        Buffer { before: Frame::new(tag), bytes: [BLANK; N], after: Frame::new(!tag), filled: 0 }
    }

    /// Records that the operation has reported `n` bytes.
    #[track_caller]
    pub(crate) fn filled(&mut self, n: usize) -> &[u8] {
        ensure!(n <= N, "{n} bytes read into {N}");
        self.filled = n;
        self.check();
        &self.bytes[..n]
    }

    #[track_caller]
    fn check(&self) {
        self.before.check();
        self.after.check();
        let written = black_box(&self.bytes)[self.filled..].iter().position(|b| *b != BLANK);
        ensure!(
            written.is_none(),
            "a read that gave {} bytes wrote at {} of {N}",
            self.filled,
            self.filled + written.unwrap_or(0)
        );
    }
}

impl<const N: usize> Drop for Buffer<N> {
    fn drop(&mut self) {
        self.check();
    }
}

/// Tells whether a kill ended the call that returned `error`, and checks that one is then pending.
#[track_caller]
pub(crate) fn is_cancelled(error: &io::Error) -> bool {
    let is = Cancelled::of(error) == Some(Cancelled::Kill);
    if is {
        told_of_a_kill();
    }
    is
}

/// Checks that a kill is pending, since a call has reported one.
#[track_caller]
pub(crate) fn told_of_a_kill() {
    ensure!(task::is_killed(), "a call reports a kill that does not exist");
}

/// Checks that user code runs on a tasklet, never on the scheduler's own stack.
#[track_caller]
pub(crate) fn on_a_tasklet(what: &str) {
    ensure!(task::in_tasklet(), "{what} runs on no tasklet");
}
