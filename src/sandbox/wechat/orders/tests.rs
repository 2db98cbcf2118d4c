use std::sync::Arc;

use super::super::buyer::{Impossible, Payment};
use super::*;
use crate::sandbox::testing;

const NUMBER: &str = "ORD20261123000001";

struct Bench {
    books: Books,
    keys: Arc<Keys>,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let now = "2026-11-23T15:04:05+08:00".parse().unwrap();
        Self {
            books: Books::default(),
            keys: Keys::shared(),
            now,
        }
    }

    fn body(&self) -> Value {
        testing::order(&self.keys, NUMBER)
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut body = self.body();
        body[name] = value;
        body
    }

    fn prepay(&mut self, body: Value) -> Result<String, Refusal> {
        let answer = self.books.prepay(Channel::Jsapi, body, &self.keys, self.now)?;
        Ok(answer["prepay_id"].as_str().unwrap().to_owned())
    }

    fn code(&mut self, body: Value) -> (u16, String) {
        let refusal = self.prepay(body).unwrap_err();
        (refusal.status, refusal.code)
    }

    fn pay(&mut self) -> Result<Order, Impossible> {
        self.books.pay(NUMBER, &Payment::default(), self.now)
    }

    fn query(&self) -> Value {
        self.books.query(NUMBER, self.keys.mchid(), self.now).unwrap()
    }

    fn close(&mut self) -> Result<(), Refusal> {
        let body = json!({"mchid": self.keys.mchid()});
        self.books.close(NUMBER, &body, self.keys.mchid(), self.now)
    }

    fn wait(&mut self, time: SignedDuration) {
        self.now += time;
    }
}

fn coded(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn each_channel_takes_its_own_members_and_answers_in_its_own_form() {
    let mut bench = Bench::new();
    let scene = json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}});
    let mut bare = bench.body();
    bare.as_object_mut().unwrap().remove("payer");
    let mut in_browser = bare.clone();
    in_browser["scene_info"] = scene.clone();
    let mut ask = |channel: Channel, body: &Value, change: &dyn Fn(&mut Value)| {
        let mut body = body.clone();
        body["out_trade_no"] = json!(format!("ORDER_{}", channel.trade_type()));
        change(&mut body);
        let answer = bench.books.prepay(channel, body, &bench.keys, bench.now);
        answer.map_err(|refusal| refusal.detail.map_or(Value::Null, |detail| detail["field"].clone()))
    };
    let payer = |body: &mut Value| body["payer"] = json!({"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"});
    let limit = |body: &mut Value| body["limit_pay"] = json!(["no_credit"]);
    for (channel, body, form) in [
        (Channel::App, &bare, ("prepay_id", "wx")),
        (Channel::Native, &bare, ("code_url", "weixin://wxpay/bizpayurl?pr=")),
        (
            Channel::H5,
            &in_browser,
            (
                "h5_url",
                "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx",
            ),
        ),
    ] {
        assert_eq!(ask(channel, body, &payer), Err(json!("/payer")), "{channel:?}");
        assert_eq!(ask(channel, body, &limit), Err(json!("/limit_pay")), "{channel:?}");
        let answer = ask(channel, body, &|_| {}).unwrap();
        assert!(answer[form.0].as_str().unwrap().starts_with(form.1), "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 1);
    }

    let h5 = |change: &dyn Fn(&mut Value)| {
        let mut bench = Bench::new();
        let mut body = in_browser.clone();
        change(&mut body["scene_info"]);
        let refusal = bench
            .books
            .prepay(Channel::H5, body, &bench.keys, bench.now)
            .unwrap_err();
        refusal.detail.unwrap()["field"].clone()
    };
    let without = |scene: &mut Value, name: &str| drop(scene.as_object_mut().unwrap().remove(name));
    assert_eq!(
        h5(&|scene| without(scene, "payer_client_ip")),
        "/scene_info/payer_client_ip"
    );
    assert_eq!(
        h5(&|scene| scene["payer_client_ip"] = json!("localhost")),
        "/scene_info/payer_client_ip"
    );
    assert_eq!(h5(&|scene| without(scene, "h5_info")), "/scene_info/h5_info");
    assert_eq!(h5(&|scene| scene["h5_info"] = json!({})), "/scene_info/h5_info/type");
    assert_eq!(
        h5(&|scene| scene["h5_info"]["type"] = json!("wap")),
        "/scene_info/h5_info/type"
    );
    // What only a browser has is refused everywhere else.
    let elsewhere = |body: &mut Value| body["scene_info"] = scene.clone();
    assert_eq!(
        ask(Channel::Native, &bare, &elsewhere),
        Err(json!("/scene_info/h5_info"))
    );
}

