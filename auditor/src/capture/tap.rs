//! The key tap: where the TLS code of a controller's processes offers its secrets for key logging.
//!
//! Every TLS library has one internal function that it calls with each new secret so that an application may log it in the
//! NSS key-log form, whether or not logging is on. One uprobe there gives the secrets of every new connection and costs
//! nothing per request. [`locate`] finds the function in a file's bytes, without symbols; [`processes`] finds the files that
//! the processes of a cgroup run; [`watch`] has
//! [`super::kernel::tap`] attach, and keeps up with what the cgroup runs.

pub mod locate;
pub mod processes;
pub mod watch;
