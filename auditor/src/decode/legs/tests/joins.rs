//! Which client's request a forwarded one is joined to, and how sure that is.

use super::rig::Rig;
use crate::decode::legs::Join::{self, Ambiguous, Exact, Inferred};
use crate::decode::legs::choice::{MAX_CANDIDATES, MAX_KEYS};

/// `clients` ask, one after the other; `forwarded` is joined to the one at the expected place.
#[track_caller]
fn check(clients: &[(u8, &str)], forwarded: &str, expected: Option<(usize, Join)>) {
    let mut rig = Rig::default();
    let asked: Vec<_> = clients.iter().map(|(client, text)| rig.asks(*client, text)).collect();
    let attempt = rig.forwards(1, forwarded);
    let owner = rig.legs.owners.get(&(attempt.party.id, 0)).copied();
    let seen = owner.map(|owner| {
        let place = asked.iter().position(|begun| (begun.party.id, begun.offset) == owner).unwrap();
        (place, rig.legs.clients[&owner].attempts[0].join)
    });
    assert_eq!(seen, expected, "{clients:?}, forwarded: {forwarded:?}");
}

#[test]
fn one_client() {
    let xff = "X-Forwarded-For: 203.0.113.1";
    check(&[], "GET /x; Host: h", None);
    check(&[(1, "GET /x; Host: h")], "GET /x; Host: h", Some((0, Exact)));
    // The host rewritten: the client's address says it, nothing says it.
    check(&[(1, "GET /x; Host: h")], &format!("GET /x; Host: up; {xff}"), Some((0, Exact)));
    check(&[(1, "GET /x; Host: h")], "GET /x; Host: up; X-Real-IP: 203.0.113.1", Some((0, Exact)));
    check(&[(1, "GET /x; Host: h")], "GET /x; Host: up", Some((0, Inferred)));
    // A proxy in front of the controller is the peer; what it wrote is believed and written again.
    let chain = "X-Forwarded-For: 198.51.100.7";
    check(
        &[(1, &format!("GET /x; Host: h; {chain}"))],
        &format!("GET /x; Host: h; {chain}"),
        Some((0, Exact)),
    );
    // Nobody asked with this method, but for the GET that fills a cache for a HEAD.
    check(&[(1, "POST /x; Host: h")], "GET /x; Host: h", None);
    check(&[(1, "HEAD /x; Host: h")], "GET /x; Host: h", Some((0, Exact)));
    check(&[(1, "GET /x; Host: h")], "HEAD /x; Host: h", None);
    check(&[(1, "GET /x; Host: h")], "GET /y; Host: h", None);
    check(&[(1, "GET /x; Host: h")], &format!("GET /y; Host: up; {xff}"), None);
    // Another target: host and address together say it, and a part of the path with one of them.
    check(&[(1, "GET /x; Host: h")], &format!("GET /y; Host: h; {xff}"), Some((0, Inferred)));
    check(&[(1, "GET /api/x; Host: h")], "GET /x; Host: h", Some((0, Inferred)));
    check(&[(1, "GET /x; Host: h")], "GET /api/x; Host: h", Some((0, Inferred)));
    check(
        &[(1, &format!("GET /api/x; Host: h; {chain}"))],
        &format!("GET /x; Host: up; {chain}"),
        Some((0, Inferred)),
    );
    check(&[(1, "GET /api/x; Host: h")], &format!("GET /x; Host: up; {xff}"), Some((0, Inferred)));
    check(&[(1, "GET /api/x; Host: h")], "GET /x; Host: up", None);
    check(&[(1, "GET http://h/x; Host: h")], "GET /x; Host: h", Some((0, Inferred)));
    // A query is no path: what a client puts in it makes nothing related.
    check(&[(1, "GET /login?next=/x; Host: h")], "GET /x; Host: h", None);
    check(&[(1, "GET /api/x?a=1; Host: h")], "GET /x?a=1; Host: h", Some((0, Inferred)));
    check(&[(1, "GET /api/x?a=1; Host: h")], "GET /x?a=2; Host: h", None);
}

