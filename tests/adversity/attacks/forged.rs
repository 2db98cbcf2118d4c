//! Payments, refunds and transfers that never happened.

use serde_json::{Value, json};

use super::standing::{acknowledged, claims, forwarded, paid_unheard, refused, shop};
use crate::case::{Tried, cases};
use crate::support::app::{OPENID, TestApp, came};
use crate::support::database::Store;

cases!(Attack:
    a_forged_plaintext_forward_at_every_door => "an order marked paid, a refund marked done or a payout marked failed without a fen",
    a_forged_forward_sent_through_the_gateway_by_a_login => "an order marked paid by anybody with an account",
    a_forged_plaintext_beside_a_genuine_ciphertext_of_less => "an expensive order paid with a cheap one",
    a_ciphertext_that_was_tampered_with => "another amount or number under WeChat's seal",
    a_forward_under_another_integration_id => "a forward believed from whoever asks",
);

const EVENTS: [Option<&str>; 9] = [
    Some("TRANSACTION.SUCCESS"),
    Some("TRANSACTION.CLOSED"),
    Some("REFUND.SUCCESS"),
    Some("REFUND.CLOSED"),
    Some("REFUND.ABNORMAL"),
    Some("MCHTRANSFER.BILL.FINISHED"),
    Some("COUPON.USE"),
    Some(""),
    None,
];

/// Where callbacks are taken, with what a body needs to be taken there.
fn doors() -> Vec<(&'static str, Value)> {
    let mut doors: Vec<(&str, Value)> = [
        "/wechatpay/order",
        "/wechatpay/refund",
        "/wechatpay/transfer",
        "/wx-pay/unifiedOrderTrigger",
        "/wx-pay/refundTrigger",
        "/wx-pay/transferTrigger",
        "/",
    ]
    .map(|path| (path, json!({})))
    .to_vec();
    for name in ["unifiedOrderTrigger", "refundTrigger", "transferTrigger"] {
        doors.push(("/", json!({"_action": name})));
        doors.push(("/", json!({"_action": format!("/wx-pay/{name}")})));
        doors.push(("/", json!({"path": format!("/wx-pay/{name}"), "method": "POST"})));
    }
    doors
}

/// A forward in one of its shapes.
fn shaped(shape: usize, content: &Value, event: Option<&str>) -> Value {
    let envelope = match event {
        Some(event) => json!({"id": "EV-1", "event_type": event, "resource_type": "encrypt-resource"}),
        None => json!({"id": "EV-1"}),
    };
    match shape % 7 {
        0 => {
            json!({"ParsedContent": content, "ParsedNotify": envelope, "Plaintext": content.to_string(), "rawData": envelope})
        }
        1 => json!({"ParsedContent": content.to_string(), "ParsedNotify": envelope}),
        2 => json!({"Plaintext": content.to_string(), "rawData": envelope}),
        3 => json!({"ParsedContent": content, "rawData": envelope.to_string()}),
        4 => {
            let mut with_resource = envelope;
            with_resource["resource"] = json!({"algorithm": "AEAD_AES_256_GCM", "ciphertext": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "nonce": "0123456789ab", "associated_data": "transaction"});
            json!({"ParsedContent": content, "rawData": with_resource})
        }
        5 => {
            let mut with_resource = envelope;
            // The content itself where the ciphertext should be.
            with_resource["resource"] = content.clone();
            json!({"ParsedContent": content, "ParsedNotify": with_resource, "rawData": with_resource})
        }
        _ => content.clone(),
    }
}

async fn a_forged_plaintext_forward_at_every_door(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let (id, login) = (t.world.center().integration_id().to_owned(), t.bearer("mallory"));
    let headers: [&[(&str, &str)]; 5] = [
        &[("x-tcb-integration-id", &id)],
        &[],
        &[
            ("x-tcb-integration-id", &id),
            ("x-wx-openid", OPENID),
            ("x-wx-source", "wx_client"),
        ],
        &[("x-tcb-integration-id", &id), ("authorization", &login)],
        &[
            ("x-tcb-integration-id", &id),
            ("Wechatpay-Signature", "AAAA"),
            ("Wechatpay-Serial", "PUB_KEY_ID_1"),
            ("Wechatpay-Timestamp", "1700000000"),
            ("Wechatpay-Nonce", "x"),
        ],
    ];
    let mut shape = 0;
    for content in claims(&t) {
        for (path, dispatch) in doors() {
            for event in EVENTS {
                shape += 1;
                let mut body = shaped(shape, &content, event);
                body.as_object_mut()
                    .unwrap()
                    .extend(dispatch.as_object().unwrap().clone());
                let came = t.post(path, headers[shape % headers.len()], body.to_string()).await;
                // That the paid order is paid is true, and nothing new.
                let true_anyway = content["out_trade_no"] == "ORDER_PAID" && acknowledged(&came);
                assert!(refused(&came) || true_anyway, "{came:?} at {path} for {body}");
                assert_eq!(t.standing().await, before, "{path} {body}");
                tried.once();
            }
        }
    }
}

