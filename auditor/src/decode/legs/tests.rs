//! The joining of legs: what is joined to what, how sure it is said to be, and that nothing is lost or comes twice.

mod joins;
mod life;
mod model;
mod purposes;
mod rig;
