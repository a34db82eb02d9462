//! The small protocols.

mod support;

use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::Zen;
use support::{End, Outcome, byte_by_byte, whole_input};

#[track_caller]
fn malformed(outcome: &Outcome) -> (&str, &str) {
    match &outcome.end {
        End::Malformed { reason, reply, .. } => (reason, std::str::from_utf8(reply).unwrap()),
        end => panic!("ended with {end:?}"),
    }
}

#[test]
fn every_line_is_answered_with_itself() {
    let outcome = whole_input(&mut Line::default(), b"one\r\n\ntwo\nrest");
    assert_eq!(outcome.served.len(), 3);
    assert_eq!(outcome.output(), b"one\r\n\ntwo\n");
    assert_eq!(outcome.end, End::Finished { rest: b"rest".to_vec(), reply: vec![] });
}

#[test]
fn a_line_has_a_maximum_length() {
    assert_eq!(whole_input(&mut Line::new(5), b"1234\n5678\n").served.len(), 2);
    for input in [&b"12345"[..], b"12345\n", b"123456789\n"] {
        let outcome = whole_input(&mut Line::new(5), input);
        assert_eq!(malformed(&outcome), ("the line is too long", "Error: the line is too long.\n"));
    }
    assert!(matches!(whole_input(&mut Line::new(5), b"1234").end, End::Finished { .. }));
}

/// A quadratic search would read 2 TB.
#[test]
fn a_line_that_drips_is_searched_once() {
    let mut whole = vec![b'x'; 2_000_000];
    whole.push(b'\n');
    assert_eq!(byte_by_byte(&mut Line::new(whole.len()), &whole).output(), whole);
}

#[test]
fn every_message_is_answered_with_its_body() {
    let outcome = whole_input(&mut Length::default(), b"5\nhello0\n10\n1\n2\n3\n4\n5\n12\nrest");
    assert_eq!(outcome.served.len(), 3);
    assert_eq!(outcome.output(), b"hello1\n2\n3\n4\n5\n");
    assert_eq!(outcome.end, End::Finished { rest: b"12\nrest".to_vec(), reply: vec![] });
}

#[test]
fn a_length_has_one_spelling() {
    for input in ["+5\n", "-5\n", " 5\n", "5 \n", "5\r\n", "05\n", "00\n", "0x5\n", "\n", "five\n"]
    {
        let outcome = whole_input(&mut Length::default(), input.as_bytes());
        assert_eq!(malformed(&outcome).0, "invalid message length", "{input:?}");
    }
}

#[test]
fn a_body_has_a_maximum_length() {
    assert_eq!(whole_input(&mut Length::new(12), b"12\n123456789012").served.len(), 1);
    for input in ["13\n", "13", "99999999999999999999999999999", "18446744073709551617\n"] {
        let outcome = whole_input(&mut Length::new(12), input.as_bytes());
        assert_eq!(
            malformed(&outcome),
            ("the length exceeds the limit", "Error: the length exceeds the limit.\n"),
            "{input:?}"
        );
    }
}

#[test]
fn several_questions_in_one_packet_are_all_answered() {
    let questions = b"Beautiful is better than?Explicit is better than?Simple is better than?\
                      Flat is better than??";
    let outcome = whole_input(&mut Zen::default(), questions);
    assert_eq!(outcome.served.len(), 5);
    let wanted = "Ugly.Implicit.Complex.Error: unknown aphorism.Error: unknown aphorism.";
    assert_eq!(String::from_utf8(outcome.output()).unwrap(), wanted);
    assert_eq!(outcome.end, End::Finished { rest: vec![], reply: vec![] });
}

#[test]
fn a_question_has_a_maximum_length() {
    assert_eq!(whole_input(&mut Zen::new(4), b"abc?").served.len(), 1);
    let outcome = whole_input(&mut Zen::new(4), b"abcd?");
    assert_eq!(malformed(&outcome), ("the question is too long", "Error: unknown aphorism."));
}

#[test]
fn a_client_that_leaves_within_a_question_is_logged_escaped() {
    let logged = support::log::logged(|| {
        whole_input(&mut Zen::default(), b"Simple is better than?Explicit\r\n\x1b[2J is");
        whole_input(&mut Zen::default(), b"Simple is better than?");
    });
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("the client disconnected within a question"), "{logged:?}");
    assert!(logged[0].contains(r"Explicit\r\n\x1b[2J is"), "{logged:?}");
}
