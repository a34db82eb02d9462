//! The small protocols.

mod rig;

use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::Zen;
use rig::{End, Seen, at_once, dripping};

#[track_caller]
fn malformed(seen: &Seen) -> (&str, &str) {
    match &seen.end {
        End::Malformed { reason, reply, .. } => (reason, std::str::from_utf8(reply).unwrap()),
        end => panic!("ended with {end:?}"),
    }
}

#[test]
fn every_line_is_answered_with_itself() {
    let seen = at_once(&mut Line::default(), b"one\r\n\ntwo\nrest");
    assert_eq!(seen.served.len(), 3);
    assert_eq!(seen.output(), b"one\r\n\ntwo\n");
    assert_eq!(seen.end, End::Finished { rest: b"rest".to_vec(), reply: vec![] });
}

#[test]
fn a_line_is_at_most_so_long() {
    assert_eq!(at_once(&mut Line::new(5), b"1234\n5678\n").served.len(), 2);
    for input in [&b"12345"[..], b"12345\n", b"123456789\n"] {
        let seen = at_once(&mut Line::new(5), input);
        assert_eq!(malformed(&seen), ("a line is too long", "Error: this line is too long.\n"));
    }
    assert!(matches!(at_once(&mut Line::new(5), b"1234").end, End::Finished { .. }));
}

/// Quadratic, this would look at 2 TB.
#[test]
fn a_line_that_drips_is_searched_once() {
    let mut whole = vec![b'x'; 2_000_000];
    whole.push(b'\n');
    assert_eq!(dripping(&mut Line::new(whole.len()), &whole).output(), whole);
}

#[test]
fn every_message_is_answered_with_its_body() {
    let seen = at_once(&mut Length::default(), b"5\nhello0\n10\n1\n2\n3\n4\n5\n12\nrest");
    assert_eq!(seen.served.len(), 3);
    assert_eq!(seen.output(), b"hello1\n2\n3\n4\n5\n");
    assert_eq!(seen.end, End::Finished { rest: b"12\nrest".to_vec(), reply: vec![] });
}

#[test]
fn a_length_has_one_spelling() {
    for input in ["+5\n", "-5\n", " 5\n", "5 \n", "5\r\n", "05\n", "00\n", "0x5\n", "\n", "five\n"]
    {
        let seen = at_once(&mut Length::default(), input.as_bytes());
        assert_eq!(malformed(&seen).0, "a message does not begin with its length", "{input:?}");
    }
}

#[test]
fn a_body_is_at_most_so_long() {
    assert_eq!(at_once(&mut Length::new(12), b"12\n123456789012").served.len(), 1);
    for input in ["13\n", "13", "99999999999999999999999999999", "18446744073709551617\n"] {
        let seen = at_once(&mut Length::new(12), input.as_bytes());
        assert_eq!(
            malformed(&seen),
            ("the length is above the limit", "Error: the length is above the limit.\n"),
            "{input:?}"
        );
    }
}

#[test]
fn several_questions_in_one_packet_are_all_answered() {
    let questions = b"Beautiful is better than?Explicit is better than?Simple is better than?\
                      Flat is better than??";
    let seen = at_once(&mut Zen::default(), questions);
    assert_eq!(seen.served.len(), 5);
    let wanted = "Ugly.Implicit.Complex.Error: unknown aphorism.Error: unknown aphorism.";
    assert_eq!(String::from_utf8(seen.output()).unwrap(), wanted);
    assert_eq!(seen.end, End::Finished { rest: vec![], reply: vec![] });
}

#[test]
fn a_question_is_at_most_so_long() {
    assert_eq!(at_once(&mut Zen::new(4), b"abc?").served.len(), 1);
    let seen = at_once(&mut Zen::new(4), b"abcd?");
    assert_eq!(malformed(&seen), ("a question is too long", "Error: unknown aphorism."));
}

#[test]
fn who_leaves_in_mid_question_is_reported_escaped() {
    let said = rig::log::said(|| {
        at_once(&mut Zen::default(), b"Simple is better than?Explicit\r\n\x1b[2J is");
        at_once(&mut Zen::default(), b"Simple is better than?");
    });
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("the client left in mid-question"), "{said:?}");
    assert!(said[0].contains(r"Explicit\r\n\x1b[2J is"), "{said:?}");
}
