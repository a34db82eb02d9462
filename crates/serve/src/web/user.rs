//! The user of a request.

/// The user of a request. A layer that has checked a password adds it to the request's extensions,
/// for the handlers behind it. Scripts get the name as `REMOTE_USER`.
///
/// ```
/// use overlapped_serve::web::{Call, Cgi, Handler, User};
/// # let folder = tempfile::tempdir()?;
/// # fn is_right(_: &http::HeaderMap) -> bool { true }
///
/// let cgi = Cgi::new(folder.path())?;
/// let checked = move |mut call: Call<'_>| {
///     if is_right(call.request.headers()) {
///         call.request.extensions_mut().insert(User::new("Basic", "somebody"));
///     }
///     cgi.handle(call)
/// };
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    scheme: String,
    name: String,
}

impl User {
    /// Creates a user with this name, authenticated by this scheme, such as `Basic`.
    pub fn new(scheme: impl Into<String>, name: impl Into<String>) -> User {
        User { scheme: scheme.into(), name: name.into() }
    }

    /// Returns the authentication scheme (`AUTH_TYPE`).
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
