//! Conversations, tables of what is wrong, and holes.

mod bad_input;
mod conversations;
mod holes;
mod independent;
mod rig;
mod tables;
