//! Conversations that an independent implementation holds (the `h2` crate's client and server): what is read from the
//! recorded bytes is what its application asked and answered.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::{Reason as Code, RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::rig::{C, Rig, S, line};
use crate::assemble::Piece;
use crate::capture::record::{Direction, How};
use crate::decode::http2::Limits;

type Record = Arc<Mutex<Vec<(Direction, Vec<u8>)>>>;

/// One call of the application: everything of it follows from its number.
#[derive(Clone, Copy)]
struct Call(usize);

impl Call {
    fn method(self) -> &'static str {
        ["GET", "POST", "PUT", "DELETE", "OPTIONS"][self.0 % 5]
    }
    fn path(self) -> String {
        format!("/items/{}?page={}", self.0 % 7, self.0)
    }
    /// Of the request, and of the response.
    fn bodies(self) -> [usize; 2] {
        let sent = if self.0 % 5 == 1 || self.0 % 5 == 2 { self.0 * 977 % 40_000 } else { 0 };
        [sent, self.0 * 7919 % 70_000]
    }
    fn status(self) -> u16 {
        [200, 201, 404, 302, 503][self.0 / 2 % 5]
    }
    fn trailers(self) -> bool {
        self.0.is_multiple_of(3)
    }
    /// The server resets it instead of ending it.
    fn is_reset(self) -> bool {
        self.0 % 11 == 10
    }
    /// Fields that repeat, that differ, and that are long.
    fn fields(self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("user-agent".to_owned(), "independent/1.0".to_owned()),
            ("x-request-id".to_owned(), format!("id-{:06}", self.0)),
            (format!("x-kind-{}", self.0 % 4), "k".repeat(self.0 * 31 % 900)),
        ];
        if self.0 % 6 == 5 {
            fields.push(("x-\u{7e}odd!#$".to_owned(), "value with ~ and \"quotes\" {}".to_owned()));
        }
        fields
    }
}

async fn pump(
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    direction: Direction,
    record: Record,
) {
    let (mut from, mut to, mut buffer) = (from, to, vec![0; 3000]);
    loop {
        let len = from.read(&mut buffer).await.unwrap_or(0);
        if len == 0 {
            let _ = to.shutdown().await;
            return;
        }
        record.lock().unwrap().push((direction, buffer[..len].to_vec()));
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

fn send(stream: &mut SendStream<Bytes>, len: usize, trailers: bool) {
    let chunk = Bytes::from(vec![b'b'; len]);
    stream.send_data(chunk, !trailers).unwrap();
    if trailers {
        let mut fields = HeaderMap::new();
        fields.insert("x-checksum", len.to_string().parse().unwrap());
        stream.send_trailers(fields).unwrap();
    }
}

async fn drain(mut body: RecvStream) -> Option<usize> {
    let mut len = 0;
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        len += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    body.trailers().await.ok()?;
    Some(len)
}

async fn serve(io: DuplexStream) {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(1000).header_table_size(1000).max_header_list_size(100_000);
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.unwrap();
        tokio::spawn(async move {
            let (head, body) = request.into_parts();
            let number = head.headers["x-request-id"].to_str().unwrap()[3..].parse().unwrap();
            let call = Call(number);
            drain(body).await;
            let mut response = Response::builder().status(call.status());
            for (name, value) in call.fields() {
                response = response.header(name, value);
            }
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            if call.is_reset() {
                stream.send_reset(Code::INTERNAL_ERROR);
            } else {
                send(&mut stream, call.bodies()[1], call.trailers());
            }
        });
    }
}

/// Holds a conversation of so many calls, so many at once; gives its bytes in their order.
fn converse(calls: usize, at_once: usize) -> Vec<(Direction, Vec<u8>)> {
    let record = Record::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, middle) = duplex(1 << 16);
        let (far, end) = duplex(1 << 16);
        let ((from_client, to_client), (from_server, to_server)) = (split(middle), split(far));
        tokio::spawn(pump(from_client, to_server, C, Arc::clone(&record)));
        tokio::spawn(pump(from_server, to_client, S, Arc::clone(&record)));
        tokio::spawn(serve(end));
        let mut builder = client::Builder::new();
        builder.header_table_size(600).initial_window_size(1 << 20).initial_connection_window_size(1 << 22);
        let (sender, connection) = builder.handshake::<_, Bytes>(near).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut running = Vec::new();
        for call in (0..calls).map(Call) {
            if running.len() == at_once {
                let oldest: tokio::task::JoinHandle<()> = running.remove(0);
                oldest.await.unwrap();
            }
            let mut sender = sender.clone().ready().await.unwrap();
            running.push(tokio::spawn(async move {
                let uri = format!("http://shop.example{}", call.path());
                let mut request = Request::builder().method(call.method()).uri(uri);
                for (name, value) in call.fields() {
                    request = request.header(name, value);
                }
                let [sent, received] = call.bodies();
                let (response, mut stream) =
                    sender.send_request(request.body(()).unwrap(), sent == 0).unwrap();
                if sent > 0 {
                    send(&mut stream, sent, call.trailers());
                }
                // It may be reset before its head is out.
                let response = match response.await {
                    Err(_) if call.is_reset() => return,
                    response => response.unwrap(),
                };
                assert_eq!(response.status().as_u16(), call.status());
                let drained = drain(response.into_body()).await;
                assert_eq!(drained, (!call.is_reset()).then_some(received));
            }));
        }
        for task in running {
            task.await.unwrap();
        }
        drop(sender);
        driver.await.unwrap().unwrap();
    });
    let record = record.lock().unwrap();
    record.clone()
}

