//! Which controller's reading of Ingresses applies.

use std::str::FromStr;

use super::{Declarations, standard};
use crate::attribute::routes::Options;
use crate::attribute::routes::building::Building;
use crate::attribute::routes::group::Group;

/// A controller's reading of Ingresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// What the Ingress API says, and nothing more; for controllers that are not known.
    #[default]
    Standard,
    /// `kubernetes/ingress-nginx`.
    IngressNginx,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Standard, Self::IngressNginx];

    /// Its name, as the configuration writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::IngressNginx => "ingress-nginx",
        }
    }

    /// That of a class's `spec.controller`.
    #[must_use]
    pub fn of(_controller: &str) -> Option<Self> {
        None
    }

    pub(super) fn group(
        self,
        declared: Declarations<'_>,
        options: &Options,
        building: &mut Building,
    ) -> Group {
        match self {
            Self::IngressNginx | Self::Standard => standard::group_of(declared, options, building),
        }
    }
}

/// No controller whose dialect is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADialect;

impl FromStr for Dialect {
    type Err = NotADialect;

    fn from_str(text: &str) -> Result<Self, NotADialect> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == text).ok_or(NotADialect)
    }
}
