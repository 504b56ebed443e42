//! Any cut, order, repetition and overlap of a stream gives the stream again; what is missing is named, nothing else.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    Data(Vec<u8>),
    Unwanted(u64),
    Lost(u64),
    Fin,
    Reset,
}

fn segment(offset: u64, len: u32, bytes: &[u8]) -> Segment<'_> {
    Segment { direction: Direction::Ingress, offset, len, bytes, fin: false, rst: false, received: None }
}

/// A segment of which everything was copied.
fn whole(offset: u64, bytes: &[u8]) -> Segment<'_> {
    segment(offset, u32::try_from(bytes.len()).unwrap(), bytes)
}

#[derive(Default)]
struct Rig {
    stream: Stream,
    out: Vec<Out>,
}

fn collect(out: &mut Vec<Out>) -> impl FnMut(Piece<'_>, Nanos) {
    |piece, _| match (piece, out.last_mut()) {
        (Piece::Data(bytes), Some(Out::Data(last))) => last.extend_from_slice(bytes),
        (Piece::Data(bytes), _) => out.push(Out::Data(bytes.to_vec())),
        (Piece::Hole { len, reason: Absence::Unwanted }, Some(Out::Unwanted(last))) => *last += len,
        (Piece::Hole { len, reason: Absence::Unwanted }, _) => out.push(Out::Unwanted(len)),
        (Piece::Hole { len, reason: Absence::Lost }, Some(Out::Lost(last))) => *last += len,
        (Piece::Hole { len, reason: Absence::Lost }, _) => out.push(Out::Lost(len)),
        (Piece::Fin, _) => out.push(Out::Fin),
        (Piece::Reset, _) => out.push(Out::Reset),
    }
}

impl Rig {
    fn push_within(&mut self, limits: &Limits, segment: &Segment<'_>, time: Nanos) -> &mut Self {
        self.stream.push(limits, segment, time, &mut collect(&mut self.out));
        self
    }

    fn push(&mut self, segment: Segment<'_>) -> &mut Self {
        self.push_within(&Limits::default(), &segment, 0)
    }

    fn finish(&mut self) -> &mut Self {
        self.stream.finish(None, 0, &mut collect(&mut self.out));
        self
    }

    #[track_caller]
    fn check(&self, expected: &[Out]) {
        assert_eq!(self.out, expected);
    }
}

fn data(bytes: &[u8]) -> Out {
    Out::Data(bytes.to_vec())
}

#[test]
fn an_idle_stream_is_small() {
    assert!(size_of::<Stream>() <= 104, "{}", size_of::<Stream>());
}

#[test]
fn order_is_restored() {
    let mut rig = Rig::default();
    rig.push(whole(3, b"def")).push(whole(6, b"gh")).check(&[]);
    assert!(rig.stream.is_waiting());
    rig.push(whole(0, b"abc")).check(&[data(b"abcdefgh")]);
    assert!(!rig.stream.is_waiting());
    assert_eq!(rig.stream.held_bytes(), 0);
}

#[test]
fn the_first_copy_of_a_byte_counts() {
    let mut rig = Rig::default();
    rig.push(whole(2, b"cde")).push(whole(1, b"bXXXf")).push(whole(0, b"a"));
    rig.check(&[data(b"abcdef")]);
    assert_eq!(rig.stream.counts().contradictions, 1);
    assert_eq!(rig.stream.counts().duplicate_bytes, 3);
}

#[test]
fn a_later_copy_fills_what_was_not_copied() {
    let mut rig = Rig::default();
    rig.push(segment(2, 6, b"cd")).push(whole(5, b"fg")).push(whole(0, b"ab"));
    rig.check(&[data(b"abcd"), Out::Unwanted(1), data(b"fg"), Out::Unwanted(1)]);
    assert_eq!(rig.stream.counts().contradictions, 0);
}

#[test]
fn unwanted_bytes_pass_as_a_hole() {
    let mut rig = Rig::default();
    rig.push(segment(0, 10, b"abc")).push(whole(10, b"k")).push(segment(11, 5, b""));
    rig.check(&[data(b"abc"), Out::Unwanted(7), data(b"k"), Out::Unwanted(5)]);
}

