//! The key tap: entered with each new TLS secret of any process that runs the probed file.
//!
//! Reads the label, the client random and the secret where the function's arguments say they are, and hands them on if the
//! process is in the audited cgroup. Everything that is read is the process's own memory: nothing in it is trusted, and a
//! pointer that leads nowhere is counted.

use auditor_ebpf::abi::Counter;
use auditor_ebpf::secret::{
    FORM_C_BEHIND, FORM_C_EMBEDDED, FORM_GO, HAS_CLIENT_RANDOM, KIND_SECRET, LABEL_FOREIGN, LABEL_LEN,
    LABEL_UNWANTED, LabelWords, Layout, MAX_SECRET, Secret, label_code,
};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{
    bpf_copy_from_user, bpf_get_attach_cookie, bpf_get_current_ancestor_cgroup_id, bpf_probe_read_user,
    bpf_probe_read_user_str,
};
use aya_ebpf::programs::ProbeContext;

use crate::entry::header;
use crate::maps::{count, emit, waiting, wake};

/// The cgroup that is audited: the inode of its directory. Set when loading.
#[unsafe(no_mangle)]
static TAP_CGROUP: u64 = 0;
/// Whether `pt_regs` are arm64's. Set when loading.
#[unsafe(no_mangle)]
static TAP_ARM64: u8 = 0;

/// Cgroups nest no deeper than this where anything real runs.
const MAX_LEVEL: i32 = 32;
const RANDOM_LEN: u32 = 32;

/// What of a call is wanted, in the caller's memory.
struct Arguments {
    session: u64,
    label: u64,
    /// Go only: C strings end with a zero.
    label_len: u64,
    /// Go only.
    random: u64,
    secret: u64,
    secret_len: u64,
}

/// Looks at one call. `FAULT`: the program may wait for a page that is not in memory.
#[inline(always)]
pub(crate) fn observe<const FAULT: bool>(context: &ProbeContext) {
    if !is_audited() {
        return;
    }
    count(Counter::TapHit, 1);
    // SAFETY: the context is valid.
    let layout = Layout::unpack(unsafe { bpf_get_attach_cookie(context.as_ptr()) });
    let arguments = arguments(context, layout.form == FORM_GO);
    let mut label: LabelWords = [0; LABEL_LEN / 8];
    if !read_label::<FAULT>(&mut label, &arguments, layout.form == FORM_GO) {
        return count(Counter::TapUnreadable, 1);
    }
    let code = label_code(&label);
    if code == LABEL_UNWANTED {
        return;
    }
    if code == LABEL_FOREIGN || arguments.secret_len == 0 || arguments.secret_len > MAX_SECRET as u64 {
        return count(Counter::TapForeignLabel, 1);
    }
    let mut record = Secret {
        header: header(KIND_SECRET, 0, 0, 0, 0),
        client_random: [0; 32],
        secret: [0; MAX_SECRET],
        // SAFETY: the helper has no preconditions.
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        label: code,
        secret_len: arguments.secret_len as u8,
        flags: 0,
        reserved: 0,
    };
    // The verifier wants to see 1..=64.
    let len = ((arguments.secret_len as u32 - 1) & (MAX_SECRET as u32 - 1)) + 1;
    if !read::<FAULT>(record.secret.as_mut_ptr(), len, arguments.secret) {
        return count(Counter::TapUnreadable, 1);
    }
    match random_place::<FAULT>(&layout, &arguments) {
        Some(place) if read::<FAULT>(record.client_random.as_mut_ptr(), RANDOM_LEN, place) => {
            record.flags = HAS_CLIENT_RANDOM;
        }
        // The secret can still be told by trial.
        _ if layout.form != auditor_ebpf::secret::FORM_C => {
            record.client_random = [0; 32];
            count(Counter::TapUnreadable, 1);
        }
        _ => {}
    }
    emit::<Secret>(0, waiting(), |entry| {
        entry.write(record);
        true
    });
}

/// A process has become another program: if it is audited, who attaches is woken to look at what it runs.
#[inline(always)]
pub(crate) fn exec() {
    if is_audited() {
        wake();
    }
}

