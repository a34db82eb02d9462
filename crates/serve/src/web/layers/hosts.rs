//! Several sites on one address, selected by host name.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use overlapped_wire::http::Answer;

use super::{authority, invalid};
use crate::web::{Call, Handler};

/// A layer with a handler for each host name, and one for all others. `*.example.org` stands for
/// the names below `example.org`, but not for that name itself.
///
/// ```
/// use overlapped_serve::Peer;
/// use overlapped_serve::web::{Call, Handler, Hosts};
/// use overlapped_wire::http::{Content, text};
///
/// let say = |word: &'static str| move |_: Call<'_>| text(http::StatusCode::OK, word);
/// let sites = Hosts::new(say("home")).at("a.example.org", say("a"))?;
/// let sites = sites.at("*.example.org", say("b"))?;
/// let request = http::Request::get("/").header("host", "A.example.org:8080").body(()).unwrap();
/// let answer = sites.handle(Call::new(request, &mut std::io::empty(), Peer::default()));
/// # let Content::Bytes(body) = answer.into_body() else { panic!() };
/// # assert_eq!(&*body, b"a");
/// # std::io::Result::Ok(())
/// ```
pub struct Hosts<H> {
    others: H,
    names: HashMap<String, Arc<dyn Handler>>,
    /// The parts behind the star.
    endings: Vec<(String, Arc<dyn Handler>)>,
}

impl<H: Handler> Hosts<H> {
    /// Creates the layer with the handler for requests with other names, or none.
    pub fn new(others: H) -> Hosts<H> {
        Hosts { others, names: HashMap::new(), endings: Vec::new() }
    }

    /// Adds a handler for a name; `*.example.org` is for every name below that one.
    ///
    /// # Errors
    /// `InvalidInput` for a malformed name, and for one that has a handler already.
    pub fn at(mut self, name: &str, handler: impl Handler + 'static) -> io::Result<Hosts<H>> {
        self.add(name, handler).map(|()| self)
    }

    /// Adds a handler as [`at`](Hosts::at) does. After an error, nothing has changed.
    ///
    /// # Errors
    /// Those of [`at`](Hosts::at).
    pub fn add(&mut self, name: &str, handler: impl Handler + 'static) -> io::Result<()> {
        let lower = normalised(name);
        let ending = lower.strip_prefix('*');
        let rest = ending.map_or(lower.as_str(), |ending| ending.strip_prefix('.').unwrap_or("*"));
        let is_byte_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
        let is_name = !rest.is_empty()
            && rest.bytes().all(is_byte_of_name)
            && (!rest.contains(':') || rest.starts_with('[') && rest.ends_with(']'));
        if !is_name {
            return Err(invalid(format!(
                "{name:?} is not a host name: write it as example.org or *.example.org, without \
                 scheme, port and path, and international names as xn--..."
            )));
        }
        let is_known = match ending {
            Some(ending) => self.endings.iter().any(|(known, _)| known == ending),
            None => self.names.contains_key(&lower),
        };
        if is_known {
            return Err(invalid(format!("{name} is given twice")));
        }
        let handler: Arc<dyn Handler> = Arc::new(handler);
        match ending {
            Some(ending) => {
                self.endings.push((ending.to_owned(), handler));
                // The longest first.
                self.endings.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
            }
            None => _ = self.names.insert(lower, handler),
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&dyn Handler> {
        let name = normalised(name);
        if let Some(handler) = self.names.get(&name) {
            return Some(&**handler);
        }
        let fits = |ending: &str| name.len() > ending.len() && name.ends_with(ending);
        self.endings.iter().find(|(ending, _)| fits(ending)).map(|(_, handler)| &**handler)
    }
}

/// Normalises a name: in lower case, without the dot of the DNS root.
fn normalised(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl<H: Handler> Handler for Hosts<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let authority = authority(&call.request);
        match authority.as_ref().and_then(|authority| self.find(authority.host())) {
            Some(handler) => handler.handle(call),
            None => self.others.handle(call),
        }
    }
}

impl<H> fmt::Debug for Hosts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endings = self.endings.iter().map(|(ending, _)| ending);
        f.debug_set().entries(self.names.keys().chain(endings)).finish()
    }
}
