//! Bytes that the network splits in any way have the same outcome.

mod support;

use overlapped_wire::Protocol;
use overlapped_wire::bracket::Bracket;
use overlapped_wire::echo::Echo;
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::Zen;
use support::{Outcome, byte_by_byte, in_two_parts, messages, whole_input};
use testkit::Rng;

/// Compares the outcome of every cut of `whole` with the outcome of the whole, and counts the cuts.
fn compare<P: Protocol>(mut protocol: impl FnMut() -> P, whole: &[u8]) -> u64 {
    let wanted = whole_input(&mut protocol(), whole);
    let same = |outcome: Outcome, how: &str| {
        assert_eq!(outcome, wanted, "{how} of {}", whole.escape_ascii());
    };
    for cut in 1..whole.len() {
        same(in_two_parts(&mut protocol(), whole, cut), &format!("cut at {cut}"));
    }
    same(byte_by_byte(&mut protocol(), whole), "byte by byte");
    whole.len() as u64
}

#[test]
fn h3_bytes_mean_the_same_however_they_are_split() {
    let mut random = Rng(3);
    let (mut messages, mut splits) = (0_u64, 0);
    let (mut served, mut refused) = (0, 0);
    for _ in 0..testkit::rounds(200, 400) {
        let whole = messages::requests(&mut random);
        splits += compare(support::mirror, &whole);
        let outcome = whole_input(&mut support::mirror(), &whole);
        served += outcome.served.len();
        refused += usize::from(matches!(outcome.end, support::End::Malformed { .. }));
        messages += 1;
    }
    assert!(served > 200 && refused > 20, "{served} served, {refused} refused: too one-sided");
    for _ in 0..testkit::rounds(100, 200) {
        splits += compare(|| Line::new(60), &messages::lines(&mut random));
        splits += compare(|| Length::new(60), &messages::lengths(&mut random));
        splits += compare(|| Zen::new(60), &messages::questions(&mut random));
        messages += 3;
    }
    println!("RELIABILITY H3 {messages} messages, {splits} splits, the same events each time");
}

#[test]
fn h3_limits_are_held_at_the_same_byte_however_it_comes() {
    let limits = overlapped_wire::http::Limits {
        line_bytes_max: 20,
        fields_max: 3,
        head_bytes_max: 70,
        body_bytes_max: 10,
    };
    let mut random = Rng(33);
    let mut messages = 0_u64;
    for _ in 0..testkit::rounds(60, 300) {
        let whole = messages::requests(&mut random);
        compare(|| overlapped_wire::http::Http::with_limits(support::Mirror, limits), &whole);
        messages += 1;
    }
    println!("RELIABILITY H3 {messages} messages against small limits, the same events each time");
}

#[test]
fn echo_and_brackets_send_back_the_same_bytes() {
    let whole = b"hello, world";
    for cut in 1..whole.len() {
        assert_eq!(in_two_parts(&mut Echo, whole, cut).output(), whole);
        let (begin, end) = whole.split_at(cut);
        let wanted = [b"[", begin, b"][", end, b"]"].concat();
        assert_eq!(in_two_parts(&mut Bracket::default(), whole, cut).output(), wanted);
    }
}
