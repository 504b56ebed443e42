//! Real conversations, made in the test by rustls: what comes out is what the programs sent, whatever happens on the way.

mod bounds;
mod conversations;
mod facts;
mod rfc8448;
pub(crate) mod rig;
mod streams;
