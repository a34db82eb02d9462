//! One line of the access log, in either format.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use overlapped::time::Duration;
use overlapped_wire::AccessRecord;

use super::escape::Escaped;
use crate::peer::Peer;

/// The format of the access log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// The "combined" format, followed by the seconds that the answer took. Bytes that are not
    /// printable are written as `\xHH`.
    ///
    /// ```text
    /// 192.0.2.7 - - [28/Nov/2026:12:00:01 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8.5" 0.000087
    /// ```
    #[default]
    Combined,
    /// A JSON object in each line: `time`, `remote`, `user`, `host`, `request`, `status`,
    /// `referer`, `user_agent`, `seconds`, `bytes`. Unknown values are `null`.
    Json,
}

/// A line that lacks the number of bytes sent.
#[derive(Debug)]
pub(crate) struct AccessLine {
    text: String,
    /// The position of the number.
    at: usize,
}

impl AccessLine {
    pub(crate) fn new(
        format: LogFormat,
        peer: &Peer,
        now: SystemTime,
        record: &AccessRecord,
        took: Duration,
    ) -> AccessLine {
        match format {
            LogFormat::Combined => combined(peer, now, record, took),
            LogFormat::Json => json(peer, now, record, took),
        }
    }

    /// Appends the complete line to `out`.
    pub(super) fn write(&self, bytes: u64, out: &mut String) {
        out.push_str(&self.text[..self.at]);
        // Writing to a string never fails.
        let _ = write!(out, "{bytes}");
        out.push_str(&self.text[self.at..]);
    }
}

fn field<'r>(record: &'r AccessRecord, name: &str) -> Option<&'r str> {
    let found = record.fields.iter().find(|(field, _)| *field == name);
    found.map(|(_, value)| value.as_str())
}

/// Returns the client's address: the one that a layer took from a proxy's header, else the peer's.
fn remote(peer: &Peer, record: &AccessRecord) -> Option<String> {
    let forwarded = field(record, "client").map(str::to_owned);
    forwarded.or_else(|| peer.remote().map(|remote| remote.ip().to_string()))
}

fn combined(peer: &Peer, now: SystemTime, record: &AccessRecord, took: Duration) -> AccessLine {
    let mut text = String::with_capacity(160 + record.request.len());
    let remote = remote(peer, record);
    // A name with a space would be two fields.
    let user = field(record, "user").unwrap_or("-");
    let user = user.replace(|char: char| !char.is_ascii_graphic(), "_");
    let _ = write!(text, "{} - {user} ", remote.as_deref().unwrap_or("local"));
    let _ = write!(text, "[{}] {:?} ", Date(now), Escaped(&record.request));
    let _ = match record.status {
        Some(status) => write!(text, "{status} "),
        None => write!(text, "- "),
    };
    let at = text.len();
    let field = |name| Escaped(field(record, name).unwrap_or("-"));
    let (referer, agent) = (field("referer"), field("user_agent"));
    let _ = writeln!(text, " {referer:?} {agent:?} {:.6}", took.as_secs_f64());
    AccessLine { text, at }
}

fn json(peer: &Peer, now: SystemTime, record: &AccessRecord, took: Duration) -> AccessLine {
    let mut text = String::with_capacity(240 + record.request.len());
    let remote = remote(peer, record);
    let _ = write!(text, "{{\"time\":{}", Json(Some(&Iso(now).to_string())));
    let _ = write!(text, ",\"remote\":{}", Json(remote.as_deref()));
    let _ = write!(text, ",\"user\":{}", Json(field(record, "user")));
    let _ = write!(text, ",\"host\":{}", Json(field(record, "host")));
    let _ = write!(text, ",\"request\":{}", Json(Some(&record.request)));
    let _ = match record.status {
        Some(status) => write!(text, ",\"status\":{status}"),
        None => write!(text, ",\"status\":null"),
    };
    for name in ["referer", "user_agent"] {
        let _ = write!(text, ",\"{name}\":{}", Json(field(record, name)));
    }
    let _ = write!(text, ",\"seconds\":{:.6},\"bytes\":", took.as_secs_f64());
    let at = text.len();
    text.push_str("}\n");
    AccessLine { text, at }
}

/// A JSON string in printable ASCII, or `null`.
struct Json<'a>(Option<&'a str>);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.0 else { return f.write_str("null") };
        f.write_char('"')?;
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                ' '..='~' => f.write_char(c)?,
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(f, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        f.write_char('"')
    }
}

/// A time, displayed as `28/Nov/2026:12:00:01 +0000`.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `httpdate` supports the years 1970 to 9999.
        let date = httpdate::fmt_http_date(self.0);
        match date.split(' ').collect::<Vec<_>>()[..] {
            [_, day, month, year, time, _] => write!(f, "{day}/{month}/{year}:{time} +0000"),
            _ => f.write_str("-"),
        }
    }
}

/// A time, displayed as `2026-11-28T12:00:01Z`.
struct Iso(SystemTime);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let date = httpdate::fmt_http_date(self.0);
        match date.split(' ').collect::<Vec<_>>()[..] {
            [_, day, month, year, time, _] => {
                let month = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
                write!(f, "{year}-{month:02}-{day}T{time}Z")
            }
            _ => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat) -> String {
        line_with(format, &[])
    }

    fn line_with(format: LogFormat, extra: &[(&'static str, &str)]) -> String {
        let mut fields =
            vec![("host", "ä.example".to_owned()), ("user_agent", "a \"b\"".to_owned())];
        fields.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let record = AccessRecord {
            request: "GET /\n HTTP/1.1".to_owned(),
            status: Some(200),
            fields,
            head_bytes: 100,
        };
        let peer = Peer { remote: Some("192.0.2.7:80".parse().unwrap()), ..Peer::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_867_201);
        let mut text = String::new();
        AccessLine::new(format, &peer, now, &record, Duration::from_micros(87))
            .write(512, &mut text);
        text
    }

    #[test]
    fn a_combined_line_ends_with_the_seconds_taken() {
        assert_eq!(
            line(LogFormat::Combined),
            "192.0.2.7 - - [28/Nov/2026:12:00:01 +0000] \"GET /\\x0A HTTP/1.1\" 200 512 \"-\" \
             \"a \\x22b\\x22\" 0.000087\n"
        );
    }

    #[test]
    fn a_layers_client_and_user_replace_the_peers_and_stay_one_field_each() {
        let extra = [("client", "2001:db8::7"), ("user", "al ice\n")];
        let line = line_with(LogFormat::Combined, &extra);
        assert!(line.starts_with("2001:db8::7 - al_ice_ [28/Nov/2026"), "{line}");
        let line = line_with(LogFormat::Json, &extra);
        let says = "\"remote\":\"2001:db8::7\",\"user\":\"al ice\\u000a\"";
        assert!(line.contains(says), "{line}");
    }

    #[test]
    fn a_json_line_has_the_host_and_only_printable_ascii() {
        assert_eq!(
            line(LogFormat::Json),
            "{\"time\":\"2026-11-28T12:00:01Z\",\"remote\":\"192.0.2.7\",\
             \"user\":null,\"host\":\"\\u00e4.example\",\
             \"request\":\"GET /\\u000a HTTP/1.1\",\"status\":200,\
             \"referer\":null,\"user_agent\":\"a \\\"b\\\"\",\"seconds\":0.000087,\"bytes\":512}\n"
        );
    }
}
