//! The header of a frame (RFC 9113, 4.1), and which frames may stand where.

use super::defect::Defect;

/// Octets of the header.
pub(super) const HEADER_BYTES: usize = 9;
/// What the requesting side sends first (3.4).
pub(in crate::decode) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame that settings can allow (6.5.2).
pub(super) const MAX_FRAME: u32 = (1 << 24) - 1;
/// The largest frame where no setting says otherwise (6.5.2).
pub(super) const DEFAULT_FRAME: u32 = 1 << 14;

/// Flags (6). `ACK` is that of `SETTINGS` and `PING`, with the value of `END_STREAM`.
pub(super) mod flag {
    pub(in crate::decode::http2) const ACK: u8 = 0x1;
    pub(in crate::decode::http2) const END_STREAM: u8 = 0x1;
    pub(in crate::decode::http2) const END_HEADERS: u8 = 0x4;
    pub(in crate::decode::http2) const PADDED: u8 = 0x8;
    pub(in crate::decode::http2) const PRIORITY: u8 = 0x20;
}

/// The types of RFC 9113, 6. Others are skipped (4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    Unknown,
}

/// Which side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Request,
    Response,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Without the reserved bit, which is ignored (4.1).
    pub(super) stream: u32,
}

impl Frame {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Unknown,
        };
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        Self { length, kind, flags, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]) }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What is wrong with it, as far as that makes an error of the connection and can be seen in it alone.
    pub(super) fn check(&self, role: Role) -> Result<(), Defect> {
        let on_connection = self.stream == 0;
        let stream_fits = match self.kind {
            Kind::Settings | Kind::Ping | Kind::GoAway => on_connection,
            Kind::Data | Kind::Priority | Kind::RstStream | Kind::Continuation => !on_connection,
            // 5.1.1: streams that clients open have odd numbers, and a server answers on those or on what it promised.
            Kind::Headers => !on_connection && (role == Role::Response || self.stream % 2 == 1),
            Kind::PushPromise => !on_connection && self.stream % 2 == 1,
            Kind::WindowUpdate | Kind::Unknown => true,
        };
        if self.kind == Kind::PushPromise && role == Role::Request {
            return Err(Defect::Push);
        }
        if !stream_fits {
            return Err(Defect::Stream);
        }
        let padding = u32::from(self.has(flag::PADDED));
        let priority = if self.has(flag::PRIORITY) { 5 } else { 0 };
        let length_fits = match self.kind {
            Kind::RstStream | Kind::WindowUpdate => self.length == 4,
            Kind::Ping => self.length == 8,
            Kind::GoAway => self.length >= 8,
            Kind::Settings if self.has(flag::ACK) => self.length == 0,
            Kind::Settings => self.length.is_multiple_of(6),
            Kind::Data => self.length >= padding,
            Kind::Headers => self.length >= padding + priority,
            Kind::PushPromise => self.length >= padding + 4,
            // A PRIORITY of another length is an error of its stream only (6.3).
            Kind::Priority | Kind::Continuation | Kind::Unknown => true,
        };
        if length_fits { Ok(()) } else { Err(Defect::FrameLength) }
    }

    /// Whether it could be one where nothing else is known: [`Self::check`], and only flags that its type has.
    pub(super) fn is_plausible(&self, role: Role, max_frame: u32, max_stream: u32) -> bool {
        let flags = match self.kind {
            Kind::Data => flag::END_STREAM | flag::PADDED,
            Kind::Headers => flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
            Kind::Settings | Kind::Ping => flag::ACK,
            Kind::PushPromise => flag::END_HEADERS | flag::PADDED,
            Kind::Continuation => flag::END_HEADERS,
            Kind::Priority | Kind::RstStream | Kind::GoAway | Kind::WindowUpdate => 0,
            Kind::Unknown => u8::MAX,
        };
        self.length <= max_frame
            && self.flags & !flags == 0
            && self.stream <= max_stream
            && self.check(role).is_ok()
    }
}