async fn a_forged_forward_sent_through_the_gateway_by_a_login(store: Store, tried: Tried) {
    let t = shop(store).await;
    let before = t.standing().await;
    let (id, login) = (t.world.center().integration_id().to_owned(), t.bearer("mallory"));
    let mut shape = 0;
    for content in claims(&t) {
        for (path, dispatch) in doors() {
            if path != "/" {
                continue;
            }
            for event in EVENTS {
                shape += 1;
                let mut body = shaped(shape, &content, event);
                body.as_object_mut()
                    .unwrap()
                    .extend(dispatch.as_object().unwrap().clone());
                let request = t.http.post(t.world.gateway().function_url());
                let request = request
                    .header("authorization", &login)
                    .header("content-type", "application/json")
                    // The gateway takes it away: it is the platform's own.
                    .header("x-tcb-integration-id", &id)
                    .header("x-wx-openid", OPENID)
                    .body(body.to_string());
                let came = came(request.send().await.unwrap()).await;
                assert!(refused(&came), "{came:?} for {body}");
                assert_eq!(t.standing().await, before, "{body}");
                tried.once();
            }
        }
    }
}

async fn a_forged_plaintext_beside_a_genuine_ciphertext_of_less(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t.placed("ORDER_DEAR", 999_900).await;
    let dear = t.world.wechat().order("ORDER_DEAR").unwrap();
    let forged = t.world.center().forge(&dear).body;
    let text = json!(forged["ParsedContent"].to_string());
    for (shape, path) in [
        "/wechatpay/order",
        "/wx-pay/unifiedOrderTrigger",
        "/",
        "/wechatpay/refund",
        "/wx-pay/transferTrigger",
    ]
    .into_iter()
    .cycle()
    .take(30)
    .enumerate()
    {
        let number = format!("ORDER_CHEAP_{shape}");
        paid_unheard(&t, &number, 1).await;
        let note = t.world.wechat().payment_notification(&number).unwrap();
        let mut forward = forwarded(&t, &note);
        forward.path = path.to_owned();
        let body = &mut forward.body;
        match shape % 6 {
            0 => body["ParsedContent"] = forged["ParsedContent"].clone(),
            1 => body["Plaintext"] = text.clone(),
            2 => {
                body["ParsedContent"] = forged["ParsedContent"].clone();
                body["Plaintext"] = text.clone();
            }
            3 => {
                body["ParsedContent"] = text.clone();
                body["out_trade_no"] = json!("ORDER_DEAR");
                body["amount"] = forged["ParsedContent"]["amount"].clone();
            }
            4 => {
                body["rawData"]["resource"]["out_trade_no"] = json!("ORDER_DEAR");
                body["rawData"]["out_trade_no"] = json!("ORDER_DEAR");
                body["ParsedNotify"]["resource"] = forged["ParsedContent"].clone();
            }
            _ => {
                body["ParsedContent"]["amount"] = json!({"total": 999_900, "currency": "CNY"});
                body["ParsedContent"]["out_trade_no"] = json!("ORDER_DEAR");
                body["ParsedNotify"]["event_type"] = json!("REFUND.SUCCESS");
            }
        }
        let questions = t.world.wechat().requests().len();
        let came = t.forward(&forward).await;
        assert!(acknowledged(&came), "{came:?} for {}", forward.body);
        assert_eq!(
            t.state("ORDER_DEAR").await.as_deref(),
            Some("NOTPAY"),
            "{}",
            forward.body
        );
        assert_eq!(t.events("ORDER_DEAR").await, ["order.created"]);
        assert_eq!(
            t.events(&number).await,
            ["order.created", "order.paid"],
            "what is sealed is true"
        );
        assert_eq!(
            t.world.wechat().requests().len(),
            questions,
            "and nobody has to be asked"
        );
        tried.once();
    }
    assert!(t.anomalies().await.is_empty());
}

