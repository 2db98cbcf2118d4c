//! What the sandbox takes and answers, compared with WeChat Pay's endpoints as `tests/openapi` describes them.

#[path = "../../tests/openapi/contract.rs"]
mod contract;

use std::collections::BTreeSet;

use jiff::tz;
use serde_json::{Value, json};

use self::contract::{Contract, EXCEPTIONS, Exchange, Findings};
use super::testing::{Answer, Scene};
use super::{Channel, KeyMode, Options, Payment, RefundEnd, Seen, TransferEnd, TransferStart, crypto};

const ORDERS: &str = "/v3/pay/transactions";
const REFUNDS: &str = "/v3/refund/domestic/refunds";
const TRANSFERS: &str = "/v3/fund-app/mch-transfer/transfer-bills";

impl From<&Seen> for Exchange {
    fn from(seen: &Seen) -> Self {
        Self {
            method: seen.method.clone(),
            target: seen.path_and_query.clone(),
            request: seen.body.clone(),
            names_key: seen.wechatpay_serial.is_some(),
            status: seen.status.unwrap(),
            answer: seen.answer.clone(),
        }
    }
}

/// The order of each channel, with every member that its table has.
fn order(scene: &Scene, channel: Channel, number: &str) -> (String, Value) {
    let mut body = scene.order(number);
    body["time_expire"] = json!("2099-11-23T16:00:00+08:00");
    body["attach"] = json!("shop=1");
    body["goods_tag"] = json!("WXG");
    body["support_fapiao"] = json!(true);
    body["settle_info"] = json!({"profit_sharing": false});
    body["detail"] = json!({
        "cost_price": 100, "invoice_id": "1",
        "goods_detail": [{
            "merchant_goods_id": "1", "wechatpay_goods_id": "1001", "goods_name": "Pass", "quantity": 1, "unit_price": 100,
        }],
    });
    // Both the official page and the file are satisfied by all four members of a shop.
    let store = json!({"id": "1", "name": "Shop", "area_code": "440305", "address": "Road 1"});
    body["scene_info"] = json!({"payer_client_ip": "203.0.113.7", "device_id": "1", "store_info": store});
    let path = match channel {
        Channel::Jsapi => "jsapi",
        Channel::App => "app",
        Channel::H5 => "h5",
        Channel::Native => "native",
    };
    match channel {
        Channel::Jsapi => body["limit_pay"] = json!(["no_credit"]),
        Channel::H5 => {
            body["scene_info"]["h5_info"] =
                json!({"type": "Wap", "app_name": "Shop", "app_url": "https://pay.example.com"});
        }
        Channel::App | Channel::Native => {}
    }
    if channel != Channel::Jsapi {
        body.as_object_mut().unwrap().remove("payer");
    }
    (format!("{ORDERS}/{path}"), body)
}

/// An order in every channel: asked for, queried, paid with a coupon, queried by both numbers; and one that is closed.
async fn trade(scene: &Scene) {
    for channel in [Channel::Jsapi, Channel::App, Channel::H5, Channel::Native] {
        let number = format!("ORDER_{}", channel.trade_type());
        let (target, body) = order(scene, channel, &number);
        let placed = scene.shop.post(&target, &body).await;
        assert_eq!(placed.status, 200, "{}", placed.body);
        has_the_form_of(channel, &placed);
        scene.shop.query(&number).await;
        let coupon = Payment {
            payer_total: Some(90),
            notify: false,
            ..Payment::default()
        };
        let transaction = scene.world.wechat().pay_with(&number, &coupon).unwrap();
        let paid = scene.shop.query(&number).await.json();
        assert_eq!(paid["trade_type"], channel.trade_type());
        let mchid = scene.world.keys().mchid();
        scene
            .shop
            .get(&format!("{ORDERS}/id/{transaction}?mchid={mchid}"))
            .await;
        let again = scene.shop.post(&target, &body).await;
        assert_eq!(again.verdict(), (400, "ORDERPAID".to_owned(), true));
    }
    let (target, body) = order(scene, Channel::Native, "ORDER_CLOSED");
    scene.shop.post(&target, &body).await;
    assert_eq!(scene.shop.close("ORDER_CLOSED").await.status, 204);
    scene.shop.query("ORDER_CLOSED").await;
    assert_eq!(scene.shop.query("ORDER_UNKNOWN").await.status, 404);
}

