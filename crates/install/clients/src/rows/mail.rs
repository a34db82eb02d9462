//! Clients of mail and file servers.

use std::io::Read as _;
use std::net::TcpStream;

use crate::request::{Opener, Result, requests, same};
use crate::row::{Row, Setup};
use crate::servers::{FTP_FILE_SIZE, IMAP_MESSAGE, Server, messages};

pub(super) fn rows() -> Vec<Row> {
    let row = |name, server, request, start| Row { name, server, request, note: "", start };
    vec![
        row(
            "lettre",
            Server::Smtp,
            "a message by SMTP; a proxy holds each line of the answers back for 20 ms",
            lettre,
        ),
        row(
            "imap",
            Server::Imap,
            "`FETCH` of a message; a proxy holds the answer back for 100 ms",
            imap,
        ),
        row(
            "suppaftp",
            Server::Ftp,
            "`RETR` of 64 KiB; a proxy holds each line of the answers back for 100 ms",
            suppaftp,
        ),
    ]
}

fn lettre(setup: &Setup) -> Result<Opener> {
    use lettre::{Message, SmtpTransport, Transport as _};
    let (address, server) = (setup.address, setup.server.clone());
    requests(move |number| {
        let message = Message::builder()
            .from("from@localhost".parse()?)
            .to(format!("to-{number}@localhost").parse()?)
            .subject(format!("Number {number}"))
            .body(format!("The body of number {number}.\r\n").repeat(100))?;
        let client = SmtpTransport::builder_dangerous(address.ip().to_string());
        let answer = client.port(address.port()).build().send(&message)?;
        same(answer.is_positive(), true)?;
        let subject = format!("Subject: Number {number}\n");
        let found = messages(&server)?.iter().any(|message| {
            message.contains(&subject) && message.contains(&format!("body of number {number}."))
        });
        same(found, true)
    })
}

fn imap(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    Ok(Box::new(move |_| {
        let mut client = imap::Client::new(TcpStream::connect(address)?);
        client.read_greeting()?;
        let mut session = client.login("reader", "word").map_err(|(error, _)| error)?;
        session.select("INBOX")?;
        Ok(Box::new(move || {
            let found = session.fetch("1", "RFC822")?;
            let message = found.iter().next().and_then(|message| message.body());
            same(message.map(String::from_utf8_lossy), Some(IMAP_MESSAGE.into()))
        }))
    }))
}

fn suppaftp(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    Ok(Box::new(move |number| {
        let mut client = suppaftp::FtpStream::connect(address)?;
        client.login("anonymous", "reader")?;
        client.transfer_type(suppaftp::types::FileType::Binary)?;
        Ok(Box::new(move || {
            let mut file = Vec::new();
            client.retr_as_buffer(&format!("file-{number}"))?.read_to_end(&mut file)?;
            same(file.len(), FTP_FILE_SIZE)?;
            same(file.iter().all(|byte| usize::from(*byte) == number), true)
        }))
    }))
}
