//! The layers around a site, in the order of `overlapped_serve::web`'s page: the outermost is the
//! last one that is put around.

use anyhow::{Context, anyhow, bail};
use overlapped_serve::web::{
    BasicAuth, Cors, Forwarded, Handler, Headers, Https, Network, Redirects, RequestLimit,
};

use super::site::Content;
use super::source::Source;

/// Puts around `site` what `content` asks for.
pub(super) fn around(
    content: &Content,
    source: &Source,
    site: impl Handler + 'static,
) -> anyhow::Result<Box<dyn Handler>> {
    let mut site: Box<dyn Handler> = Box::new(site);
    if !content.redirect.is_empty() {
        let mut redirects = Redirects::new(site);
        for (at, rule) in content.redirect.iter().enumerate() {
            let place = source.place("http.redirect", Some(at));
            let (from, to) = rule.split_once('=').ok_or_else(|| {
                anyhow!("{place}: {rule:?} cannot be redirected: write it as /old=/new")
            })?;
            redirects = redirects.from(from, to).context(place)?;
        }
        site = Box::new(redirects);
    }
    if let Some(file) = &content.auth {
        let place = source.place("http.auth", None);
        if let Some(folder) = content.folder_of(file) {
            bail!(
                "{place}: {} would be served to everybody, since it is in {}: move it elsewhere",
                file.display(),
                folder.display()
            );
        }
        site = Box::new(BasicAuth::new(file, site).context(place)?);
    }
    if content.redirect_https {
        site = Box::new(Https::new(site));
    }
    if let Some(rate) = content.request_rate {
        site = Box::new(RequestLimit::new(rate, site));
    }
    if !content.cors.is_empty() {
        let cors = Cors::new(&content.cors, site);
        site = Box::new(cors.with_context(|| source.place("http.cors", None))?);
    }
    if !content.header.is_empty() {
        let mut headers = Headers::new(site);
        for (at, field) in content.header.iter().enumerate() {
            let place = source.place("http.header", Some(at));
            let (name, value) = field.split_once(':').ok_or_else(|| {
                anyhow!("{place}: {field:?} is not a field of HTTP: write it as \"Name: value\"")
            })?;
            headers = headers.set(name.trim(), value.trim()).context(place)?;
        }
        site = Box::new(headers);
    }
    if !content.trust_forwarded.is_empty() {
        let networks = content.trust_forwarded.iter().enumerate().map(|(at, text)| {
            text.parse().with_context(|| source.place("http.trust-forwarded", Some(at)))
        });
        let networks = networks.collect::<anyhow::Result<Vec<Network>>>()?;
        site = Box::new(Forwarded::new(networks, site));
    }
    Ok(site)
}