fn has_the_form_of(channel: Channel, placed: &Answer) {
    let answer = placed.json();
    let (member, start, longest) = match channel {
        Channel::Jsapi | Channel::App => ("prepay_id", "wx", 64),
        Channel::H5 => (
            "h5_url",
            "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx",
            512,
        ),
        Channel::Native => ("code_url", "weixin://wxpay/bizpayurl?pr=", 512),
    };
    let value = answer[member].as_str().unwrap();
    assert!(value.starts_with(start) && value.len() <= longest, "{value}");
    assert_eq!(answer.as_object().unwrap().len(), 1);
}

async fn refunds(scene: &Scene) {
    let mut body = scene.refund("ORDER_JSAPI", "R1", 40);
    body["reason"] = json!("cancelled");
    body["funds_account"] = json!("AVAILABLE");
    body["goods_detail"] = json!([{
        "merchant_goods_id": "1", "goods_name": "Pass", "unit_price": 100, "refund_amount": 40, "refund_quantity": 1,
    }]);
    body["amount"]["from"] = json!([{"account": "AVAILABLE", "amount": 40}]);
    assert_eq!(scene.shop.post(REFUNDS, &body).await.status, 200);
    scene.shop.get(&format!("{REFUNDS}/R1")).await;
    scene.world.wechat().finish_refund("R1", RefundEnd::Success).unwrap();
    scene.shop.get(&format!("{REFUNDS}/R1")).await;
    scene.shop.query("ORDER_JSAPI").await;
    assert_eq!(scene.shop.get(&format!("{REFUNDS}/R2")).await.status, 404);
    assert_eq!(
        scene
            .shop
            .post(REFUNDS, &scene.refund("ORDER_JSAPI", "R2", 61))
            .await
            .status,
        400
    );
}

/// A transfer in every state, with everything that can be said about one.
async fn transfers(scene: &Scene) {
    let wechat = scene.world.wechat();
    let signer = wechat.certificates().first().map(|first| first.serial_no.clone());
    let id = signer.unwrap_or_else(|| scene.world.keys().public_key_id().to_owned());
    let key = scene.world.platform.current(&id, scene.world.clock().now()).unwrap();
    let shop = scene.shop.naming(Some(&id));
    let at = |number: &str| format!("{TRANSFERS}/out-bill-no/{number}");

    let mut body = scene.transfer("T1", 20_000);
    body["user_name"] = json!(crypto::encrypt(key.public(), "张三"));
    body["user_recv_perception"] = json!("现金奖励");
    body["user_recv_style"] = json!({"type": "RED_PACKET"});
    let created = shop.post(TRANSFERS, &body).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let bill = created.json()["transfer_bill_no"].as_str().unwrap().to_owned();
    shop.get(&format!("{TRANSFERS}/transfer-bill-no/{bill}")).await;
    wechat.confirm_transfer("T1").unwrap();
    shop.get(&at("T1")).await;
    shop.post(TRANSFERS, &body).await;

    wechat.start_transfers_as(TransferStart::Accepted);
    scene.shop.post(TRANSFERS, &scene.transfer("T2", 500)).await;
    while wechat.step_transfer("T2").is_ok() {
        shop.get(&at("T2")).await;
    }
    scene.shop.post(TRANSFERS, &scene.transfer("T3", 500)).await;
    let fail = TransferEnd::Fail("PAYEE_ACCOUNT_ABNORMAL".to_owned());
    wechat.end_transfer("T3", &fail).unwrap();
    shop.get(&at("T3")).await;
    shop.post(TRANSFERS, &scene.transfer("T3", 500)).await;

    shop.post(TRANSFERS, &scene.transfer("T4", 500)).await;
    let cancel = format!("{}/cancel", at("T4"));
    assert_eq!(shop.send(shop.request("POST", &cancel, "")).await.unwrap().status, 200);
    wechat.end_transfer("T4", &TransferEnd::Cancelled).unwrap();
    assert_eq!(shop.post(&cancel, &json!({})).await.json()["state"], "CANCELLED");
    shop.get(&at("T4")).await;
    assert_eq!(shop.get(&at("T5")).await.status, 404);
}

