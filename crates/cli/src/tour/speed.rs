//! Measures the operations that need no kernel, each in a loop long enough for the clock.

use anyhow::anyhow;
use indicatif::HumanCount;
use overlapped::time::Instant;
use overlapped::{Channel, spawn, yield_now};

use super::effort::Effort;

const ROUNDS: usize = 1_000_000;

/// Runs `f`, which performs an operation `rounds` times, and reports the mean time of one.
fn each(rounds: usize, f: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<String> {
    let begin = Instant::now();
    f()?;
    let nanos = begin.elapsed().as_nanos() as f64 / rounds as f64;
    Ok(format!("{nanos:.0} ns, mean of {}", HumanCount(rounds as u64)))
}

pub(super) fn spawn_and_join(effort: Effort) -> anyhow::Result<String> {
    let rounds = effort.scale(ROUNDS);
    each(rounds, || {
        for round in 0..rounds {
            let answer = spawn(move || round).join()?;
            std::hint::black_box(answer);
        }
        Ok(())
    })
}

/// Sends a value to another tasklet and receives its answer: two channels, two switches.
pub(super) fn round_trip(effort: Effort) -> anyhow::Result<String> {
    let rounds = effort.scale(ROUNDS);
    let (questions, answers) = (Channel::new(), Channel::new());
    let partner = spawn({
        let (questions, answers) = (questions.clone(), answers.clone());
        move || {
            for question in questions.iter() {
                if answers.send(question).is_err() {
                    break;
                }
            }
        }
    });
    let text = each(rounds, || {
        for round in 0..rounds {
            questions.send(round).map_err(|error| anyhow!("{error}"))?;
            answers.recv()?;
        }
        Ok(())
    })?;
    questions.close();
    partner.join()?;
    Ok(text)
}

/// Switches between two tasklets by `yield_now`.
pub(super) fn switch(effort: Effort) -> anyhow::Result<String> {
    let rounds = effort.scale(ROUNDS);
    let half = rounds.div_ceil(2);
    let text = each(2 * half, || {
        let partner = spawn(move || (0..half).for_each(|_| yield_now()));
        (0..half).for_each(|_| yield_now());
        partner.join()?;
        Ok(())
    })?;
    Ok(format!("{text}, polls of the completion port included"))
}