#[test]
fn every_call_is_an_exchange_with_what_the_application_sent() {
    const CALLS: usize = 300;
    let record = converse(CALLS, 20);
    let mut rig = Rig::bare(How::Passive, Limits::default());
    for (direction, bytes) in &record {
        rig.piece(*direction, Piece::Data(bytes));
    }
    rig.close();
    assert_eq!(rig.reasons(), []);
    let mut exchanges: Vec<_> = rig.exchanges().collect();
    assert_eq!(exchanges.len(), CALLS);
    exchanges.sort_by_key(|exchange| exchange.key);
    for (number, exchange) in exchanges.iter().enumerate() {
        let head = exchange.request.head.as_ref().unwrap();
        let id = head.get("x-request-id").unwrap();
        let call = Call(std::str::from_utf8(&id[3..]).unwrap().parse().unwrap());
        // Streams open in the order of the calls; what the tasks send in one go is not in order.
        assert!(call.0.abs_diff(number) <= 20);
        let stream = 2 * u32::try_from(number).unwrap() + 1;
        let request = format!("{stream} {} {}", call.method(), call.path());
        if call.is_reset() {
            assert!(line(exchange).starts_with(&request) && line(exchange).ends_with(" ResetByServer"));
            continue;
        }
        assert_eq!(line(exchange), format!("{request} -> {}", call.status()));
        let [sent, received] = call.bodies();
        assert_eq!(exchange.request.body_bytes, sent as u64);
        let response = exchange.response.head.as_ref().unwrap();
        for (name, value) in call.fields() {
            assert_eq!(head.get(&name).as_deref(), Some(value.as_bytes()), "{name}");
            assert_eq!(response.get(&name).as_deref(), Some(value.as_bytes()), "{name}");
        }
        assert_eq!(head.get("host").as_deref(), Some(&b"shop.example"[..]));
        assert_eq!(exchange.response.body_bytes, received as u64);
        let checksum = exchange.response.trailers.as_ref().and_then(|fields| fields.get("x-checksum"));
        assert_eq!(checksum.is_some(), call.trailers());
        assert!(exchange.malformed.is_none() && exchange.notes.is_empty(), "{exchange:?}");
    }
}

#[test]
fn any_cut_into_pieces_gives_the_same() {
    let record = converse(40, 10);
    let exchanges = |size: usize| {
        let mut rig = Rig::bare(How::Passive, Limits::default());
        for (direction, bytes) in &record {
            for piece in bytes.chunks(size) {
                rig.piece(*direction, Piece::Data(piece));
            }
        }
        rig.close();
        let seen: Vec<String> = rig
            .exchanges()
            .map(|exchange| {
                let (request, response) = (&exchange.request, &exchange.response);
                let counts = |message: &crate::decode::exchange::Message| {
                    (message.head_bytes, message.body_bytes, message.wire_bytes, message.head.clone())
                };
                format!("{} {:?} {:?} {:?}", exchange.key, line(exchange), counts(request), counts(response))
            })
            .collect();
        (seen, rig.http.counts(C), rig.http.counts(S))
    };
    let whole = exchanges(usize::MAX);
    assert_eq!(whole.0.len(), 40);
    for size in [1, 2, 3, 5, 7, 8, 9, 10, 17, 100, 1000] {
        assert!(exchanges(size) == whole, "{size}");
    }
}
