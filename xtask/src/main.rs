//! Tasks of the project, one file per command.

fn main() {}