/// A segment that came when TCP had accepted everything before `received`.
fn judged(received: u64, segment: Segment<'_>) -> Segment<'_> {
    Segment { received: Some(received), ..segment }
}

impl Rig {
    /// As a connection does: what TCP has accepted first, then the segment.
    fn judge(&mut self, received: u64, segment: Segment<'_>) -> &mut Self {
        self.accept(received).push(judged(received, segment))
    }

    fn accept(&mut self, received: u64) -> &mut Self {
        self.stream.accepted(received, 0, &mut collect(&mut self.out));
        self
    }

    fn close(&mut self, received: u64) -> &mut Self {
        self.stream.finish(Some(received), 0, &mut collect(&mut self.out));
        self
    }
}

#[test]
fn what_tcp_waits_for_is_waited_for_and_what_it_has_passed_is_lost() {
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, whole(4, b"ef"));
    rig.stream.expire(&Limits::default(), Nanos::MAX, &mut collect(&mut rig.out));
    rig.check(&[data(b"ab")]);
    rig.judge(2, whole(2, b"cd")).check(&[data(b"abcdef")]);
    // TCP has what was not seen here: there is nothing to wait for.
    rig.judge(8, whole(8, b"i")).check(&[data(b"abcdef"), Out::Lost(2), data(b"i")]);
    let mut rig = Rig::default();
    rig.judge(0, whole(3, b"d")).accept(2).check(&[]);
    rig.accept(3).check(&[Out::Lost(3), data(b"d")]);
}

#[test]
fn another_copy_contradicts_only_until_tcp_has_accepted_one() {
    for (received, copy, contradictions) in
        [(0, &b"GET /b"[..], 1), (0, b"GET /a", 0), (6, b"GET /b", 0), (0, b"GET /ax", 0), (5, b"GET /b", 1)]
    {
        let mut rig = Rig::default();
        rig.judge(0, whole(0, b"GET /a")).judge(received, whole(0, copy));
        assert_eq!(rig.stream.counts().contradictions, contradictions, "{received} {copy:?}");
    }
}

#[test]
fn an_end_counts_when_tcp_has_obeyed_it() {
    let fin = |offset| Segment { fin: true, ..whole(offset, b"") };
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, fin(2)).check(&[data(b"ab")]);
    assert!(!rig.stream.is_waiting());
    rig.accept(3).check(&[data(b"ab"), Out::Fin]);
    // One that TCP drops, and the connection goes on.
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, fin(2)).judge(2, whole(2, b"cd"));
    rig.judge(4, fin(4)).accept(5).check(&[data(b"abcd"), Out::Fin]);
    assert_eq!((rig.stream.counts().ends_refused, rig.stream.counts().contradictions), (1, 0));
    // One that TCP drops, before bytes that it takes and that nobody saw.
    let mut rig = Rig::default();
    rig.judge(0, fin(0)).accept(5).check(&[]);
    rig.judge(5, whole(5, b"f")).judge(6, fin(6)).accept(7).check(&[Out::Lost(5), data(b"f"), Out::Fin]);
    // One before bytes that were given out and not accepted: these, or it, are not of the stream.
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(0, fin(0)).close(1);
    assert_eq!((rig.stream.counts().ends_refused, rig.stream.counts().contradictions), (0, 1));
    // One beyond what will come.
    let mut rig = Rig::default();
    rig.judge(0, fin(9)).judge(0, whole(0, b"ab")).judge(2, fin(2)).accept(3);
    rig.check(&[data(b"ab"), Out::Fin]);
    // The connection's close tells as well.
    for (received, expected) in [(3, &[data(b"ab"), Out::Fin][..]), (2, &[data(b"ab")])] {
        let mut rig = Rig::default();
        rig.judge(0, whole(0, b"ab")).judge(2, fin(2)).close(received).check(expected);
    }
}

#[test]
fn a_reset_counts_when_the_connection_closes() {
    let reset = |offset| Segment { rst: true, ..whole(offset, b"") };
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, reset(2)).judge(2, whole(2, b"cd")).judge(4, reset(3));
    rig.close(4).check(&[data(b"abcd")]);
    assert_eq!(rig.stream.counts().resets_refused, 2);
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, reset(2)).close(2).check(&[data(b"ab"), Out::Reset]);
    // At the end of what TCP holds, and where its sender does not count its FIN.
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, whole(5, b"f")).judge(2, reset(6)).close(2);
    rig.check(&[data(b"ab"), Out::Reset]);
    let fin = Segment { fin: true, ..whole(0, b"ab") };
    let mut rig = Rig::default();
    rig.judge(0, fin).judge(3, reset(2)).close(3).check(&[data(b"ab"), Out::Fin, Out::Reset]);
}

