//! The kernel programs: `cgroup_skb` on both ways of each packet of a controller, `sock_ops` on the life of its connections.
//!
//! Built for `bpfel-unknown-none` by `cargo xtask build-ebpf`; on the host this binary is empty. The programs read
//! packets through documented helpers and contexts only (no kernel structure, no CO-RE), always let the packet pass, and
//! hand what they saw to the ring. What they could not hand over they count.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// The target has no compare-and-swap, so `core` hides `AtomicU64::fetch_add` there, though the machine can add atomically.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "atomic addition, see above"))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        unsafe_code,
        reason = "helpers, contexts and map values are raw pointers, checked by the verifier"
    )
)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::cast_possible_truncation,
        clippy::indexing_slicing,
        reason = "bounds are proved by the verifier"
    )
)]

#[cfg(target_arch = "bpf")]
mod connection;
#[cfg(target_arch = "bpf")]
mod datagram;
#[cfg(target_arch = "bpf")]
mod entry;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod segment;
#[cfg(target_arch = "bpf")]
mod socket;
#[cfg(target_arch = "bpf")]
mod tap;
#[cfg(target_arch = "bpf")]
mod walk;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::macros::{cgroup_skb, raw_tracepoint, sock_ops, uprobe};
    use aya_ebpf::programs::{ProbeContext, RawTracePointContext, SkBuffContext, SockOpsContext};

    use auditor_ebpf::abi::{EGRESS, INGRESS};

    /// Verdict of `cgroup_skb`: let the packet pass.
    const PASS: i32 = 1;

    /// Sees what enters the controller.
    #[cgroup_skb]
    pub(crate) fn audit_ingress(context: SkBuffContext) -> i32 {
        crate::segment::observe(context.skb.skb, INGRESS);
        PASS
    }

    /// Sees what leaves the controller.
    #[cgroup_skb]
    pub(crate) fn audit_egress(context: SkBuffContext) -> i32 {
        crate::segment::observe(context.skb.skb, EGRESS);
        PASS
    }

    /// Sees connections begin and end.
    #[sock_ops]
    pub(crate) fn audit_connections(context: SockOpsContext) -> u32 {
        crate::connection::observe(&context);
        1
    }

    /// Sees each new TLS secret; may wait for memory (Linux 6.0 and later).
    #[uprobe(sleepable)]
    pub(crate) fn tap_secrets(context: ProbeContext) -> u32 {
        crate::tap::observe::<true>(&context);
        0
    }

    /// The same for kernels whose uprobes may not wait.
    #[uprobe]
    pub(crate) fn tap_secrets_at_once(context: ProbeContext) -> u32 {
        crate::tap::observe::<false>(&context);
        0
    }

    /// Sees a process of the controller become another program.
    #[raw_tracepoint(tracepoint = "sched_process_exec")]
    pub(crate) fn see_exec(_context: RawTracePointContext) -> i32 {
        crate::tap::exec();
        0
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // SAFETY: the verifier refuses programs that can reach a panic: this function is never linked in.
        unsafe { core::hint::unreachable_unchecked() }
    }

    /// Some helpers are for programs under a GPL-compatible licence only.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = "license")]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