#[test]
fn the_same_order_again_is_the_same_prepay_id_for_two_hours() {
    let mut bench = Bench::new();
    let first = bench.prepay(bench.body()).unwrap();
    bench.wait(SignedDuration::from_mins(119));
    assert_eq!(bench.prepay(bench.body()).unwrap(), first);
    bench.wait(SignedDuration::from_mins(1));
    assert_eq!(bench.pay().unwrap_err(), Impossible::PrepayExpired);
    assert_ne!(bench.prepay(bench.body()).unwrap(), first);
    assert!(bench.pay().is_ok());
}

#[test]
fn the_same_number_with_anything_else_is_refused() {
    let mut bench = Bench::new();
    bench.prepay(bench.body()).unwrap();
    let others = [
        bench.with("description", json!("Monthly pass")),
        bench.with("amount", json!({"total": 100})),
        bench.with("attach", json!("")),
        bench.with("time_expire", json!("2026-11-23T16:00:00+08:00")),
    ];
    for other in others {
        assert_eq!(bench.code(other), coded(403, "OUT_TRADE_NO_USED"));
    }
}

#[test]
fn the_same_number_in_another_channel_is_refused_even_with_the_same_parameters() {
    let mut bench = Bench::new();
    let mut body = bench.body();
    body.as_object_mut().unwrap().remove("payer");
    let mut ask = |channel| bench.books.prepay(channel, body.clone(), &bench.keys, bench.now);
    assert!(ask(Channel::Native).unwrap()["code_url"].is_string());
    let refusal = ask(Channel::App).unwrap_err();
    assert_eq!(
        (refusal.code.as_str(), refusal.number),
        ("OUT_TRADE_NO_USED", 268_498_688)
    );
    assert!(ask(Channel::Native).is_ok());
}

#[test]
fn a_paid_or_closed_number_is_burnt() {
    let mut bench = Bench::new();
    bench.prepay(bench.body()).unwrap();
    bench.pay().unwrap();
    assert_eq!(bench.code(bench.body()), coded(400, "ORDERPAID"));
    assert_eq!(bench.close().unwrap_err().code, "ORDERPAID");
    assert_eq!(bench.pay().unwrap_err(), Impossible::AlreadyPaid);

    let mut bench = Bench::new();
    bench.prepay(bench.body()).unwrap();
    bench.close().unwrap();
    bench.close().unwrap();
    assert_eq!(bench.code(bench.body()), coded(400, "ORDER_CLOSED"));
    assert_eq!(bench.pay().unwrap_err(), Impossible::Closed);
}

#[test]
fn what_does_not_belong_to_the_merchant_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.code(bench.with("appid", json!("wx0000000000000000"))),
        coded(400, "APPID_MCHID_NOT_MATCH")
    );
    assert_eq!(
        bench.code(bench.with("mchid", json!("1900000000"))),
        coded(400, "PARAM_ERROR")
    );
    assert!(bench.books.orders.is_empty());
}

#[test]
fn a_notify_url_is_https_or_local_and_has_a_path_and_nothing_after_it() {
    let mut bench = Bench::new();
    for refused in [
        "http://pay.example.com/wechatpay/order",
        "https://pay.example.com/",
        "https://pay.example.com",
        "https://pay.example.com/order?x=1",
        "https://pay.example.com/order#x",
        "/wechatpay/order",
    ] {
        assert_eq!(
            bench.code(bench.with("notify_url", json!(refused))),
            coded(400, "PARAM_ERROR"),
            "{refused}"
        );
    }
    assert!(
        bench
            .prepay(bench.with("notify_url", json!("http://127.0.0.1:3000/wechatpay/order")))
            .is_ok()
    );
}