#[test]
fn what_lies_far_ahead_takes_no_place_from_what_tcp_waits_for() {
    let limits = Limits { bytes: 4, ranges: 2, age: 10 };
    let mut rig = Rig::default();
    rig.accept(0);
    for offset in (10..100).rev() {
        rig.push_within(&limits, &judged(0, whole(offset * 2, b"x")), 0);
    }
    rig.push_within(&limits, &judged(0, whole(1000, b"xxxxx")), 0).check(&[]);
    assert!(rig.stream.held_bytes() <= 4 + 3 * 64);
    rig.judge(0, whole(0, b"GET /")).judge(5, whole(5, b" ")).check(&[data(b"GET / ")]);
    rig.stream.release(0, &mut collect(&mut rig.out));
    assert_eq!(rig.stream.held_bytes(), 0);
    rig.judge(6, whole(6, b"H")).check(&[data(b"GET / H")]);
}

/// An end that TCP has not obeyed yet, and something behind it: nothing is missing, and nothing goes on for ever.
#[test]
fn an_end_before_what_is_held() {
    let fin = Segment { fin: true, ..whole(2, b"") };
    for (received, expected) in [(3, &[data(b"ab"), Out::Fin][..]), (2, &[data(b"ab")])] {
        let mut rig = Rig::default();
        rig.judge(0, whole(1 << 20, b"x"))
            .judge(0, whole(0, b"ab"))
            .judge(2, fin)
            .close(received)
            .check(expected);
    }
    let mut rig = Rig::default();
    rig.judge(0, whole(1 << 20, b"x")).judge(0, whole(0, b"ab")).judge(2, fin).finish();
    rig.check(&[data(b"ab"), Out::Fin]);
    // It was forged, as what is behind it.
    let mut rig = Rig::default();
    rig.judge(0, whole(9, b"x")).judge(0, whole(0, b"ab")).judge(2, fin).judge(2, whole(2, b"cd"));
    rig.check(&[data(b"abcd")]);
}

#[test]
fn what_was_acknowledged_and_not_seen_is_lost_at_the_end() {
    let mut rig = Rig::default();
    rig.push(whole(0, b"ab"));
    rig.stream.reach(2, 0, &mut collect(&mut rig.out));
    rig.stream.reach(9, 0, &mut collect(&mut rig.out));
    rig.finish().check(&[data(b"ab"), Out::Lost(7)]);
}

/// What was given out and waits for TCP is memory as well.
#[test]
fn what_tcp_has_not_accepted_is_held() {
    let mut rig = Rig::default();
    rig.judge(0, whole(0, &[b'x'; 60_000]));
    assert!(rig.stream.held_bytes() >= 60_000);
    rig.stream.release(0, &mut collect(&mut rig.out));
    assert_eq!(rig.stream.held_bytes(), 0);
    assert!(rig.stream.is_contradicted_by(&whole(5, b"x")), "it can be compared no more");
    rig.accept(60_000);
    assert!(!rig.stream.is_contradicted_by(&whole(5, b"y")));
}

#[test]
fn what_tcp_never_accepted_is_not_given_out() {
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, whole(4, b"ef")).close(2).check(&[data(b"ab")]);
    assert_eq!(rig.stream.counts().beyond_bytes, 2);
    assert_eq!(rig.stream.refused(2), 0);
    // Or had been given out already.
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"abcd")).close(2).check(&[data(b"abcd")]);
    assert_eq!(rig.stream.refused(2), 2);
    // And what it accepted and nobody saw is missing, also at the end.
    let mut rig = Rig::default();
    rig.judge(0, whole(0, b"ab")).judge(2, whole(5, b"f")).close(9);
    rig.check(&[data(b"ab"), Out::Lost(3), data(b"f"), Out::Lost(3)]);
}

#[test]
fn a_stream_may_be_told_of_from_its_middle() {
    let mut rig = Rig { stream: Stream::starting_at(100), ..Rig::default() };
    rig.judge(100, whole(98, b"xxab")).judge(102, whole(102, b"c")).close(103).check(&[data(b"abc")]);
}

