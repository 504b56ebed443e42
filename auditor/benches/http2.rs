//! What a request of HTTP/2 costs the decoder: `cargo bench -p auditor --bench http2`. The bytes are those of an independent
//! client and server with 100 streams at once; items per second are requests per second of one core.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set up its traffic has nothing to measure")]

use std::sync::{Arc, Mutex};

use auditor::assemble::Piece;
use auditor::capture::record::{Direction, How};
use auditor::decode::connection::Decoder;
use auditor::decode::exchange::Decoded;
use auditor::decode::http1::Limits;
use auditor::decode::http1::connection::Sink;
use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use h2::{client, server};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

fn main() {
    divan::main();
}

/// Requests of one conversation.
const REQUESTS: usize = 2000;
/// Streams at once.
const STREAMS: usize = 100;

type Record = Arc<Mutex<Vec<(Direction, Vec<u8>)>>>;

async fn pump(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    side: Direction,
    record: Record,
) {
    // About a segment of a fast network.
    let mut buffer = vec![0; 8 * 1460];
    loop {
        let len = from.read(&mut buffer).await.unwrap_or(0);
        let bytes = buffer.get(..len).unwrap();
        if len == 0 || to.write_all(bytes).await.is_err() {
            return;
        }
        record.lock().unwrap().push((side, bytes.to_vec()));
    }
}

async fn serve(io: DuplexStream) {
    let mut connection = server::handshake(io).await.unwrap();
    let body = Bytes::from(vec![b'x'; 1024]);
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let response = Response::builder()
            .header("server", "nginx")
            .header("date", "Tue, 24 Nov 2026 12:00:00 GMT")
            .header("content-type", "text/html; charset=utf-8")
            .header("content-length", "1024")
            .body(())
            .unwrap();
        respond.send_response(response, false).unwrap().send_data(body.clone(), true).unwrap();
    }
}

fn conversation() -> Vec<(Direction, Vec<u8>)> {
    let record = Record::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, middle) = duplex(1 << 16);
        let (far, end) = duplex(1 << 16);
        let ((from_client, to_client), (from_server, to_server)) = (split(middle), split(far));
        tokio::spawn(pump(from_client, to_server, Direction::Ingress, Arc::clone(&record)));
        tokio::spawn(pump(from_server, to_client, Direction::Egress, Arc::clone(&record)));
        tokio::spawn(serve(end));
        let (sender, connection) = client::handshake(near).await.unwrap();
        tokio::spawn(connection);
        for batch in 0..REQUESTS / STREAMS {
            let mut answers = Vec::new();
            for number in 0..STREAMS {
                let mut sender = sender.clone().ready().await.unwrap();
                let path = format!("/catalog/items/{}/reviews?page=2&sort=newest", batch * STREAMS + number);
                let request = Request::builder()
                    .uri(format!("http://shop.example.com{path}"))
                    .header(
                        "user-agent",
                        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                    )
                    .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
                    .header("accept-language", "en-US,en;q=0.5")
                    .header("accept-encoding", "gzip, deflate, br")
                    .header("cookie", "session=8f14e45fceea167a5a36dedd4bea2543")
                    .body(())
                    .unwrap();
                answers.push(sender.send_request(request, true).unwrap().0);
            }
            for answer in answers {
                let mut body = answer.await.unwrap().into_body();
                while let Some(data) = body.data().await {
                    body.flow_control().release_capacity(data.unwrap().len()).unwrap();
                }
            }
        }
    });
    let record = record.lock().unwrap();
    record.clone()
}

fn decode(record: &[(Direction, Vec<u8>)], limits: &Limits, out: &mut Vec<Decoded>) -> usize {
    let mut decoder = Decoder::new(Direction::Ingress, How::Passive);
    let mut finished = 0;
    for (time, (direction, bytes)) in (0u64..).zip(record) {
        decoder.feed(&mut Sink { limits, out }, *direction, Piece::Data(bytes), time);
        finished += out.drain(..).filter(|item| matches!(item, Decoded::Finished(_))).count();
    }
    finished
}

#[divan::bench]
fn requests_at_100_streams(bencher: Bencher<'_, '_>) {
    let record = conversation();
    let (limits, mut out) = (Limits::default(), Vec::new());
    assert_eq!(decode(&record, &limits, &mut out), REQUESTS);
    bencher
        .counter(ItemsCount::new(REQUESTS))
        .bench_local(|| black_box(decode(black_box(&record), &limits, &mut out)));
}