/// Every bill of yesterday, as text and as a gzip file.
async fn bills(scene: &Scene) {
    let clock = scene.world.clock();
    let yesterday = tz::offset(8).to_datetime(clock.now()).date();
    clock.advance(std::time::Duration::from_hours(48));
    for packing in ["", "&tar_type=GZIP"] {
        for part in ["", "&bill_type=ALL", "&bill_type=SUCCESS", "&bill_type=REFUND"] {
            let target = format!("/v3/bill/tradebill?bill_date={yesterday}{part}{packing}");
            download(scene, &target).await;
        }
        for part in ["", "&account_type=BASIC", "&account_type=OPERATION"] {
            let target = format!("/v3/bill/fundflowbill?bill_date={yesterday}{part}{packing}");
            download(scene, &target).await;
        }
    }
    let nothing = format!("/v3/bill/fundflowbill?bill_date={yesterday}&account_type=FEES");
    let nothing = scene.shop.get(&nothing).await;
    assert_eq!(nothing.verdict(), (400, "NO_STATEMENT_EXIST".to_owned(), true));
    let unknown = scene.shop.get("/v3/billdownload/file?token=1").await;
    assert_eq!((unknown.status, unknown.is_signed()), (400, false));
}

async fn download(scene: &Scene, target: &str) {
    let applied = scene.shop.get(target).await;
    assert_eq!(applied.status, 200, "{}", applied.body);
    let url = applied.json()["download_url"].as_str().unwrap().to_owned();
    let file = url.strip_prefix(&scene.world.wechat().url()).unwrap();
    assert_eq!(scene.shop.get(file).await.status, 200);
}

