//! Capture: where records come from. The only room that touches the kernel's interfaces and `unsafe`.

pub mod kernel;
pub mod pcap;
pub mod record;
pub mod secret;
pub mod sockets;
pub mod tap;
