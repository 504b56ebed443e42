//! Segments that TCP drops, before or without those that it takes.

use super::*;

#[test]
fn of_two_copies_the_first_is_told_and_said_to_be_doubtful() {
    let mut rig = Rig::new();
    rig.get("/before")
        .forged(get("/forged").as_bytes())
        .get("/really")
        .get("/next")
        .get("/last")
        .closed(false);
    let first = ("/before", 200, true);
    assert_eq!(rig.requests(), [first, ("/forged", 200, false), ("/next", 200, true), ("/last", 200, true)]);
    assert!(rig.told("segment_contradicts").0 > 0);
    let notes = &rig.of_kind("http.request").nth(1).unwrap()["observation"]["notes"];
    assert_eq!(notes[0], "contradicted");
}

/// The head is whole only after the other copy has come.
#[test]
fn a_head_whose_beginning_is_doubtful_is_none() {
    let mut rig = Rig::new();
    rig.forged(b"GET /forged HTTP/1.1\r\n")
        .asks("GET /really HTTP/1.1\r\n")
        .asks("Host: a\r\n\r\n")
        .answers(OK);
    rig.get("/next").get("/last").closed(false);
    assert!(rig.requests().iter().all(|(path, ..)| *path != "/forged"), "{:?}", rig.requests());
    assert_eq!(rig.requests().last(), Some(&("/last", 200, true)));
    assert!(rig.told("segment_contradicts").0 > 0);
}

/// What is a body to the server could be a request to whoever reads the other copy.
#[test]
fn no_body_becomes_a_request() {
    let invented = get("/invented");
    let real = format!("POST /r HTTP/1.1\r\nContent-Length: {}\r\n\r\n", invented.len());
    let forged = format!("GET /f HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(real.len() - 24));
    assert_eq!(real.len(), forged.len());
    let mut rig = Rig::new();
    rig.forged(forged.as_bytes()).asks(&real).asks(&invented).answers(OK).get("/next").closed(false);
    assert_eq!(rig.requests(), [("/f", 200, false), ("/next", 200, true)]);
    // The other copy is shorter, so that what follows in it seems to begin a turn.
    let real = format!("POST /r HTTP/1.1\r\nContent-Length: {}\r\n\r\n{invented}", invented.len());
    let (short, forged) = (get("/s"), get(&format!("/{}", "f".repeat(real.len() - invented.len() - 1))));
    let mut rig = Rig::new();
    rig.forged(forged.as_bytes()).asks(&short).answers(OK).asks(&real).answers(OK).get("/next").closed(false);
    assert!(rig.requests().iter().all(|(path, ..)| *path != "/invented"), "{:?}", rig.requests());
}

/// A forged head with a long body tells the source that nothing is needed for long.
#[test]
fn a_forged_body_hides_nothing_for_long() {
    let mut rig = Rig::new();
    rig.forged(b"POST /forged HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    rig.get("/really").get("/second").get("/third").closed(false);
    assert_eq!(rig.requests()[0], ("/forged", 200, false), "{:?}", rig.requests());
    assert!(rig.has_note("contradicted"));
    assert_eq!(rig.requests().last(), Some(&("/third", 200, true)), "{:?}", rig.requests());
    assert!(rig.told("segment_contradicts").0 > 0);
}

/// More than is kept to compare.
#[test]
fn a_long_forgery_is_told_as_well() {
    let mut rig = Rig::new();
    let head = "POST /forged HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n";
    let mut forged = head.as_bytes().to_vec();
    forged.resize(100_000, b'x');
    rig.forged(&forged).get("/really").closed(false);
    assert!(rig.has_note("contradicted") && !rig.requests()[0].2);
}

#[test]
fn a_request_that_tcp_refused_says_so_however_the_connection_ends() {
    let fin = |offset, direction, received| Segment {
        direction,
        offset,
        len: 0,
        bytes: b"",
        fin: true,
        rst: false,
        received: Some(received),
    };
    for by_reset in [false, true] {
        let mut rig = Rig::new();
        rig.get("/first").forged(get("/forged").as_bytes());
        let [asked, answered] = rig.offsets;
        if by_reset {
            rig.packet(Segment { rst: true, fin: false, ..fin(asked, Direction::Ingress, asked) })
                .closed(true);
        } else {
            rig.packet(fin(asked, Direction::Ingress, asked));
            // The FIN counts as a byte (net/ipv4/tcp_input.c, `tcp_queue_rcv`).
            rig.offsets[0] += 1;
            rig.packet(fin(answered, Direction::Egress, asked + 1)).closed(false);
        }
        assert_eq!(rig.requests(), [("/first", 200, true), ("/forged", 0, false)], "{by_reset}");
        let notes = rig.of_kind("http.request").nth(1).unwrap()["observation"]["notes"].to_string();
        assert!(notes.contains("refused_by_tcp"), "{by_reset}: {notes}");
    }
}

/// Some servers answer a silent client (RFC 9110, 15.5.9): that is no answer to what TCP refused.
#[test]
fn an_answer_before_tcp_had_the_request_is_doubtful() {
    let mut rig = Rig::new();
    rig.get("/first").forged(get("/forged").as_bytes());
    rig.answers("HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .closed(false);
    assert_eq!(rig.requests(), [("/first", 200, true), ("/forged", 408, false)]);
}

#[test]
fn forged_ends_change_nothing() {
    for (fin, rst, ahead) in [(true, false, 0), (true, false, 3), (false, true, 0), (false, true, 3)] {
        let mut rig = Rig::new();
        rig.get("/first");
        let (offset, received) = (rig.offsets[0] + ahead, Some(rig.offsets[0]));
        rig.packet(Segment { direction: Direction::Ingress, offset, len: 0, bytes: b"", fin, rst, received });
        rig.get("/second").get("/third").closed(false);
        let sure = |path| (path, 200, true);
        assert_eq!(rig.requests(), ["/first", "/second", "/third"].map(sure), "{fin} {rst} {ahead}");
        assert_eq!(rig.told("segment_contradicts"), (0, 1));
    }
}

/// Bytes that the server's TCP will never take, far ahead of what it takes.
#[test]
fn what_lies_far_ahead_hides_nothing() {
    let mut rig = Rig::new();
    rig.get("/first");
    for n in 1..2000 {
        rig.segment(Direction::Ingress, rig.offsets[0] + 5000 * n, 600, &[b'x'; 600]);
    }
    rig.get("/second").get("/third").closed(false);
    assert_eq!(rig.requests(), ["/first", "/second", "/third"].map(|path| (path, 200, true)));
}
