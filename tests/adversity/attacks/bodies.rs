//! Bodies that stop a service, or are read otherwise by the next reader.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::standing::shop;
use crate::case::{Tried, cases};
use crate::support::app::{OPERATOR, TestApp, order, refund};
use crate::support::body::with;
use crate::support::database::Store;

cases!(Attack:
    a_body_of_tens_of_megabytes => "the memory of the service",
    a_body_of_another_length_than_it_says => "a connection that reads the next request wrongly, or waits for ever",
    a_body_that_is_no_sound_json => "a crash, or two readings of one amount",
    a_compressed_or_otherwise_encoded_body => "a bomb, or a body that nobody checked",
);

pub const DOORS: [&str; 6] = [
    "/",
    "/wx-pay/wxpay_order",
    "/wx-pay/wxpay_refund",
    "/wechatpay/order",
    "/wechatpay/transfer",
    "/wx-pay/refundTrigger",
];

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

async fn a_body_of_tens_of_megabytes(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let bearer = t.bearer("alice");
    let usual = headers(&[("content-type", "application/json"), ("authorization", &bearer)]);
    for megabytes in [3, 10, 40] {
        let blank = with(order("ORDER_1", 100), "attach", json!("x".repeat(megabytes << 20))).to_string();
        let deep = "[".repeat(megabytes << 20);
        for body in [blank, deep] {
            for path in DOORS {
                let status = t.post_raw(path, usual.clone(), body.clone()).await;
                // Of a very long one the sender may hear nothing but the end of the connection.
                assert!(
                    status == 413 || status == 0 && megabytes == 40,
                    "{megabytes} MB at {path}: {status}"
                );
                tried.once();
            }
            // The same in pieces, without a length.
            let status = in_pieces(&t, &bearer, body.as_bytes()).await;
            assert!(status == 413 || status == 0 && megabytes == 40, "{status}");
            tried.once();
        }
        assert_eq!(t.standing().await, before);
    }
    t.goes_on("ORDER_AFTERWARDS").await;
}

/// The status of an order sent in pieces of 64 KB.
async fn in_pieces(t: &TestApp, bearer: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(t.service.address()).await.unwrap();
    let head = format!(
        "POST /wx-pay/wxpay_order HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: {bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut said = stream.write_all(head.as_bytes()).await;
    for piece in body.chunks(1 << 16) {
        if said.is_ok() {
            said = stream
                .write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
                .await;
        }
    }
    if said.is_ok() {
        said = stream.write_all(b"0\r\n\r\n").await;
    }
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer).await {
        Ok(_) => String::from_utf8_lossy(&answer)
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap(),
        Err(_) => {
            assert!(said.is_err(), "all of it was taken, and there is no answer");
            0
        }
    }
}

/// What the service says to these bytes on a connection of their own; nothing when it hangs up or waits.
async fn raw(t: &TestApp, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(t.service.address()).await.unwrap();
    // It may hang up before all is sent, and that is an answer too.
    let _cut_off = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    match tokio::time::timeout(Duration::from_millis(400), stream.read(&mut answer)).await {
        Ok(Ok(length)) => String::from_utf8_lossy(&answer[..length]).into_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    }
}

async fn a_body_of_another_length_than_it_says(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let operator = format!("Bearer {OPERATOR}");
    let body = refund("ORDER_PAID", "REFUND_2", 1, 100).to_string();
    let length = body.len();
    let head = format!(
        "POST /wx-pay/wxpay_refund HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: {operator}\r\n"
    );
    for lengths in [
        format!("Content-Length: {}\r\n", length + 10),
        format!("Content-Length: {}\r\n", length - 10),
        "Content-Length: 0\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: {length}, {}\r\n", length + 1),
        format!("Content-Length: {length}\r\nContent-Length: 5\r\n"),
        format!("Content-Length: 5\r\nContent-Length: {length}\r\n"),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        "Content-Length: 18446744073709551615\r\n".to_owned(),
        "Content-Length: 0x10\r\n".to_owned(),
        "Content-Length: x\r\n".to_owned(),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        format!("Transfer-Encoding: identity\r\nContent-Length: {length}\r\n"),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        String::new(),
    ] {
        let answer = raw(&t, format!("{head}{lengths}\r\n{body}").as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{lengths}: {answer}");
        assert_eq!(t.standing().await, before, "{lengths}");
        tried.once();
    }
    // In pieces that are none, or that never end.
    for pieces in [
        "zz\r\n{}\r\n0\r\n\r\n".to_owned(),
        "-1\r\n{}\r\n0\r\n\r\n".to_owned(),
        "ffffffffffffffff\r\n{}\r\n0\r\n\r\n".to_owned(),
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n".to_owned(),
        format!("{length:x}\r\n{body}"),
        format!("{length:x}\r\n{body}\r\n1"),
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", length + 1),
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", length - 1),
        "\r\n\r\n".to_owned(),
        "0\r\n\r\n".to_owned(),
    ] {
        let answer = raw(
            &t,
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{pieces}").as_bytes(),
        )
        .await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{pieces}: {answer}");
        assert_eq!(t.standing().await, before, "{pieces}");
        tried.once();
    }
    // One request that hides another behind its end: the second is of nobody.
    let hidden = "POST /wx-pay/wxpay_refund HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for smuggled in [
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {operator}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}Content-Length: {length}\r\n\r\n{body}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {operator}\r\nContent-Length: 2\r\n\r\n{{}}{hidden}Content-Length: {length}\r\n\r\n{body}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {operator}\r\n\r\n{hidden}Content-Length: {length}\r\n\r\n{body}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\nAuthorization: {operator}\n\n{hidden}Content-Length: {length}\r\n\r\n{body}"
        ),
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: {operator}\r\n\r\n{hidden}Content-Length: {length}\r\n\r\n{body}"
        ),
    ] {
        raw(&t, smuggled.as_bytes()).await;
        assert_eq!(t.standing().await, before, "{smuggled}");
        tried.once();
    }
    t.goes_on("ORDER_AFTERWARDS").await;
}