#[test]
fn ids() {
    let id = "X-Request-ID: 7";
    // The client's id, handed on, whatever became of the rest.
    check(&[(1, &format!("GET /x; Host: h; {id}"))], &format!("POST /y; Host: up; {id}"), Some((0, Exact)));
    let trace = |span| format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-{span}-01");
    let asked = format!("GET /x; Host: h; {}", trace("b7ad6b7169203331"));
    let forwarded = |line| format!("{line}; Host: up; {}", trace("00f067aa0ba902b7"));
    check(&[(1, &asked)], &forwarded("GET /x"), Some((0, Exact)));
    check(&[(1, &asked)], &forwarded("GET /svc/x"), Some((0, Exact)));
    // A trace has many requests: this may be for another one of it, that was not seen.
    check(&[(1, &asked)], &forwarded("GET /y"), Some((0, Inferred)));
    check(&[(1, "GET /x; traceparent: 00-short-1-01")], "GET /y; traceparent: 00-short-1-01", None);
    check(&[(1, "GET /x; X-Request-ID: ")], "GET /y; X-Request-ID: ", None);
    // One that the controller made for a request without one proves nothing, and is no harm.
    check(&[(1, "GET /x; Host: h")], &format!("GET /x; Host: h; {id}"), Some((0, Exact)));
    // One that it made in place of the client's: or it is another request's.
    check(
        &[(1, "GET /x; Host: h; X-Request-ID: own")],
        &format!("GET /x; Host: h; {id}"),
        Some((0, Inferred)),
    );
    // An id goes before target, host and address.
    check(
        &[(1, &format!("GET /a; Host: h; {id}")), (2, "GET /b; Host: g")],
        &format!("GET /b; Host: g; {id}; X-Forwarded-For: 203.0.113.1"),
        Some((0, Exact)),
    );
}

/// What clients can do to each other.
#[test]
fn clients_that_mislead() {
    let id = "X-Request-ID: 7";
    // The same id as another client's: the rest decides, and nothing is sure.
    let two = [(1, "GET /a; Host: h; X-Request-ID: 7"), (2, "GET /b; Host: h; X-Request-ID: 7")];
    check(&two, &format!("GET /a; Host: h; {id}"), Some((0, Inferred)));
    check(&two, &format!("GET /b; Host: h; {id}"), Some((1, Inferred)));
    let same = [(1, "GET /a; Host: h; X-Request-ID: 7"), (2, "GET /a; Host: h; X-Request-ID: 7")];
    check(&same, &format!("GET /a; Host: h; {id}"), Some((0, Ambiguous)));
    check(&same, &format!("GET /a; Host: h; {id}; X-Forwarded-For: 203.0.113.2"), Some((1, Inferred)));
    // An id guessed that the controller will give to another's request: that one's address speaks against it.
    check(
        &[(1, "GET /evil; Host: h; X-Request-ID: 7"), (2, "GET /a; Host: h")],
        &format!("GET /a; Host: h; {id}; X-Forwarded-For: 203.0.113.2"),
        Some((0, Inferred)),
    );
    // Another client's address in a header that the controller hands on as it is, with a target that it rewrites.
    let handed_on = [(2, "GET /a; Host: h"), (1, "GET /api/a; Host: h; X-Forwarded-For: 203.0.113.2")];
    check(&handed_on, "GET /a; Host: up; X-Forwarded-For: 203.0.113.2", Some((0, Inferred)));
    // The same, which the controller adds its own word to.
    let forged = (1, "GET /a; Host: h; X-Forwarded-For: 203.0.113.2");
    check(
        &[forged, (2, "GET /a; Host: h")],
        "GET /a; Host: h; X-Forwarded-For: 203.0.113.2, 203.0.113.1",
        Some((0, Inferred)),
    );
    check(&[forged], "GET /a; Host: h; X-Forwarded-For: 203.0.113.2, 203.0.113.1", Some((0, Exact)));
    // A line of its own is the last one; the host was rewritten.
    check(
        &[forged],
        "GET /a; Host: up; X-Forwarded-For: 203.0.113.2; X-Forwarded-For: 203.0.113.1",
        Some((0, Exact)),
    );
    // For another client: then for this one only if nobody else can be meant, and not for sure.
    check(&[(1, "GET /a; Host: h")], "GET /a; Host: h; X-Forwarded-For: 203.0.113.2", Some((0, Inferred)));
    check(
        &[(1, "GET /a; Host: h")],
        "GET /a; Host: h; X-Forwarded-For: ::ffff:203.0.113.1",
        Some((0, Exact)),
    );
    check(&[(1, "GET /a; Host: h")], "GET /a; Host: h; X-Forwarded-For: unknown", Some((0, Exact)));
}

