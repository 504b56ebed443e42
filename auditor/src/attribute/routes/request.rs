//! What of a request rules may ask for.

use std::borrow::Cow;
use std::net::IpAddr;

use super::RequestPath;

/// A request, as the controller got it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The Host header or `:authority`; a target in absolute form overrides it.
    pub host: Option<&'a [u8]>,
    /// The path.
    pub path: &'a RequestPath<'a>,
    /// The method, as sent.
    pub method: &'a [u8],
    /// What follows the first `?`.
    pub query: Option<&'a [u8]>,
    /// The fields.
    pub fields: &'a dyn Fields,
    /// Where it came in.
    pub listener: Listener<'a>,
    /// Who sent it, as far as the connection tells.
    pub client: Option<IpAddr>,
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listener<'a> {
    /// Whether over TLS; none where that is not known.
    pub tls: Option<bool>,
    /// The port of the controller's socket, which need not be the one that a Gateway or Service names.
    pub port: Option<u16>,
    /// The server name that the client asked for.
    pub server_name: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A GET for a host and path, with nothing else.
    #[must_use]
    pub fn get(host: Option<&'a [u8]>, path: &'a RequestPath<'a>) -> Self {
        Self {
            host,
            path,
            method: b"GET",
            query: None,
            fields: &NoFields,
            listener: Listener::default(),
            client: None,
        }
    }
}

/// The fields of a request.
pub trait Fields {
    /// Gives every value of a field, in order, to `take`; the name's case does not matter. `false` if there may be more of
    /// them than are known.
    fn each(&self, name: &str, take: &mut dyn FnMut(Cow<'_, [u8]>)) -> bool;
}

/// No fields.
struct NoFields;

impl Fields for NoFields {
    fn each(&self, _name: &str, _take: &mut dyn FnMut(Cow<'_, [u8]>)) -> bool {
        true
    }
}

impl Fields for crate::decode::http1::head::Head {
    fn each(&self, name: &str, take: &mut dyn FnMut(Cow<'_, [u8]>)) -> bool {
        self.all(name).for_each(take);
        self.is_whole()
    }
}

/// Fields as a list of names and values.
impl Fields for Vec<(String, String)> {
    fn each(&self, name: &str, take: &mut dyn FnMut(Cow<'_, [u8]>)) -> bool {
        let named = self.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.for_each(|(_, value)| take(Cow::Borrowed(value.as_bytes())));
        true
    }
}
