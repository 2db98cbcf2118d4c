//! Notifications that WeChat never signed, or signed otherwise.

use pay_common::sandbox::{DIRECT_ORDER_PATH, SignedNotification};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::standing::{acknowledged, paid_unheard, refused};
use crate::case::{Tried, cases};
use crate::support::app::TestApp;
use crate::support::database::Store;

cases!(Attack:
    a_signed_body_with_one_character_changed => "any content under WeChat's signature",
    a_signature_that_is_missing_doubled_a_probe_or_nonsense => "any content under no signature at all",
    a_signature_by_a_key_that_is_not_wechats => "any content under the attacker's own signature",
    headers_of_odd_bytes_and_great_length => "a crash, or a header read otherwise than it was checked",
);

const NAMES: [&str; 4] = [
    "Wechatpay-Signature",
    "Wechatpay-Serial",
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
];

/// An order that is really paid and not heard of: whatever is let through by mistake would show.
async fn unheard(store: Store) -> (TestApp, SignedNotification) {
    let t = TestApp::start(store).await;
    paid_unheard(&t, "ORDER_1", 20).await;
    let note = t.world.wechat().payment_notification("ORDER_1").unwrap();
    (t, note)
}

async fn a_signed_body_with_one_character_changed(store: Store, tried: Tried) {
    let (t, note) = unheard(store).await;
    let before = t.standing().await;
    let letters: Vec<char> = note.body.chars().collect();
    let mut bodies = vec![
        format!("{} ", note.body),
        format!(" {}", note.body),
        format!("{}\n", note.body),
        note.body.replacen('{', "{\"x\":1,", 1),
        note.body
            .replacen("TRANSACTION.SUCCESS", "TRANSACTION\\u002eSUCCESS", 1),
        note.body.replacen("支付成功", "\\u652f\\u4ed8\\u6210\\u529f", 1),
        note.body.replacen(':', " :", 1),
    ];
    for at in (0..letters.len()).step_by(letters.len() / 60 + 1) {
        let mut changed = letters.clone();
        changed[at] = if changed[at] == 'x' { 'y' } else { 'x' };
        bodies.push(changed.into_iter().collect());
    }
    for body in bodies {
        assert_ne!(body, note.body);
        let came = t
            .notify(
                DIRECT_ORDER_PATH,
                &SignedNotification {
                    body: body.clone(),
                    ..note.clone()
                },
            )
            .await;
        assert!(refused(&came), "{came:?} for {body}");
        assert_eq!(t.standing().await, before, "{body}");
        tried.once();
    }
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
}

async fn a_signature_that_is_missing_doubled_a_probe_or_nonsense(store: Store, tried: Tried) {
    let (t, note) = unheard(store).await;
    let before = t.standing().await;
    let value = |name: &str| note.header(name).unwrap().to_owned();
    let (signature, serial, timestamp) = (value(NAMES[0]), value(NAMES[1]), value(NAMES[2]));
    let merchant = t.world.keys().serial_no().to_owned();
    let mut bad = Vec::new();
    for (name, values) in [
        (
            "Wechatpay-Signature",
            vec![
                "WECHATPAY/SIGNTEST/".to_owned(),
                "WECHATPAY/SIGNTEST/AAAA".to_owned(),
                format!("WECHATPAY/SIGNTEST/{signature}"),
                format!("wechatpay/signtest/{signature}"),
                format!(" {signature}x"),
                "AAAA".to_owned(),
                "=".to_owned(),
                "null".to_owned(),
                signature.chars().rev().collect(),
                signature.chars().take(signature.len() / 2).collect(),
                signature.replace('/', "_").replace('+', "-") + "_",
                format!("{signature},{signature}"),
                "A".repeat(344),
            ],
        ),
        (
            "Wechatpay-Serial",
            vec![
                "PUB_KEY_ID_0000000000".to_owned(),
                merchant,
                serial.to_lowercase(),
                format!("{serial}0"),
                format!("../{serial}"),
                format!("{serial}/../x"),
                format!("{serial}?x=1"),
                format!("{serial}#"),
                format!("{serial};"),
                "' OR '1'='1".to_owned(),
                "*".to_owned(),
                "0".to_owned(),
                "http://127.0.0.1:1/key".to_owned(),
                "file:///etc/passwd".to_owned(),
                "5157F09EFDC096DE15EBE81A47057A7232F1B8E1".to_owned(),
            ],
        ),
        (
            "Wechatpay-Timestamp",
            vec![
                "0".to_owned(),
                "-1".to_owned(),
                "soon".to_owned(),
                format!("{timestamp}.0"),
                format!("{timestamp}000"),
                format!("+{timestamp}"),
                format!("0{timestamp}"),
                format!("{timestamp}e0"),
                "9223372036854775807".to_owned(),
                "9223372036854775808".to_owned(),
                "-9223372036854775808".to_owned(),
                "99999999999999999999999".to_owned(),
                "NaN".to_owned(),
                "0x5f5e100".to_owned(),
            ],
        ),
        (
            "Wechatpay-Nonce",
            vec!["another".to_owned(), "\\n".to_owned(), "0".to_owned(), "n".repeat(4096)],
        ),
        (
            "Wechatpay-Signature-Type",
            vec![
                "WECHATPAY2-SM2-WITH-SM3".to_owned(),
                "none".to_owned(),
                "WECHATPAY2-SHA1-RSA1024".to_owned(),
            ],
        ),
    ] {
        for value in values {
            bad.push(note.clone().with_header(name, &value));
        }
    }
    for name in NAMES {
        bad.push(note.clone().with_header(name, ""));
        // Beside the right one, in front of it and behind it.
        for other in ["x", &value(name), ""] {
            let mut behind = note.clone();
            behind.headers.push((name.to_owned(), other.to_owned()));
            let mut before = note.clone();
            before.headers.insert(0, (name.to_owned(), other.to_owned()));
            bad.extend([behind, before]);
        }
    }
    bad.push(SignedNotification {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..note.clone()
    });
    for note in bad {
        let came = t.notify(DIRECT_ORDER_PATH, &note).await;
        assert!(refused(&came), "{came:?} for {:?}", note.headers);
        assert_eq!(t.standing().await, before, "{:?}", note.headers);
        tried.once();
    }
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
}