async fn a_body_that_is_no_sound_json(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let (operator, id) = (
        format!("Bearer {OPERATOR}"),
        t.world.center().integration_id().to_owned(),
    );
    let usual = headers(&[
        ("content-type", "application/json"),
        ("authorization", &operator),
        ("x-tcb-integration-id", &id),
    ]);
    let refund = refund("ORDER_PAID", "REFUND_2", 1, 100).to_string();
    let tail = refund.strip_prefix('{').unwrap();
    let mut bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b" ".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        format!("[{refund}]").into_bytes(),
        format!("{refund}{refund}").into_bytes(),
        format!("{refund},").into_bytes(),
        format!("{refund}\0").into_bytes(),
        format!("\u{feff}{refund}").into_bytes(),
        refund.replace('"', "'").into_bytes(),
        refund.replacen(':', "=", 1).into_bytes(),
        refund.trim_end_matches('}').as_bytes().to_vec(),
        format!("/* */{refund}").into_bytes(),
        format!("{{\"x\":1e400,{tail}").into_bytes(),
        format!("{{\"x\":-1e400,{tail}").into_bytes(),
        format!("{{\"x\":NaN,{tail}").into_bytes(),
        format!("{{\"x\":01,{tail}").into_bytes(),
        format!("{{\"x\":\"\\ud800\",{tail}").into_bytes(),
        format!("{{\"x\":\"\\udc00\\ud800\",{tail}").into_bytes(),
        format!("{{\"\\ud800\":1,{tail}").into_bytes(),
        format!("{{\"x\":\"\\u00\",{tail}").into_bytes(),
        format!("{{\"x\":\"\\x41\",{tail}").into_bytes(),
        format!("{{\"out_refund_no\":\"REFUND_3\",{tail}").into_bytes(),
        refund
            .replacen("\"refund\":1", "\"refund\":1,\"refund\":100", 1)
            .into_bytes(),
        refund
            .replacen("\"refund\":1", "\"refund\":100,\"\\u0072efund\":1", 1)
            .into_bytes(),
        refund.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        [b"{\"x\":\"\xff\",", tail.as_bytes()].concat(),
        [b"{\"x\":\"\xc0\xaf\",", tail.as_bytes()].concat(),
        [b"{\"x\":\"\xed\xa0\x80\",", tail.as_bytes()].concat(),
        [b"{\"x\":\"\xf4\x90\x80\x80\",", tail.as_bytes()].concat(),
        [b"{\"x\":\"\0\",", tail.as_bytes()].concat(),
    ];
    for depth in [129, 1_000, 100_000, 900_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            bodies.push(format!("{{\"x\":{}1{},{tail}", open.repeat(depth), close.repeat(depth)).into_bytes());
            bodies.push(open.repeat(depth).into_bytes());
        }
    }
    for body in bodies {
        for path in DOORS {
            let status = t.post_raw(path, usual.clone(), body.clone()).await;
            let shown = String::from_utf8_lossy(&body);
            // Whatever is too long is refused as that.
            assert!(status == 400 || status == 413, "{path}: {status} for {shown:.120}");
            assert_eq!(t.standing().await, before, "{path}: {shown:.120}");
            tried.once();
        }
    }
    t.goes_on("ORDER_AFTERWARDS").await;
}

async fn a_compressed_or_otherwise_encoded_body(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let operator = format!("Bearer {OPERATOR}");
    let body = refund("ORDER_PAID", "REFUND_2", 1, 100).to_string();
    // gzip, empty; gzip with a sound head and nonsense; zlib; zstd; what is no text at all.
    let blobs: [&[u8]; 5] = [
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff",
        b"\x78\x9c\x03\x00\x00\x00\x00\x01",
        b"\x28\xb5\x2f\xfd\x00\x00\x01\x00\x00",
        b"\x00\x01\x02\x03",
    ];
    for encoding in ["gzip", "deflate", "br", "zstd", "x-gzip", "compress", "gzip, gzip"] {
        for blob in blobs {
            for path in DOORS {
                let headers = headers(&[
                    ("content-type", "application/json"),
                    ("authorization", &operator),
                    ("content-encoding", encoding),
                ]);
                let status = t.post_raw(path, headers, blob.to_vec()).await;
                assert!((400..500).contains(&status), "{encoding} at {path}: {status}");
                assert_eq!(t.standing().await, before, "{encoding} at {path}");
                tried.once();
            }
        }
    }
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/cbor",
        "application/json-seq",
        "application/jsonp",
        "",
        ",",
        "application/json, text/plain",
        "application//json",
        "json",
    ] {
        for path in DOORS {
            let headers = headers(&[("content-type", media), ("authorization", &operator)]);
            let status = t.post_raw(path, headers, body.clone()).await;
            assert_eq!(status, 415, "{media} at {path}");
            assert_eq!(t.standing().await, before, "{media} at {path}");
            tried.once();
        }
    }
    // Said twice: the first is not passed over for the second.
    let mut twice = headers(&[("content-type", "text/plain"), ("authorization", &operator)]);
    twice.append("content-type", HeaderValue::from_static("application/json"));
    let status = t.post_raw("/wx-pay/wxpay_refund", twice, body).await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(t.standing().await, before);
    tried.once();
    t.goes_on("ORDER_AFTERWARDS").await;
}
