//! How bytes are split on their way never matters.

mod rig;

use overlapped_wire::Protocol;
use overlapped_wire::bracket::Bracket;
use overlapped_wire::echo::Echo;
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::Zen;
use rig::random::Random;
use rig::{Seen, at_once, dripping, in_two, messages};

/// Compares every cut of `whole` with the whole; how many were compared.
fn compare<P: Protocol>(mut protocol: impl FnMut() -> P, whole: &[u8]) -> u64 {
    let wanted = at_once(&mut protocol(), whole);
    let same = |seen: Seen, how: &str| {
        assert_eq!(seen, wanted, "{how} of {}", whole.escape_ascii());
    };
    for cut in 1..whole.len() {
        same(in_two(&mut protocol(), whole, cut), &format!("cut at {cut}"));
    }
    same(dripping(&mut protocol(), whole), "byte by byte");
    whole.len() as u64
}

#[test]
fn h3_bytes_mean_the_same_however_they_are_split() {
    let mut random = Random(3);
    let (mut messages, mut splits) = (0_u64, 0);
    let (mut served, mut refused) = (0, 0);
    for _ in 0..rig::rounds(200, 400) {
        let whole = messages::requests(&mut random);
        splits += compare(rig::mirror, &whole);
        let seen = at_once(&mut rig::mirror(), &whole);
        served += seen.served.len();
        refused += usize::from(matches!(seen.end, rig::End::Malformed { .. }));
        messages += 1;
    }
    assert!(served > 200 && refused > 20, "{served} served, {refused} refused: too one-sided");
    for _ in 0..rig::rounds(100, 200) {
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
    let mut random = Random(33);
    let mut messages = 0_u64;
    for _ in 0..rig::rounds(60, 300) {
        let whole = messages::requests(&mut random);
        compare(|| overlapped_wire::http::Http::with_limits(rig::Mirror, limits), &whole);
        messages += 1;
    }
    println!("RELIABILITY H3 {messages} messages against small limits, the same events each time");
}

#[test]
fn echo_and_brackets_send_back_the_same_bytes() {
    let whole = b"hello, world";
    for cut in 1..whole.len() {
        assert_eq!(in_two(&mut Echo, whole, cut).output(), whole);
        let (begin, end) = whole.split_at(cut);
        let wanted = [b"[", begin, b"][", end, b"]"].concat();
        assert_eq!(in_two(&mut Bracket::default(), whole, cut).output(), wanted);
    }
}
