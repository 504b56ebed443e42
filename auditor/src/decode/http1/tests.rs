//! Tests of the decoder: heads against an independent oracle, conversations against a model, bad input by table.

mod bad_input;
mod conversations;
mod heads;
mod rig;
mod tables;
