//! Loads the programs and attaches them to one cgroup: the privileged half of capture.
//!
//! One instance, with maps of its own, for each audited cgroup: its ring holds both legs of one controller and nothing
//! else, so that a record needs no name of its controller and one thread sees all that must be joined. Nothing is
//! pinned: when the process that holds an [`Attachment`] ends, however it ends, the kernel detaches the programs.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use auditor_ebpf::abi::{COUNTERS, DATAGRAM_CELLS};
use aya::maps::{Map, MapData, MapError};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, SockOps};
use aya::{Ebpf, EbpfError, EbpfLoader};
use thiserror::Error;

/// The kernel programs, as `cargo xtask build-ebpf` made them; empty where it has not.
pub static PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/auditor-ebpf"));

/// What can be chosen when loading.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the ring in bytes: a power of two, a multiple of the page size.
    pub ring_bytes: u32,
    /// Bytes copied from the start of each turn of the side that sends requests.
    pub request_window: u64,
    /// The same for the side that sends responses.
    pub response_window: u64,
}

/// Programs attached to a cgroup. Dropping it detaches them.
#[derive(Debug)]
pub struct Attachment {
    cgroup: PathBuf,
    ring_bytes: u32,
    cpus: u32,
    pub(super) ebpf: Ebpf,
}

/// What the reader of the records needs: three maps, as descriptors that it can map into memory without any right.
#[derive(Debug)]
pub struct Handles {
    /// The ring of records.
    pub ring: OwnedFd,
    /// The array of wants.
    pub wants: OwnedFd,
    /// The array of counters.
    pub counters: OwnedFd,
    /// Size of the ring's data, bytes.
    pub ring_bytes: u32,
    /// CPUs in the array of counters.
    pub cpus: u32,
}

impl Handles {
    /// From descriptors that were handed over in the order of the fields; none if there are not as many.
    #[must_use]
    pub fn received(descriptors: Vec<OwnedFd>, ring_bytes: u32, cpus: u32) -> Option<Self> {
        let [ring, wants, counters] = <[OwnedFd; 3]>::try_from(descriptors).ok()?;
        Some(Self { ring, wants, counters, ring_bytes, cpus })
    }
}

