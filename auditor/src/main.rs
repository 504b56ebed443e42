//! The `auditor` program: parse the arguments, start, report the exit code.

fn main() {}