async fn a_signature_by_a_key_that_is_not_wechats(store: Store, tried: Tried) {
    let (t, note) = unheard(store).await;
    let before = t.standing().await;
    let value = |name: &str| note.header(name).unwrap().to_owned();
    let (serial, timestamp, nonce) = (value(NAMES[1]), value(NAMES[2]), value(NAMES[3]));
    let body = &note.body;
    let (merchant, wechat) = (
        |message: String| t.world.keys().sign_as_merchant(&message),
        |message: String| t.world.keys().sign_as_wechat(&message),
    );
    let right = format!("{timestamp}\n{nonce}\n{body}\n");
    for (about, signature, serial) in [
        ("the merchant's key", merchant(right.clone()), serial.clone()),
        (
            "the merchant's key by its name",
            merchant(right.clone()),
            t.world.keys().serial_no().to_owned(),
        ),
        (
            "as requests are signed",
            merchant(format!("POST\n{DIRECT_ORDER_PATH}\n{right}")),
            serial.clone(),
        ),
        (
            "WeChat's key over no line end",
            wechat(format!("{timestamp}\n{nonce}\n{body}")),
            serial.clone(),
        ),
        ("over the body alone", wechat(body.clone()), serial.clone()),
        ("over nothing", wechat(String::new()), serial.clone()),
        (
            "over another time",
            wechat(format!("0\n{nonce}\n{body}\n")),
            serial.clone(),
        ),
        (
            "over another nonce",
            wechat(format!("{timestamp}\nx\n{body}\n")),
            serial.clone(),
        ),
        (
            "over another body",
            wechat(format!("{timestamp}\n{nonce}\n{{}}\n")),
            serial.clone(),
        ),
        (
            "over lines in another order",
            wechat(format!("{nonce}\n{timestamp}\n{body}\n")),
            serial.clone(),
        ),
        (
            "right, and under an unknown name",
            wechat(right.clone()),
            "PUB_KEY_ID_01".to_owned(),
        ),
    ] {
        let forged = note
            .clone()
            .with_header("Wechatpay-Signature", &signature)
            .with_header("Wechatpay-Serial", &serial);
        let came = t.notify(DIRECT_ORDER_PATH, &forged).await;
        assert!(refused(&came), "{about}: {came:?}");
        assert_eq!(t.standing().await, before, "{about}");
        tried.once();
    }
    // The helper itself signs as WeChat does.
    let genuine = note.clone().with_header("Wechatpay-Signature", &wechat(right));
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &genuine).await));
}

async fn headers_of_odd_bytes_and_great_length(store: Store, tried: Tried) {
    let (t, note) = unheard(store).await;
    let before = t.standing().await;
    let genuine: HeaderMap = note
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    let odd: Vec<Vec<u8>> = vec![
        vec![0x80],
        vec![0xff; 16],
        "微信支付".as_bytes().to_vec(),
        b"\t".to_vec(),
        b"a\tb".to_vec(),
        vec![b'A'; 60_000],
        vec![b' '; 60_000],
        vec![0xff; 60_000],
        vec![b'A'; 2_000_000],
        b"%0d%0aWechatpay-Serial: x".to_vec(),
        b"\\r\\nx: y".to_vec(),
    ];
    let names = [
        "wechatpay-signature",
        "wechatpay-serial",
        "wechatpay-timestamp",
        "wechatpay-nonce",
    ];
    for name in names {
        for value in &odd {
            let mut headers = genuine.clone();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
            let status = t.post_raw(DIRECT_ORDER_PATH, headers, note.body.clone()).await;
            assert!(status == 0 || (400..500).contains(&status), "{name}: {status}");
            assert_eq!(t.standing().await, before, "{name}");
            tried.once();
        }
    }
    // The same in every header that is read before anybody is known.
    for name in [
        "authorization",
        "x-tcb-integration-id",
        "x-wx-openid",
        "x-request-id",
        "accept-language",
        "origin",
        "x-forwarded-for",
        "content-type",
    ] {
        for value in &odd {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
            for path in ["/", "/wechatpay/order", "/wx-pay/wxpay_order"] {
                let status = t.post_raw(path, headers.clone(), r#"{"out_trade_no":"ORDER_1"}"#).await;
                assert!(
                    status == 0 || (400..500).contains(&status),
                    "{name} at {path}: {status}"
                );
                assert_eq!(t.standing().await, before, "{name}");
                tried.once();
            }
        }
    }
    assert!(acknowledged(&t.notify(DIRECT_ORDER_PATH, &note).await));
}