#[test]
fn time_expire_ends_paying_and_later_closes() {
    let mut bench = Bench::new();
    for refused in [
        "2026-11-23 16:00:00",
        "2026-11-23T16:00:00",
        "soon",
        "2026-11-23T16:00:00+08:00[Asia/Shanghai]",
    ] {
        assert_eq!(
            bench.code(bench.with("time_expire", json!(refused))),
            coded(400, "PARAM_ERROR"),
            "{refused}"
        );
    }
    let body = bench.with("time_expire", json!("2026-11-23T15:10:00+08:00"));
    bench.prepay(body.clone()).unwrap();
    bench.wait(SignedDuration::from_mins(6));
    assert_eq!(bench.pay().unwrap_err(), Impossible::Expired);
    assert_eq!(bench.query()["trade_state"], "NOTPAY");
    assert_eq!(bench.code(body), coded(400, "ORDER_CLOSED"));
    bench.wait(SignedDuration::from_mins(10));
    assert_eq!(bench.query()["trade_state"], "CLOSED");
}

#[test]
fn an_order_that_nobody_pays_is_closed_after_a_week() {
    let mut bench = Bench::new();
    bench.prepay(bench.body()).unwrap();
    bench.wait(SignedDuration::from_hours(7 * 24 - 1));
    assert_eq!(bench.query()["trade_state"], "NOTPAY");
    bench.wait(SignedDuration::from_hours(1));
    assert_eq!(bench.query()["trade_state"], "CLOSED");
}

#[test]
fn an_unpaid_answer_has_neither_transaction_nor_payer() {
    let mut bench = Bench::new();
    bench.prepay(bench.body()).unwrap();
    assert_eq!(
        bench.query(),
        json!({
            "appid": bench.keys.appid(), "mchid": bench.keys.mchid(), "out_trade_no": NUMBER,
            "trade_state": "NOTPAY", "trade_state_desc": "订单未支付",
            "amount": {"total": 100, "payer_currency": "CNY"}, "promotion_detail": [],
            "scene_info": {"device_id": ""},
        })
    );
}

#[test]
fn a_paid_answer_tells_what_the_buyer_really_paid() {
    let mut bench = Bench::new();
    bench.prepay(bench.with("attach", json!("shop=1"))).unwrap();
    let coupon = Payment {
        payer_total: Some(90),
        ..Payment::default()
    };
    let paid = bench.books.pay(NUMBER, &coupon, bench.now).unwrap().paid.unwrap();
    assert_eq!(paid.transaction_id.len(), 28);
    let answer = bench
        .books
        .query_by_id(&paid.transaction_id, bench.keys.mchid(), bench.now)
        .unwrap();
    assert_eq!(answer, bench.query());
    assert_eq!(
        answer["amount"],
        json!({"total": 100, "payer_total": 90, "currency": "CNY", "payer_currency": "CNY"})
    );
    assert_eq!(answer["success_time"], "2026-11-23T15:04:05+08:00");
    assert_eq!(answer["payer"]["openid"], "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o");
    assert_eq!(
        (&answer["trade_type"], &answer["attach"]),
        (&json!("JSAPI"), &json!("shop=1"))
    );
    assert_eq!(answer["promotion_detail"][0]["amount"], 10);
}

#[test]
fn a_payment_that_was_under_way_arrives_after_the_close() {
    let mut bench = Bench::new();
    bench.prepay(bench.body()).unwrap();
    bench.close().unwrap();
    assert_eq!(bench.pay().unwrap_err(), Impossible::Closed);
    let under_way = Payment {
        under_way: true,
        ..Payment::default()
    };
    bench.books.pay(NUMBER, &under_way, bench.now).unwrap();
    assert_eq!(bench.query()["trade_state"], "SUCCESS");
    assert_eq!(bench.close().unwrap_err().code, "ORDERPAID");
}

#[test]
fn an_unknown_order_can_be_neither_asked_for_nor_closed() {
    let mut bench = Bench::new();
    let refusal = bench.books.query(NUMBER, bench.keys.mchid(), bench.now).unwrap_err();
    assert_eq!(
        (refusal.status, refusal.code.as_str(), refusal.number),
        (404, "ORDER_NOT_EXIST", 268_512_771)
    );
    assert_eq!(bench.close().unwrap_err().code, "ORDER_NOT_EXIST");
}