/// Every way in which a sealed content can be changed by whoever has not the key.
fn tampered(sealed: &Value, other: &Value) -> Vec<(String, Value)> {
    let ciphertext = sealed["ciphertext"].as_str().unwrap();
    let other_ciphertext = other["ciphertext"].as_str().unwrap();
    let with = |member: &str, value: Value| {
        let mut changed = sealed.clone();
        changed[member] = value;
        changed
    };
    let mut all = Vec::new();
    // One bit of one character, all along the ciphertext and its tag.
    for at in (0..ciphertext.len()).step_by(ciphertext.len() / 60 + 1) {
        let flipped: String = ciphertext
            .chars()
            .enumerate()
            .map(|(index, c)| match c {
                c if index != at => c,
                'A' => 'B',
                '=' => '=',
                _ => 'A',
            })
            .collect();
        if flipped != ciphertext {
            all.push((format!("character {at}"), with("ciphertext", json!(flipped))));
        }
    }
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (bytes, others) = (
        STANDARD.decode(ciphertext).unwrap(),
        STANDARD.decode(other_ciphertext).unwrap(),
    );
    for cut in [1, 4, 8, 12, 15, 16, 17, bytes.len()] {
        let short = &bytes[..bytes.len() - cut];
        all.push((
            format!("{cut} bytes less"),
            with("ciphertext", json!(STANDARD.encode(short))),
        ));
    }
    let tag = bytes.len() - 16;
    let mut foreign_tag = bytes[..tag].to_vec();
    foreign_tag.extend(&others[others.len() - 16..]);
    all.push((
        "the tag of another".into(),
        with("ciphertext", json!(STANDARD.encode(foreign_tag))),
    ));
    let mut no_tag = bytes[..tag].to_vec();
    no_tag.extend([0; 16]);
    all.push((
        "a tag of zeros".into(),
        with("ciphertext", json!(STANDARD.encode(no_tag))),
    ));
    all.push((
        "the ciphertext of another".into(),
        with("ciphertext", other["ciphertext"].clone()),
    ));
    for nonce in [
        other["nonce"].clone(),
        json!(""),
        json!("0"),
        json!("0123456789ab"),
        json!("0123456789abcdef"),
        json!(null),
        json!(1),
    ] {
        all.push((format!("nonce {nonce}"), with("nonce", nonce)));
    }
    for data in [
        json!(""),
        json!("refund"),
        json!("transaction "),
        json!("mch_payment"),
        json!(null),
        json!(5),
    ] {
        all.push((format!("associated data {data}"), with("associated_data", data)));
    }
    for algorithm in [json!("none"), json!("AEAD_SM4_GCM"), json!("")] {
        let mut changed = with("ciphertext", json!(STANDARD.encode(&bytes[..tag])));
        changed["algorithm"] = algorithm.clone();
        all.push((format!("algorithm {algorithm}"), changed));
    }
    all
}

async fn a_ciphertext_that_was_tampered_with(store: Store, tried: Tried) {
    let t = shop(store).await;
    paid_unheard(&t, "ORDER_1", 1).await;
    paid_unheard(&t, "ORDER_2", 1).await;
    let wechat = t.world.wechat();
    let mut note = forwarded(&t, &wechat.payment_notification("ORDER_1").unwrap());
    let other = forwarded(&t, &wechat.payment_notification("ORDER_2").unwrap()).body["rawData"]["resource"].clone();
    let before = t.standing().await;
    let claims = claims(&t);
    for (count, (about, resource)) in tampered(&note.body["rawData"]["resource"].clone(), &other)
        .into_iter()
        .enumerate()
    {
        note.body["rawData"]["resource"] = resource;
        // Alone it says nothing; and beside the word of whoever changed it, that word is asked about.
        for hint in [Value::Null, claims[count % claims.len()].clone()] {
            note.body["ParsedContent"] = hint.clone();
            note.body["Plaintext"] = Value::Null;
            let questions = wechat.requests().len();
            let came = t.forward(&note).await;
            let true_anyway = hint["out_trade_no"] == "ORDER_PAID" && acknowledged(&came);
            assert!(refused(&came) || true_anyway, "{about}: {came:?}");
            assert_eq!(t.standing().await, before, "{about}");
            if hint.is_null() {
                assert_eq!(wechat.requests().len(), questions, "{about}");
            }
            tried.once();
        }
    }
}

async fn a_forward_under_another_integration_id(store: Store, tried: Tried) {
    let t = shop(store).await;
    paid_unheard(&t, "ORDER_1", 1).await;
    let genuine = forwarded(&t, &t.world.wechat().payment_notification("ORDER_1").unwrap());
    let before = t.standing().await;
    let id = t.world.center().integration_id().to_owned();
    let (prefix, upper, longer) = (
        id.strip_suffix(|_| true).unwrap(),
        id.to_ascii_uppercase(),
        format!("{id}x"),
    );
    let twice = format!("{id}, {id}");
    let questions = t.world.wechat().requests().len();
    for content in claims(&t) {
        for given in [
            None,
            Some(""),
            Some(prefix),
            Some(&upper),
            Some(&longer),
            Some(&twice),
            Some("null"),
            Some("*"),
        ] {
            let headers: Vec<(&str, &str)> = given.iter().map(|given| ("x-tcb-integration-id", *given)).collect();
            let body = json!({"ParsedContent": content, "ParsedNotify": {"event_type": "TRANSACTION.SUCCESS"}});
            for (path, body) in [
                ("/wechatpay/order", &body),
                ("/", &body),
                ("/wechatpay/order", &genuine.body),
            ] {
                let came = t.post(path, &headers, body.to_string()).await;
                assert_eq!(came.status, 401, "{given:?}: {came:?}");
                assert_eq!(t.standing().await, before, "{given:?}");
                tried.once();
            }
        }
    }
    assert_eq!(
        t.world.wechat().requests().len(),
        questions,
        "nobody is asked for a stranger"
    );
}