#[test]
fn waiting_ends_with_the_bound_of_bytes_and_of_ranges() {
    let limits = Limits { bytes: 4, ranges: 2, age: 10 };
    let mut rig = Rig::default();
    rig.push_within(&limits, &whole(5, b"fghi"), 0).check(&[]);
    rig.push_within(&limits, &whole(10, b"k"), 0).check(&[Out::Lost(5), data(b"fghi")]);
    let mut rig = Rig::default();
    for offset in [2, 4, 6] {
        rig.push_within(&limits, &whole(offset, b"x"), 0);
    }
    rig.check(&[Out::Lost(2), data(b"x")]);
    assert_eq!(rig.stream.counts().lost_bytes, 2);
}

#[test]
fn waiting_ends_with_age_since_the_last_advance() {
    let limits = Limits { age: 10, ..Limits::default() };
    let mut rig = Rig::default();
    rig.push_within(&limits, &whole(4, b"ef"), 0).push_within(&limits, &whole(0, b"ab"), 8);
    rig.stream.expire(&limits, 17, &mut collect(&mut rig.out));
    rig.check(&[data(b"ab")]);
    assert_eq!(rig.stream.deadline(&limits), Some(18));
    rig.stream.expire(&limits, 18, &mut collect(&mut rig.out));
    rig.check(&[data(b"ab"), Out::Lost(2), data(b"ef")]);
    // What was given up and comes after all is late, not new.
    rig.push(whole(2, b"cd"));
    rig.check(&[data(b"ab"), Out::Lost(2), data(b"ef")]);
    assert_eq!(rig.stream.counts().duplicate_bytes, 2);
}

#[test]
fn the_end_waits_for_what_is_before_it() {
    let mut rig = Rig::default();
    rig.push(Segment { fin: true, ..whole(3, b"d") }).push(whole(0, b"ab")).check(&[data(b"ab")]);
    rig.push(whole(2, b"c")).check(&[data(b"abcd"), Out::Fin]);
    rig.push(Segment { fin: true, ..whole(3, b"d") }).push(whole(4, b"evil"));
    rig.check(&[data(b"abcd"), Out::Fin]);
    assert_eq!(rig.stream.counts().beyond_bytes, 4);
}

#[test]
fn an_end_that_contradicts_is_not_believed() {
    let mut rig = Rig::default();
    rig.push(whole(0, b"abc")).push(Segment { fin: true, ..whole(0, b"a") }).check(&[data(b"abc")]);
    assert_eq!(rig.stream.counts().contradictions, 1);
    rig.push(Segment { fin: true, ..whole(5, b"") }).push(Segment { fin: true, ..whole(9, b"") });
    assert_eq!((rig.stream.counts().contradictions, rig.stream.counts().ends_refused), (1, 1));
    rig.push(whole(3, b"defgh")).check(&[data(b"abcde"), Out::Fin]);
    assert_eq!(rig.stream.counts().beyond_bytes, 3);
}

#[test]
fn an_end_without_its_bytes_gives_them_up() {
    let mut rig = Rig::default();
    rig.push(Segment { fin: true, ..whole(7, b"") }).finish().check(&[Out::Lost(7), Out::Fin]);
}

#[test]
fn a_reset_counts_only_where_the_receiver_obeys_it() {
    let reset = |offset| Segment { rst: true, ..whole(offset, b"") };
    let mut rig = Rig::default();
    rig.push(whole(0, b"ab")).push(reset(1)).push(reset(3)).push(whole(2, b"c")).check(&[data(b"abc")]);
    assert_eq!(rig.stream.counts().resets_refused, 2);
    rig.push(reset(3)).check(&[data(b"abc"), Out::Reset]);
    let mut rig = Rig::default();
    rig.push(Segment { fin: true, ..whole(0, b"ab") }).push(reset(3));
    rig.check(&[data(b"ab"), Out::Fin, Out::Reset]);
    let mut rig = Rig::default();
    rig.push(Segment { direction: Direction::Egress, ..reset(9) }).check(&[Out::Reset]);
}

#[test]
fn offsets_at_the_end_of_the_range_do_no_harm() {
    let mut rig = Rig::default();
    rig.push(whole(u64::MAX - 1, b"abc")).push(whole(u64::MAX - 3, b"abc")).push(whole(0, b"x")).finish();
    rig.check(&[data(b"x"), Out::Lost(u64::MAX - 4), data(b"abc")]);
}

