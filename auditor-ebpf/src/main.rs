//! The kernel programs. On the host this binary is empty: it is built for `bpfel-unknown-none` by `cargo xtask build-ebpf`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}
