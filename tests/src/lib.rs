//! Harness: cgroups, real servers, clients, and guards that clean up after them.