async fn scene(key_mode: KeyMode) -> Scene {
    Scene::with(Options {
        key_mode,
        refund_after: None,
        cancel_after: None,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn every_exchange_is_what_the_files_describe() {
    let contract = Contract::load();
    let (mut met, mut excused) = (BTreeSet::new(), BTreeSet::new());
    for key_mode in [KeyMode::PublicKey, KeyMode::Certificates] {
        let scene = scene(key_mode).await;
        trade(&scene).await;
        refunds(&scene).await;
        transfers(&scene).await;
        scene.shop.get("/v3/certificates").await;
        scene.world.wechat().rotate_certificate().ok();
        scene.shop.get("/v3/certificates?algorithm_type=RSA").await;
        bills(&scene).await;

        let requests = scene.world.wechat().requests();
        for seen in &requests {
            let Findings { wrong, excused: known } = contract.compare(&Exchange::from(seen));
            assert_eq!(wrong, [""; 0], "{} {}", seen.body, seen.answer);
            excused.extend(known);
            met.extend(contract.endpoint(&seen.path_and_query).map(str::to_owned));
        }
    }
    assert_eq!(met.into_iter().collect::<Vec<_>>(), contract.endpoints());
    // An exception that no exchange needs is out of date.
    assert_eq!(excused, EXCEPTIONS.iter().map(contract::Exception::named).collect());
}

#[tokio::test]
async fn what_was_seen_is_what_was_sent() {
    let scene = scene(KeyMode::PublicKey).await;
    let (target, body) = order(&scene, Channel::H5, "ORDER_1");
    let answers = [
        scene.shop.post(&target, &body).await,
        scene.shop.query("ORDER_2").await,
        scene.shop.close("ORDER_1").await,
    ];
    for (seen, answer) in scene.world.wechat().requests().iter().zip(&answers) {
        assert_eq!((seen.status, &seen.answer), (Some(answer.status), &answer.body));
        assert_eq!(
            seen.wechatpay_serial.as_deref(),
            Some(scene.world.keys().public_key_id())
        );
    }
}

/// A query of an unpaid order, as it should be.
fn query() -> Exchange {
    let answer = json!({
        "appid": "wx1", "mchid": "1", "out_trade_no": "ORDER_1", "trade_state": "NOTPAY", "trade_state_desc": "订单未支付",
        "amount": {"total": 100, "payer_currency": "CNY"}, "promotion_detail": [], "scene_info": {"device_id": ""},
    });
    Exchange {
        method: "GET".to_owned(),
        target: format!("{ORDERS}/out-trade-no/ORDER_1?mchid=1"),
        request: String::new(),
        names_key: true,
        status: 200,
        answer: answer.to_string(),
    }
}

#[test]
fn what_does_not_fit_a_file_is_found_by_name() {
    let contract = Contract::load();
    let wrong = |exchange: Exchange| contract.compare(&exchange).wrong;
    let answered = |change: &dyn Fn(&mut Value)| {
        let mut answer: Value = serde_json::from_str(&query().answer).unwrap();
        change(&mut answer);
        wrong(Exchange {
            answer: answer.to_string(),
            ..query()
        })
    };
    assert_eq!(wrong(query()), [""; 0]);
    assert_eq!(contract.compare(&query()).excused.len(), 4);
    let about = |found: Vec<String>, end: &str| {
        assert!(found.len() == 1 && found[0].ends_with(end), "{found:?} has not {end}");
    };
    about(
        answered(&|a| drop(a.as_object_mut().unwrap().remove("appid"))),
        "answer: /appid is missing",
    );
    about(
        answered(&|a| a["colour"] = json!("red")),
        "answer: /colour is not described",
    );
    about(
        answered(&|a| a["amount"]["tip"] = json!(1)),
        "answer: /amount/tip is not described",
    );
    about(
        answered(&|a| a["amount"]["total"] = json!("100")),
        "\"100\" is not of type \"integer\"",
    );
    about(
        answered(&|a| a["success_time"] = json!("yesterday")),
        "\"yesterday\" is not a \"rfc3339\"",
    );
    assert!(answered(&|a| a["trade_state"] = json!("PAID"))[0].contains("/trade_state: \"PAID\" is not one of"));
    let target = |target: &str| Exchange {
        target: target.to_owned(),
        ..query()
    };
    about(
        wrong(target(&format!("{ORDERS}/out-trade-no/ORDER_1"))),
        "query: mchid is missing",
    );
    about(
        wrong(target(&format!("{ORDERS}/out-trade-no/ORDER_1?mchid=1&x=1"))),
        "query: x is not described",
    );
    about(wrong(target("/v3/pay/transactions")), "no such endpoint");
    about(
        wrong(Exchange {
            method: "PUT".to_owned(),
            ..query()
        }),
        "no such method",
    );
    about(
        wrong(Exchange {
            request: "{\"x\":1}".to_owned(),
            ..query()
        }),
        "a body that is not described",
    );
    about(
        wrong(Exchange { status: 202, ..query() }),
        "status 202 is not described",
    );
    about(
        wrong(Exchange {
            status: 404,
            answer: "{}".to_owned(),
            ..query()
        })
        .split_off(1),
        "/message is missing",
    );
    about(
        wrong(Exchange {
            answer: "<html>".to_owned(),
            ..query()
        }),
        "answer: not JSON",
    );
}