/// Why the programs are not attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The binary holds no programs.
    #[error(
        "this binary was built without the kernel programs: build them with `cargo xtask build-ebpf`, then build it again"
    )]
    NoPrograms,
    /// The kernel refused the object.
    #[error("the kernel did not load the programs (`auditor check` tells what it lacks)")]
    Load(#[from] EbpfError),
    /// A program was refused.
    #[error("the kernel refused the program {name} (`auditor check` tells what it lacks)")]
    Program {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// The object does not hold what it should.
    #[error("the kernel programs hold no {name}: they are of another version")]
    Missing {
        /// Of the program or map.
        name: &'static str,
    },
    /// A map could not be shared.
    #[error("the map {name} could not be shared")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The cgroup could not be opened.
    #[error("cannot open the cgroup {}", path.display())]
    Cgroup {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The number of CPUs is not known.
    #[error("cannot tell the number of possible CPUs from {path}")]
    Cpus {
        /// The file that should say it.
        path: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Loads `object` and attaches its programs to the cgroup at `cgroup` and all below it.
///
/// `sock_ops` comes first: a connection that opens in between is then known by its `Opened` record before its bytes.
///
/// # Errors
/// When the kernel or the cgroup refuses; nothing stays attached then.
pub fn attach(object: &[u8], cgroup: &Path, options: Options) -> Result<Attachment, AttachError> {
    if object.is_empty() {
        return Err(AttachError::NoPrograms);
    }
    let directory =
        File::open(cgroup).map_err(|source| AttachError::Cgroup { path: cgroup.to_owned(), source })?;
    let cpus = possible_cpus()?;
    // Bodies may fill half; the reader is woken long before.
    let (bulk_bytes, wake_bytes) = (u64::from(options.ring_bytes / 2), u64::from(options.ring_bytes / 16));
    // What payload leaves free is for records, and half of that for those of beginnings and ends.
    let copy_bytes = u64::from(options.ring_bytes - options.ring_bytes / 8);
    let tell_bytes = u64::from(options.ring_bytes - options.ring_bytes / 16);
    let cgroup_id =
        directory.metadata().map_err(|source| AttachError::Cgroup { path: cgroup.to_owned(), source })?.ino();
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("EVENTS", options.ring_bytes)
        .map_max_entries("COUNTERS", DATAGRAM_CELLS + cpus * COUNTERS)
        .override_global("REQUEST_WINDOW", &options.request_window, true)
        .override_global("RESPONSE_WINDOW", &options.response_window, true)
        .override_global("BULK_BYTES", &bulk_bytes, true)
        .override_global("COPY_BYTES", &copy_bytes, true)
        .override_global("TELL_BYTES", &tell_bytes, true)
        .override_global("WAKE_BYTES", &wake_bytes, true)
        .override_global("TAP_CGROUP", &cgroup_id, true)
        .override_global("TAP_ARM64", &u8::from(cfg!(target_arch = "aarch64")), true)
        .load(object)?;
    attach_sock_ops(&mut ebpf, &directory)?;
    attach_skb(&mut ebpf, &directory, "audit_ingress", CgroupSkbAttachType::Ingress)?;
    attach_skb(&mut ebpf, &directory, "audit_egress", CgroupSkbAttachType::Egress)?;
    Ok(Attachment { cgroup: cgroup.to_owned(), ring_bytes: options.ring_bytes, cpus, ebpf })
}

impl Attachment {
    /// The cgroup's directory.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// New descriptors of the maps that a reader needs.
    ///
    /// # Errors
    /// When the object lacks a map or the process may open no more files.
    pub fn handles(&self) -> Result<Handles, AttachError> {
        Ok(Handles {
            ring: self.map("EVENTS")?,
            wants: self.map("WANTS")?,
            counters: self.map("COUNTERS")?,
            ring_bytes: self.ring_bytes,
            cpus: self.cpus,
        })
    }

    fn map(&self, name: &'static str) -> Result<OwnedFd, AttachError> {
        let data: &MapData = match self.ebpf.map(name) {
            Some(Map::RingBuf(data) | Map::Array(data)) => data,
            _ => return Err(AttachError::Missing { name }),
        };
        let io = |error: std::io::Error| AttachError::Map { name, source: MapError::IoError(error) };
        data.fd().as_fd().try_clone_to_owned().map_err(io)
    }
}

fn attach_skb(
    ebpf: &mut Ebpf,
    cgroup: &File,
    name: &'static str,
    attach_type: CgroupSkbAttachType,
) -> Result<(), AttachError> {
    let refused = |source| AttachError::Program { name, source };
    let program: &mut CgroupSkb =
        ebpf.program_mut(name).ok_or(AttachError::Missing { name })?.try_into().map_err(refused)?;
    program.load().map_err(refused)?;
    program.attach(cgroup, attach_type, CgroupAttachMode::Single).map_err(refused)?;
    Ok(())
}

fn attach_sock_ops(ebpf: &mut Ebpf, cgroup: &File) -> Result<(), AttachError> {
    let name = "audit_connections";
    let refused = |source| AttachError::Program { name, source };
    let program: &mut SockOps =
        ebpf.program_mut(name).ok_or(AttachError::Missing { name })?.try_into().map_err(refused)?;
    program.load().map_err(refused)?;
    program.attach(cgroup, CgroupAttachMode::Single).map_err(refused)?;
    Ok(())
}

/// CPUs that may ever run, which bounds the numbers they have (Documentation/admin-guide/cputopology.rst).
fn possible_cpus() -> Result<u32, AttachError> {
    let (path, count) = match aya::util::nr_cpus() {
        Ok(count) => return Ok(u32::try_from(count).unwrap_or(u32::MAX / COUNTERS)),
        Err(error) => error,
    };
    Err(AttachError::Cpus { path, source: count })
}