/// Pieces of `content` that cover it, others that repeat parts of it, all in any order; of each how much was copied.
fn segments(content: Vec<u8>, copied: bool) -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize, usize)>)> {
    let len = content.len();
    let copy = move |len: usize| if copied { Just(len).boxed() } else { (0..=len).boxed() };
    let cover = prop::collection::vec(0..=len, 0..12).prop_map(move |mut cuts| {
        cuts.extend([0, len]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
    });
    let repeats = prop::collection::vec((0..=len, 0..=len).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..6);
    (cover, repeats)
        .prop_map(|(mut cover, repeats)| {
            cover.extend(repeats);
            cover
        })
        .prop_shuffle()
        .prop_flat_map(move |ranges| {
            ranges.into_iter().map(|(from, to)| (Just(from), Just(to), copy(to - from))).collect::<Vec<_>>()
        })
        .prop_map(move |ranges| (content.clone(), ranges))
}

fn scenario(copied: bool) -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize, usize)>)> {
    prop::collection::vec(any::<u8>(), 0..400).prop_flat_map(move |content| segments(content, copied))
}

fn feed(rig: &mut Rig, content: &[u8], ranges: &[(usize, usize, usize)], limits: &Limits) {
    for &(from, to, copied) in ranges {
        let piece = Segment {
            fin: to == content.len(),
            ..segment(from as u64, u32::try_from(to - from).unwrap(), &content[from..from + copied])
        };
        rig.push_within(limits, &piece, 0);
    }
}

/// Checks every byte that came out; gives data, unwanted and lost bytes.
fn covered(out: &[Out], content: &[u8]) -> Result<[u64; 3], TestCaseError> {
    let (mut at, mut sums) = (0usize, [0; 3]);
    for piece in out {
        match piece {
            Out::Data(bytes) => {
                prop_assert_eq!(bytes.as_slice(), &content[at..at + bytes.len()]);
                at += bytes.len();
                sums[0] += bytes.len() as u64;
            }
            Out::Unwanted(len) | Out::Lost(len) => {
                at += usize::try_from(*len).unwrap();
                sums[if matches!(piece, Out::Lost(_)) { 2 } else { 1 }] += len;
            }
            Out::Fin => prop_assert_eq!(at, content.len()),
            Out::Reset => prop_assert!(false),
        }
    }
    prop_assert_eq!(out.iter().filter(|piece| **piece == Out::Fin).count(), 1);
    Ok(sums)
}

proptest! {
    #[test]
    fn any_order_gives_the_stream((content, ranges) in scenario(true)) {
        let mut rig = Rig::default();
        feed(&mut rig, &content, &ranges, &Limits::default());
        prop_assert_eq!(covered(&rig.out, &content)?, [content.len() as u64, 0, 0]);
        prop_assert_eq!(rig.stream.counts().contradictions, 0);
        prop_assert!(!rig.stream.is_waiting());
        let fed: usize = ranges.iter().map(|(from, to, _)| to - from).sum();
        prop_assert_eq!(rig.stream.counts().duplicate_bytes, (fed - content.len()) as u64);
    }

    #[test]
    fn what_was_left_out_is_named((content, ranges) in scenario(false)) {
        let mut rig = Rig::default();
        feed(&mut rig, &content, &ranges, &Limits::default());
        let [data, unwanted, lost] = covered(&rig.out, &content)?;
        prop_assert_eq!((data + unwanted, lost), (content.len() as u64, 0));
    }

    #[test]
    fn what_is_missing_is_named(
        (content, mut ranges) in scenario(false),
        drop in any::<prop::sample::Index>(),
        limits in prop_oneof![
            (0..200usize, 0..4usize).prop_map(|(bytes, ranges)| Limits { bytes, ranges, age: 0 }),
            Just(Limits::default()),
        ],
    ) {
        let (from, to, _) = ranges.swap_remove(drop.index(ranges.len()));
        let mut rig = Rig::default();
        feed(&mut rig, &content, &ranges, &limits);
        prop_assert!(rig.stream.held_bytes() <= limits.bytes + limits.ranges * 64);
        // The end is known even if the last range is what was dropped.
        rig.push(Segment { fin: true, ..whole(content.len() as u64, b"") });
        rig.finish();
        let [_, _, lost] = covered(&rig.out, &content)?;
        prop_assert_eq!(lost, rig.stream.counts().lost_bytes);
        if limits == Limits::default() {
            prop_assert!(lost <= (to - from) as u64);
        }
    }
}
