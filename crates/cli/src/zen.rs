//! `overlapped zen`: the client of the Zen game.
//!
//! An answer ends with a full stop; there is nothing else between two answers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use overlapped::Config;
use overlapped::net::TcpStream;
use overlapped::port::PortChoice;
use overlapped::time::{self, Duration};
use overlapped_wire::zen::PORT;

use crate::stdout::print;

/// Plays the Zen game with a server: asks three questions and prints the answers.
///
/// Asks in a different order each time. `overlapped serve zen` is a server.
///
/// Try it:  overlapped serve zen &   then   overlapped zen localhost
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The server: a name or an address, with a port after a colon unless it is 1060
    #[arg(value_name = "HOST[:PORT]")]
    host: String,
    /// Disconnects in the middle of the last question, which the server logs
    #[arg(long)]
    error: bool,
    /// Time limit for connecting, and for each answer
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = humantime::parse_duration)]
    timeout: Duration,
}

const QUESTIONS: [&str; 3] =
    ["Beautiful is better than?", "Explicit is better than?", "Simple is better than?"];
/// The longest accepted answer.
const ANSWER_BYTES_MAX: usize = 1024;

pub(crate) fn main(port: PortChoice, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    Config::new().port(port).run(|| play(arguments))??;
    Ok(ExitCode::SUCCESS)
}

fn play(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { host, error, timeout } = arguments;
    let server = with_port(host);
    let limit = *timeout;
    let mut stream = time::timeout(limit, || TcpStream::connect(&*server)).with_context(|| {
        format!(
            "cannot connect to {server}. Is a server running there? `overlapped serve zen` starts \
             one, and --listen 0.0.0.0:{PORT} lets other machines connect to it"
        )
    })?;
    let mut questions = QUESTIONS;
    shuffle(&mut questions);
    for (at, question) in questions.iter().enumerate() {
        if *error && at + 1 == questions.len() {
            let half = &question[..question.len() / 2];
            stream.write_all(half.as_bytes())?;
            return print(format_args!("{half}\n"));
        }
        // A limit for each read would let a server take its time byte by byte.
        let answer = time::timeout(limit, || ask(&mut stream, question))
            .with_context(|| format!("no answer from {server} to \"{question}\""))?;
        print(format_args!("{question} {answer}\n"))?;
    }
    Ok(())
}

/// Adds the default port unless one is given.
fn with_port(host: &str) -> String {
    let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    match host.rsplit_once(':') {
        _ if is_v6 => format!("[{host}]:{PORT}"),
        // A number that is too large is an error when the name is resolved.
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            host.to_owned()
        }
        _ => format!("{host}:{PORT}"),
    }
}

fn ask(stream: &mut TcpStream, question: &str) -> anyhow::Result<String> {
    stream.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    while answer.last() != Some(&b'.') {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(_) => answer.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                bail!("timed out; --timeout sets a longer limit")
            }
            Err(error) => return Err(error.into()),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            bail!("the answer is too long: is this a server of the Zen game?");
        }
    }
    // Escaped, because a server may send bytes that control a terminal.
    Ok(answer.escape_ascii().to_string())
}

/// Shuffles by Fisher and Yates; std seeds its hashers at random.
fn shuffle(questions: &mut [&str]) {
    for last in (1..questions.len()).rev() {
        let random = RandomState::new().hash_one(last);
        questions.swap(last, (random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_port_is_added_unless_one_is_given() {
        for (host, server) in [
            ("localhost", "localhost:1060"),
            ("localhost:7", "localhost:7"),
            ("192.0.2.1", "192.0.2.1:1060"),
            ("::1", "[::1]:1060"),
            ("[::1]", "[::1]:1060"),
            ("[::1]:7", "[::1]:7"),
            ("localhost:99999", "localhost:99999"),
        ] {
            assert_eq!(with_port(host), server);
        }
    }

    #[test]
    fn every_order_of_the_questions_occurs() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let mut questions = QUESTIONS;
            shuffle(&mut questions);
            seen.insert(questions);
        }
        assert_eq!(seen.len(), 6);
    }
}