/// A prefix is removed from one client's target, so that it looks like another's.
#[test]
fn rewritten_to_what_another_asks_for() {
    let both = [(1, "GET /api/users; Host: h"), (2, "GET /users; Host: h")];
    check(&both, "GET /users; Host: h; X-Forwarded-For: 203.0.113.1", Some((0, Inferred)));
    check(&both, "GET /users; Host: h; X-Forwarded-For: 203.0.113.2", Some((1, Exact)));
    check(&both, "GET /users; Host: h", Some((1, Inferred)));
    check(&both, "GET /api/users; Host: h", Some((0, Inferred)));
    // The same client asks for both.
    let one = [(1, "GET /api/users; Host: h"), (1, "GET /users; Host: h")];
    check(&one, "GET /users; Host: h; X-Forwarded-For: 203.0.113.1", Some((1, Inferred)));
    // Of another host, nobody would have rewritten it to this one.
    let hosts = [(1, "GET /api/users; Host: other"), (2, "GET /users; Host: h")];
    check(&hosts, "GET /users; Host: h", Some((1, Exact)));
    // Also once something has been done for the other: it may be tried again, or copied.
    let mut rig = Rig::default();
    let (api, users) = (rig.asks(1, both[0].1), rig.asks(2, both[1].1));
    let first = rig.forwards(1, "GET /users; Host: h; X-Forwarded-For: 203.0.113.1");
    let second = rig.forwards(2, "GET /users; Host: h");
    rig.answers(&first, 200).answers(&second, 200).gets(&api, 200).gets(&users, 200);
    rig.check(&["/api/users of 1, 1 Inferred Main 200", "/users of 2, 2 Inferred Main 200"]);
    assert!(rig.legs.is_empty());
    // What is over is not.
    let (api, users) = (rig.asks(1, both[0].1), rig.asks(2, both[1].1));
    rig.gets(&api, 404);
    let second = rig.forwards(2, "GET /users; Host: h");
    rig.answers(&second, 200).gets(&users, 200);
    rig.check(&["/api/users of 1", "/users of 2, 2 Exact Main 200"]);
    // More than are looked at.
    let mut crowd: Vec<String> = (0..MAX_CANDIDATES).map(|n| format!("GET /{n}/users; Host: g")).collect();
    let users = || (2, "GET /users; Host: h");
    let clients = |crowd: &[String]| -> Vec<(u8, String)> {
        crowd.iter().map(|text| (1, text.clone())).chain([(users().0, users().1.to_owned())]).collect()
    };
    for expected in [Inferred, Exact] {
        let clients = clients(&crowd);
        let clients: Vec<(u8, &str)> =
            clients.iter().map(|(client, text)| (*client, text.as_str())).collect();
        check(&clients, "GET /users; Host: h", Some((clients.len() - 1, expected)));
        crowd.pop();
    }
}

/// A controller that hands on its answers after it has had several: each client's request was forwarded once.
#[test]
fn equal_requests_one_answered_before_the_next_is_forwarded() {
    let mut rig = Rig::default();
    let asked: Vec<_> = (0..3).map(|_| rig.asks(1, "GET /x; Host: h")).collect();
    for backend in 1..4 {
        let forwarded = rig.forwards(backend, "GET /x; Host: h");
        rig.answers(&forwarded, 200);
    }
    asked.iter().for_each(|asked| {
        rig.gets(asked, 200);
    });
    rig.check(&[
        "/x of 1, 1 Ambiguous Main 200",
        "/x of 1, 2 Ambiguous Main 200",
        "/x of 1, 3 Inferred Main 200",
    ]);
    // One that failed is tried again, for the same client.
    let mut rig = Rig::default();
    let asked = [rig.asks(1, "GET /x; Host: h"), rig.asks(1, "GET /x; Host: h")];
    for (backend, status) in [(1, 502), (2, 200), (3, 200)] {
        let forwarded = rig.forwards(backend, "GET /x; Host: h");
        rig.answers(&forwarded, status);
    }
    asked.iter().for_each(|asked| {
        rig.gets(asked, 200);
    });
    rig.check(&["/x of 1, 1 Ambiguous Retry 502, 2 Ambiguous Main 200", "/x of 1, 3 Inferred Main 200"]);
}