/// Whether the current process is in the audited cgroup or below. By the numbers of its ancestors, whatever their level: the
/// level is not known from inside a cgroup namespace.
#[inline(always)]
fn is_audited() -> bool {
    // SAFETY: an initialised static that the loader replaces.
    let wanted = unsafe { (&raw const TAP_CGROUP).read_volatile() };
    let mut level = 0;
    while level < MAX_LEVEL {
        // SAFETY: the helper has no preconditions; 0 for a level that does not exist.
        let id = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if id == wanted {
            return true;
        }
        if id == 0 {
            return false;
        }
        level += 1;
    }
    false
}

/// The registers, by their place in `pt_regs` (arch/x86/include/asm/ptrace.h; arch/arm64/include/asm/ptrace.h: x0 to x30).
#[inline(always)]
fn arguments(context: &ProbeContext, go: bool) -> Arguments {
    let registers = context.as_ptr().cast::<u64>();
    macro_rules! words {
        ($($name:ident = $number:literal)*) => {
            // All of them first, and none behind a condition: the verifier wants each access to the context at a constant
            // place, and ways that join would share one at a computed place.
            // SAFETY: inside `pt_regs` on both machines.
            $(let $name = unsafe { registers.add($number).read_volatile() };)*
        };
    }
    words!(w0 = 0 w1 = 1 w2 = 2 w3 = 3 w5 = 5 w6 = 6 w7 = 7 w8 = 8 w11 = 11 w12 = 12 w13 = 13 w14 = 14);
    // SAFETY: an initialised static that the loader replaces.
    let arm64 = unsafe { (&raw const TAP_ARM64).read_volatile() } != 0;
    let (session, label, label_len, random, secret, secret_len) = match (arm64, go) {
        // rdi, rsi, rdx, rcx.
        (false, false) => (w14, w13, 0, 0, w12, w11),
        // rbx and rcx; rdi; r9 and r10.
        (false, true) => (0, w5, w11, w14, w8, w7),
        (true, false) => (w0, w1, 0, 0, w2, w3),
        (true, true) => (0, w1, w2, w3, w6, w7),
    };
    Arguments { session, label, label_len, random, secret, secret_len }
}

/// Where the client random is.
#[inline(always)]
fn random_place<const FAULT: bool>(layout: &Layout, arguments: &Arguments) -> Option<u64> {
    match layout.form {
        FORM_GO => Some(arguments.random),
        FORM_C_EMBEDDED => Some(arguments.session.wrapping_add(u64::from(layout.offset))),
        FORM_C_BEHIND => {
            let mut pointer = 0_u64;
            let at = arguments.session.wrapping_add(u64::from(layout.pointer));
            read::<FAULT>((&raw mut pointer).cast(), 8, at)
                .then_some(pointer.wrapping_add(u64::from(layout.offset)))
        }
        _ => None,
    }
}

/// Reads the label. Its page may never have been touched: the caller has only made its address.
#[inline(always)]
fn read_label<const FAULT: bool>(label: &mut LabelWords, arguments: &Arguments, go: bool) -> bool {
    let to = label.as_mut_ptr().cast::<u8>();
    if go {
        if arguments.label_len == 0 || arguments.label_len >= LABEL_LEN as u64 {
            // Too long for a label: it will be no known one.
            return true;
        }
        let len = ((arguments.label_len as u32 - 1) & (LABEL_LEN as u32 - 1)) + 1;
        return read::<FAULT>(to, len, arguments.label);
    }
    if FAULT {
        // Brings the page, or both, into memory: it may be the last one, so failing means nothing yet.
        let mut byte = 0_u8;
        read::<FAULT>(&raw mut byte, 1, arguments.label);
        read::<FAULT>(&raw mut byte, 1, arguments.label.wrapping_add(LABEL_LEN as u64 - 1));
    }
    // SAFETY: the helper writes at most as many bytes as the label holds, ending with a zero, or fails.
    let len = unsafe { bpf_probe_read_user_str(to.cast(), LABEL_LEN as u32, arguments.label as *const _) };
    len > 0
}

#[inline(always)]
fn read<const FAULT: bool>(to: *mut u8, len: u32, from: u64) -> bool {
    // SAFETY: `to` holds `len` bytes, which the verifier checks; `from` is the caller's memory and may be anything.
    let status = unsafe {
        if FAULT {
            bpf_copy_from_user(to.cast(), len, from as *const _)
        } else {
            bpf_probe_read_user(to.cast(), len, from as *const _)
        }
    };
    status == 0
}
