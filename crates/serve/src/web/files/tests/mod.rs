//! The answers of files, by every lookup method.

mod answers;
mod hostile;

use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use overlapped_wire::http::{Answer, Content};

use super::Files;
use crate::peer::Peer;
use crate::web::below::tests::LOOKUPS;
use crate::web::{Call, Handler};

pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn from_answer(answer: Answer) -> Got {
        let (head, content) = answer.into_parts();
        let promised = content.len();
        let mut body = Vec::new();
        match content {
            Content::Bytes(bytes) => body.extend_from_slice(&bytes),
            Content::Shared(bytes) => body.extend_from_slice(&bytes),
            Content::File { file, offset, len } => {
                body.resize(len as usize, 0);
                file.read_exact_at(&mut body, offset).unwrap();
            }
            Content::Reader { mut reader, .. } => _ = reader.read_to_end(&mut body).unwrap(),
            Content::Endless(_) => panic!("nothing here is endless"),
        }
        assert!(promised.is_none_or(|len| len == body.len() as u64));
        Got { status: head.status, headers: head.headers, body }
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub(crate) fn ask(files: &Files, method: &str, path: &str, fields: &[(&str, &str)]) -> Got {
    let request = request(method, path, fields);
    Got::from_answer(files.handle(Call::new(request, &mut std::io::empty(), Peer::default())))
}

pub(crate) fn get(files: &Files, path: &str) -> Got {
    ask(files, "GET", path, &[])
}

/// Waits until the kernel's clock for files has advanced, so that tags are strong.
pub(crate) fn wait_for_clock_step() {
    overlapped::time::sleep(Duration::from_millis(30));
}

/// Runs `test` once for each lookup method, each time in a folder of its own.
pub(crate) fn with_every_lookup(test: impl Fn(&Path, &dyn Fn(&Path) -> Files)) {
    for lookup in LOOKUPS {
        let temp = tempfile::tempdir().unwrap();
        overlapped::run(|| test(temp.path(), &|root| Files::with_lookup(root, lookup).unwrap()))
            .unwrap();
    }
}