/// Equal requests: in the order of their arrival, each its own, and never for sure.
#[test]
fn equal_requests_at_once() {
    let mut rig = Rig::default();
    let asked: Vec<_> = (0..3).map(|_| rig.asks(1, "GET /x; Host: h")).collect();
    let forwarded: Vec<_> = (1..4)
        .map(|backend| rig.forwards(backend, "GET /x; Host: h; X-Forwarded-For: 203.0.113.1"))
        .collect();
    forwarded.iter().for_each(|forwarded| {
        rig.answers(forwarded, 200);
    });
    asked.iter().for_each(|asked| {
        rig.gets(asked, 200);
    });
    // The last is the only one left that nothing was done for, but one of the others may be tried again.
    rig.check(&[
        "/x of 1, 1 Ambiguous Main 200",
        "/x of 1, 2 Ambiguous Main 200",
        "/x of 1, 3 Inferred Main 200",
    ]);
    assert!(rig.legs.is_empty());
    // Bodies of different lengths tell them apart, and so do addresses and hosts.
    let lengths = [(1, "POST /x; Host: h; Content-Length: 1"), (1, "POST /x; Host: h; Content-Length: 2")];
    check(&lengths, "POST /x; Host: h; Content-Length: 2", Some((1, Inferred)));
    check(&[(1, "GET /; Host: a"), (2, "GET /; Host: b")], "GET /; Host: b", Some((1, Inferred)));
    // Also one that was forwarded already, rather than one of another host that was not.
    let mut rig = Rig::default();
    let (a, b) = (rig.asks(1, "GET /; Host: a"), rig.asks(2, "GET /; Host: b"));
    let forwarded = [rig.forwards(1, "GET /; Host: b"), rig.forwards(2, "GET /; Host: b")];
    forwarded.iter().for_each(|forwarded| {
        rig.answers(forwarded, 200);
    });
    rig.gets(&a, 404).gets(&b, 200).check(&["/ of 1", "/ of 2, 1 Inferred Mirror 200, 2 Inferred Main 200"]);
    let addresses = [(1, "GET /; Host: a"), (2, "GET /; Host: a")];
    check(&addresses, "GET /; Host: a; X-Forwarded-For: 203.0.113.2", Some((1, Inferred)));
}

/// More is not looked at: then nothing is sure, also where the right one is among them.
#[test]
fn many_candidates() {
    let equal = |count: usize| vec![(1, "GET /x; Host: h"); count];
    check(&equal(MAX_CANDIDATES - 1), "GET /x; Host: h", Some((0, Ambiguous)));
    let mut crowd = equal(MAX_CANDIDATES);
    crowd.push((2, "GET /x; Host: h"));
    check(&crowd, "GET /x; Host: h; X-Forwarded-For: 203.0.113.2", Some((MAX_CANDIDATES, Ambiguous)));
    // Others, however many, are no candidates.
    let others: Vec<String> = (0..2 * MAX_KEYS).map(|n| format!("GET /other/{n}; Host: h")).collect();
    let mut clients: Vec<(u8, &str)> = vec![(2, "GET /x; Host: h")];
    clients.extend(others.iter().map(|other| (1, other.as_str())));
    check(&clients, "GET /x; Host: h", Some((0, Exact)));
}

/// Requests that are over hide none that is open, neither of the same target nor with the same id.
#[test]
fn those_that_are_over_hide_none() {
    for (id, forwarded) in
        [("", "GET /x; Host: h"), ("; X-Request-ID: 7", "GET /y; Host: h; X-Request-ID: 7")]
    {
        let mut rig = Rig::default();
        let text = format!("GET /x; Host: h{id}");
        let open: Vec<_> = (0..150).map(|_| rig.asks(1, &text)).collect();
        let over: Vec<_> = (0..140).map(|_| rig.asks(2, &text)).collect();
        over.iter().for_each(|begun| {
            rig.gets(begun, 404);
        });
        // Where the id were not found, this one would be taken for it.
        rig.asks(3, "GET /y; Host: h");
        rig.forwards(1, forwarded);
        let owner = *rig.legs.owners.values().next().unwrap();
        assert!(open.iter().any(|begun| begun.party.id == owner.0), "{id:?}: joined to {owner:?}");
        assert_eq!(rig.legs.clients[&owner].attempts[0].join, Ambiguous);
    }
}
