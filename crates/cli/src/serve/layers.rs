//! The layers around a site, in the order of `overlapped_serve::web`'s page: the outermost is the
//! last one that is put around.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use overlapped_serve::web::{
    BasicAuth, Call, Cors, Forwarded, Handler, Headers, Https, Network, Redirects, RequestLimit,
};
use overlapped_wire::http::{Answer, text};

use super::faults::Faults;
use super::file::Source;
use super::site::Content;

/// Puts around `site` what `content` asks for. With the fields for answers to what was no request.
pub(super) fn around(
    content: &Content,
    source: &Source,
    site: impl Handler + 'static,
    faults: &mut Faults,
) -> (Box<dyn Handler>, Option<Arc<HeaderMap>>) {
    let mut site: Box<dyn Handler> = Box::new(site);
    if !content.redirect.is_empty() {
        let mut redirects = Redirects::new(site);
        for (at, rule) in content.redirect.iter().enumerate() {
            let place = || source.place("http.redirect", Some(at));
            let added = match rule.split_once('=') {
                Some((from, to)) => redirects.add(from, to).map_err(|error| error.to_string()),
                None => Err(format!("{rule:?} cannot be redirected: write it as /old=/new")),
            };
            faults.keep(place, added);
        }
        site = Box::new(redirects);
    }
    if content.auth.is_some() {
        site = with_auth(content, source, site, faults);
    }
    if content.redirect_https {
        site = Box::new(Https::new(site));
    }
    if let Some(rate) = content.request_rate {
        site = Box::new(RequestLimit::new(rate.into(), site));
    }
    for (at, origin) in content.cors.iter().enumerate() {
        let tried = Cors::new([origin], nothing);
        faults.keep(|| source.place("http.cors", Some(at)), tried);
    }
    if !content.cors.is_empty() {
        site = Cors::new(&content.cors, site).map_or_else(|_| boxed(nothing), boxed);
    }
    let mut fields = None;
    if !content.header.is_empty() {
        let mut headers = Headers::new(site);
        for (at, field) in content.header.iter().enumerate() {
            let place = || source.place("http.header", Some(at));
            let added = match field.split_once(':') {
                Some((name, value)) => {
                    headers.add(name.trim(), value.trim()).map_err(|error| error.to_string())
                }
                None => {
                    Err(format!("{field:?} is not a field of HTTP: write it as \"Name: value\""))
                }
            };
            faults.keep(place, added);
        }
        fields = Some(Arc::new(headers.all()));
        site = Box::new(headers);
    }
    if !content.trust_forwarded.is_empty() {
        let networks = content.trust_forwarded.iter().enumerate().filter_map(|(at, text)| {
            let place = || source.place("http.trust-forwarded", Some(at));
            faults.keep(place, text.parse())
        });
        let networks: Vec<Network> = networks.collect();
        site = Box::new(Forwarded::new(networks, site));
    }
    (site, fields)
}

fn with_auth(
    content: &Content,
    source: &Source,
    site: Box<dyn Handler>,
    faults: &mut Faults,
) -> Box<dyn Handler> {
    let Some(file) = &content.auth else { return site };
    let place = || source.place("http.auth", None);
    content.refuse_if_served(file, place, faults);
    faults.keep(place, BasicAuth::new(file, site)).map_or_else(|| boxed(nothing), boxed)
}

fn boxed(handler: impl Handler + 'static) -> Box<dyn Handler> {
    Box::new(handler)
}

/// In the place of a handler that has faults, and is never asked.
fn nothing(_: Call<'_>) -> Answer {
    text(StatusCode::NOT_FOUND, "")
}
