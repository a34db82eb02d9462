//! The suspension point of selects: one of several things, whichever happens first.
//!
//! ```text
//! choose ─▶ is one ready?  ── yes ─▶ it happens, the others are not touched
//!             │ no
//!             ▼
//!           every offer sits down (a channel's queue, a tasklet's end, an operation) ─▶ park
//!             ▼
//!           decided (sched/tasklet/choice.rs): the other seats are given up in the same step,
//!           operations are cancelled and reaped, then the tasklet goes on
//! ```
//!
//! Nothing runs between the look and the sitting down, so no partner is missed; and whoever looks
//! meets seats only, never a select that is looking, so two selects that face each other on both
//! sides meet as soon as the second one looks.
//!
//! First law: [`choose`] has no way out before the last of its operations has been reaped.

mod error;
mod joins;
mod offers;
mod outside;

use crate::sched::{AbortOnUnwind, Alternative, Choice, Here, NEVER, Waiting, Wake, here};

pub use error::WaitError;
pub use joins::{Joinable, wait_all, wait_any};
pub(crate) use offers::{Joining, Readiness, Timer};

use super::wait::{checkpoint, deliver_kill, park};
use super::{Refusal, take_verdict};
use crate::op::Op;
use crate::sys::clock;

/// One thing that may happen.
pub(crate) trait Offer {
    /// Where it waits.
    fn alternative(&self) -> &Alternative;

    /// Whether it takes part at all.
    fn is_active(&self) -> bool {
        true
    }

    /// Whether it can happen at once. Never waits. `now`: on the port's clock; only where somebody
    /// is [`due`](Offer::due).
    fn is_ready(&self, now: u64) -> bool;

    /// Tells the observer what is about to happen.
    fn tell(&self, here: Here) {
        let _ = here;
    }

    /// Makes it happen; it is ready.
    fn seize(&self, here: Option<Here>, may_switch: bool) -> Wake {
        let _ = (here, may_switch);
        Wake::Done
    }

    /// Sits down where it may happen. True: it has happened already.
    fn sit(&self, here: Here, choice: &Choice) -> bool {
        let _ = (here, choice);
        false
    }

    /// When it happens by itself.
    fn due(&self) -> u64 {
        NEVER
    }

    /// The operation whose end it waits for.
    fn operation(&self) -> Option<Op> {
        None
    }
}

/// How one of several is chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The first one that is ready; else any of them, each as likely as the others.
    pub(crate) biased: bool,
    /// Until when it may wait, on the port's clock; `None`: not at all.
    pub(crate) until: Option<u64>,
}

/// Waits until one of `offers` happens; which one, and how: `Wake::Done` or `Wake::Closed`.
pub(crate) fn choose<'a, I>(offers: I, manner: Manner) -> Result<(usize, Wake), WaitError>
where
    I: Iterator<Item = &'a dyn Offer> + Clone,
{
    let Some(here) = here() else { return outside::choose(offers, manner) };
    let may_wait = match checkpoint(here) {
        Err(Refusal::Killed) => return Err(WaitError::Cancelled),
        checked => checked.is_ok() && manner.until.is_some(),
    };
    if !offers.clone().any(Offer::is_active) {
        return Err(WaitError::Empty);
    }
    let mut told = here.observer.is_none();
    loop {
        if let Some((at, offer)) = pick(Some(here), offers.clone(), manner.biased) {
            if !told {
                told = true;
                offer.tell(here);
                continue; // The observer may have used the channel itself.
            }
            return Ok((at, offer.seize(Some(here), may_wait)));
        }
        if !told {
            told = true;
            offers.clone().filter(|offer| offer.is_active()).for_each(|offer| offer.tell(here));
            continue;
        }
        if !may_wait {
            return Err(WaitError::WouldBlock);
        }
        let limit = manner.until.unwrap_or(NEVER);
        if let Some(ended) = wait(here, offers.clone(), limit.min(here.me().deadline.get())) {
            return ended;
        }
    }
}

/// One of those that can happen at once.
fn pick<'a>(
    here: Option<Here>,
    offers: impl Iterator<Item = &'a dyn Offer> + Clone,
    biased: bool,
) -> Option<(usize, &'a dyn Offer)> {
    let now = if next_due(offers.clone()) == NEVER { 0 } else { clock::nanos() };
    let mut ready =
        offers.enumerate().filter(|(_, offer)| offer.is_active() && offer.is_ready(now));
    let mut picked = ready.next()?;
    if let Some(here) = here.filter(|_| !biased) {
        // Each as likely as the others, without counting them first.
        for (seen, offer) in (2..).zip(ready) {
            if here.dice().is_multiple_of(seen) {
                picked = offer;
            }
        }
    }
    Some(picked)
}

/// When the first of those happens that happen by themselves.
fn next_due<'a>(offers: impl Iterator<Item = &'a dyn Offer>) -> u64 {
    offers.filter(|offer| offer.is_active()).map(Offer::due).min().unwrap_or(NEVER)
}

/// Sits down everywhere, parks, and says what happened. `None`: nothing did, look again.
fn wait<'a>(
    here: Here,
    offers: impl Iterator<Item = &'a dyn Offer> + Clone,
    limit: u64,
) -> Option<Result<(usize, Wake), WaitError>> {
    let choice = Choice::new(here.me_ptr());
    let due = next_due(offers.clone());
    let mut until = due.min(limit);
    let no_way_out = AbortOnUnwind("while others know where a select waits");
    for offer in offers.clone().filter(|offer| offer.is_active()) {
        let alternative = offer.alternative();
        // SAFETY: neither the choice nor the offers, which are borrowed, move or go before this
        // returns, and it returns after the last seat has been left.
        unsafe { choice.add(alternative) };
        if offer.sit(here, &choice) {
            here.decide(&choice, Some(alternative), Wake::Done);
            until = NEVER;
            break;
        }
    }
    let mut wake = Wake::Done;
    if choice.decided.get().is_none() || choice.in_flight.get() > 0 {
        wake = park(here, Waiting::Select((&choice).into()), until);
    }
    assert_eq!(choice.in_flight.get(), 0, "a select goes on after its operations have ended");
    std::mem::forget(no_way_out);
    let mut offers = offers;
    if let Some(happened) = choice.happened.get() {
        let it = |offer: &dyn Offer| std::ptr::eq(offer.alternative(), happened.as_ptr());
        return offers.position(it).map(|at| Ok((at, wake)));
    }
    match wake {
        Wake::Done | Wake::Closed => None,
        Wake::TimedOut if due <= limit => {
            let it = |offer: &dyn Offer| offer.is_active() && offer.due() == due;
            offers.position(it).map(|at| Ok((at, Wake::Done)))
        }
        Wake::TimedOut => Some(Err(WaitError::TimedOut)),
        Wake::Deadlock => Some(Err(WaitError::Deadlock(take_verdict(here)))),
        Wake::Killed => {
            deliver_kill(here);
            Some(Err(WaitError::Cancelled))
        }
    }
}
