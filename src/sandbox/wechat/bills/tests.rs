//! When there is a bill, what it says, and what a test can do to it.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::*;
use crate::sandbox::testing::{Answer, Scene};
use crate::sandbox::{Options, Payment, RefundEnd};

const TRADE: &str = "/v3/bill/tradebill?bill_date=2026-11-22";
const FLOW: &str = "/v3/bill/fundflowbill?bill_date=2026-11-22";

/// Noon of the 22nd of November in Beijing.
async fn scene() -> Scene {
    let scene = Scene::with(Options {
        refund_after: None,
        ..Options::default()
    })
    .await;
    scene
        .world
        .clock()
        .move_to("2026-11-22T12:00:00+08:00".parse().unwrap());
    scene
}

fn go_to(scene: &Scene, at: &str) {
    scene.world.clock().move_to(at.parse().unwrap());
}

/// One payment of the 22nd, at ten in the morning of the day after.
async fn scene_with_a_bill() -> Scene {
    let scene = scene().await;
    scene.paid("ORDER_1").await;
    go_to(&scene, "2026-11-23T10:00:00+08:00");
    scene
}

fn target_of(scene: &Scene, applied: &Answer) -> String {
    let url = applied.json()["download_url"].as_str().unwrap().to_owned();
    url.strip_prefix(&scene.world.wechat().url()).unwrap().to_owned()
}

async fn text_of(scene: &Scene, application: &str) -> String {
    let applied = scene.shop.get(application).await;
    assert!(applied.is_genuine() && applied.status == 200, "{}", applied.body);
    let file = scene.shop.get(&target_of(scene, &applied)).await;
    assert_eq!((file.status, file.is_signed()), (200, false));
    assert_eq!(file.header("content-type"), "text/plain");
    assert_eq!(applied.json()["hash_value"], sha1_hex(file.body.as_bytes()));
    assert_eq!(applied.json()["hash_type"], "SHA1");
    file.body
}

#[tokio::test]
async fn a_bill_is_refused_for_each_reason_by_its_own_code() {
    let scene = scene().await;
    scene.paid("ORDER_1").await;
    let of = |day: &str| format!("/v3/bill/tradebill?bill_date={day}");
    let asks = async |target: &str| scene.shop.get(target).await.verdict();
    let verdict = |status, code: &str| (status, code.to_owned(), true);
    for malformed in [
        "",
        "20261121",
        "2026-11-2",
        "2026-13-01",
        "2026-11-21T00:00:00",
        "+002026-11-21",
        "昨天",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(malformed.as_bytes()).collect();
        assert_eq!(asks(&of(&encoded)).await, verdict(400, "PARAM_ERROR"), "{malformed}");
    }
    for wrong in [
        "/v3/bill/tradebill".to_owned(),
        format!("{}&bill_type=all", of("2026-11-21")),
        format!("{}&account_type=BASIC", of("2026-11-21")),
        format!("{}&tar_type=gzip", of("2026-11-21")),
        format!("{}&bill_date=2026-11-21", of("2026-11-21")),
        format!("{}&sub_mchid=1", of("2026-11-21")),
        "/v3/bill/fundflowbill?bill_date=2026-11-21&account_type=SAVINGS".to_owned(),
        "/v3/bill/fundflowbill?bill_date=2026-11-21&bill_type=ALL".to_owned(),
    ] {
        assert_eq!(asks(&wrong).await, verdict(400, "PARAM_ERROR"), "{wrong}");
    }
    for day in ["2026-11-22", "2026-11-23", "2027-11-22", "2026-08-21"] {
        assert_eq!(asks(&of(day)).await, verdict(400, "INVALID_REQUEST"), "{day}");
    }
    for day in ["2026-11-21", "2026-08-22"] {
        assert_eq!(asks(&of(day)).await, verdict(400, "NO_STATEMENT_EXIST"), "{day}");
    }
    for (now, expected) in [
        ("2026-11-22T23:59:59+08:00", "INVALID_REQUEST"),
        ("2026-11-23T00:00:00+08:00", "STATEMENT_CREATING"),
        ("2026-11-23T09:59:00+08:00", "STATEMENT_CREATING"),
    ] {
        go_to(&scene, now);
        assert_eq!(asks(TRADE).await, verdict(400, expected), "{now}");
        assert_eq!(asks(FLOW).await, verdict(400, expected), "{now}");
    }
    go_to(&scene, "2026-11-23T10:00:00+08:00");
    assert_eq!(asks(TRADE).await.0, 200);
    assert_eq!(
        asks(&format!("{TRADE}&bill_type=REFUND")).await,
        verdict(400, "NO_STATEMENT_EXIST")
    );
    scene.world.wechat().allow_bills(false);
    assert_eq!(asks(TRADE).await, verdict(403, "NO_AUTH"));
}

#[tokio::test]
async fn a_bill_holds_the_payments_and_refunds_of_its_day_and_not_of_others() {
    let scene = scene().await;
    let wechat = scene.world.wechat();
    go_to(&scene, "2026-11-21T23:59:58+08:00");
    let before = scene.paid("ORDER_BEFORE").await;
    go_to(&scene, "2026-11-22T00:00:00+08:00");
    let mut order = scene.order("ORDER_1");
    order["description"] = json!("茶, 咖啡\nund \"Kuchen\"");
    order["attach"] = json!("a,b");
    scene.shop.post("/v3/pay/transactions/jsapi", &order).await;
    let coupon = Payment {
        payer_total: Some(90),
        notify: false,
        ..Payment::default()
    };
    let id = wechat.pay_with("ORDER_1", &coupon).unwrap();
    scene
        .shop
        .post("/v3/pay/transactions/jsapi", &scene.order("ORDER_UNPAID"))
        .await;
    let refund = scene.refund("ORDER_1", "R1", 40);
    let refund = scene.shop.post("/v3/refund/domestic/refunds", &refund).await.json();
    go_to(&scene, "2026-11-22T23:59:58+08:00");
    scene
        .shop
        .post("/v3/refund/domestic/refunds", &scene.refund("ORDER_BEFORE", "R2", 100))
        .await;
    go_to(&scene, "2026-11-23T00:00:00+08:00");
    scene.paid("ORDER_AFTER").await;
    wechat.finish_refund("R1", RefundEnd::Success).unwrap();
    go_to(&scene, "2026-11-23T10:00:00+08:00");
    // Too late for the bill, which is never updated.
    wechat.finish_refund("R2", RefundEnd::Success).unwrap();

    let all = text_of(&scene, TRADE).await;
    let lines: Vec<&str> = all.split("\r\n").collect();
    assert_eq!(lines.len(), 7, "{all}");
    assert!(lines[0].starts_with("\u{feff}交易时间,公众账号ID,") && lines[0].ends_with(",申请退款金额,费率备注"));
    assert_eq!(lines[0].split(',').count(), 27);
    let (appid, mchid) = (scene.world.keys().appid(), scene.world.keys().mchid());
    let openid = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";
    let payment = format!(
        "`2026-11-22 00:00:00,`{appid},`{mchid},`0,`,`{id},`ORDER_1,`{openid},`JSAPI,`SUCCESS,`OTHERS,`CNY,`0.90,`0.10,`0,`0,\
         `0.00,`0.00,`,`,`茶\\  咖啡\\nund \"Kuchen\",`a\\ b,`0.00540,`0.60%,`1.00,`0.00,`"
    );
    assert_eq!(lines[1], payment);
    let refund_id = refund["refund_id"].as_str().unwrap();
    let refunded = format!(
        "`2026-11-22 00:00:00,`{appid},`{mchid},`0,`,`{id},`ORDER_1,`{openid},`JSAPI,`REFUND,`OTHERS,`CNY,`0.00,`0.00,\
         `{refund_id},`R1,`0.36,`0.00,`ORIGINAL,`SUCCESS,`茶\\  咖啡\\nund \"Kuchen\",`a\\ b,`-0.00216,`0.60%,`0.00,`0.40,`"
    );
    assert_eq!(lines[2], refunded);
    assert!(
        lines[3].contains(&format!("`{before},`ORDER_BEFORE,"))
            && lines[3].contains(",`R2,`1.00,`0.00,`ORIGINAL,`PROCESSING,")
    );
    assert_eq!(
        lines[4],
        "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
    );
    assert_eq!(lines[5], "`3.0,`0.90,`1.36,`0.00,`-0.00276,`1.00,`1.40");
    assert_eq!(lines[6], "");

    let success = text_of(&scene, &format!("{TRADE}&bill_type=SUCCESS")).await;
    let lines: Vec<&str> = success.split("\r\n").collect();
    assert_eq!(
        (lines.len(), lines[0].split(',').count(), lines[1].split(",`").count()),
        (5, 20, 20)
    );
    assert_eq!(
        lines[2..4],
        [
            "总交易单数,应结订单总金额,手续费总金额,订单总金额",
            "`1.0,`0.90,`0.00540,`1.00"
        ]
    );
    let refunds = text_of(&scene, &format!("{TRADE}&bill_type=REFUND")).await;
    let lines: Vec<&str> = refunds.split("\r\n").collect();
    assert_eq!(
        (lines.len(), lines[0].split(',').count(), lines[1].split(",`").count()),
        (6, 29, 29)
    );
    assert!(
        lines[1].contains("`0.00,`0.00,`2026-11-22 00:00:00,`2026-11-23 00:00:00,`"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].contains("`0.00,`0.00,`2026-11-22 23:59:58,`,`"),
        "{}",
        lines[2]
    );
}

#[tokio::test]
async fn transfers_and_fees_are_in_the_fund_flow_alone() {
    let scene = scene().await;
    let id = {
        let mut order = scene.order("ORDER_1");
        order["amount"]["total"] = json!(10_000);
        scene.shop.post("/v3/pay/transactions/jsapi", &order).await;
        scene.world.wechat().pay("ORDER_1").unwrap()
    };
    for number in ["T1", "T2"] {
        let body = scene.transfer(number, 500);
        assert_eq!(
            scene
                .shop
                .post("/v3/fund-app/mch-transfer/transfer-bills", &body)
                .await
                .status,
            200
        );
    }
    scene.world.wechat().confirm_transfer("T1").unwrap();
    go_to(&scene, "2026-11-23T10:00:00+08:00");
    let basic = text_of(&scene, FLOW).await;
    let lines: Vec<&str> = basic.split("\r\n").collect();
    assert!(lines[0].starts_with("\u{feff}记账时间,微信支付业务单号,资金流水单号,"));
    assert!(
        lines[1].contains(&format!(",`{id},`1001{id},`交易,`交易,`收入,`100.00,`100000100.00,")),
        "{basic}"
    );
    assert!(
        lines[2].contains(&format!(
            ",`{id},`1002{id},`扣除交易手续费,`扣除交易手续费,`支出,`0.60,`100000099.40,"
        )),
        "{basic}"
    );
    assert_eq!(
        lines[3..5],
        [
            "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额",
            "`2,`1,`100.00,`1,`0.60"
        ]
    );
    let operation = text_of(&scene, &format!("{FLOW}&account_type=OPERATION")).await;
    let lines: Vec<&str> = operation.split("\r\n").collect();
    assert!(
        lines[1].ends_with(",`商家转账,`商家转账,`支出,`5.00,`99999995.00,`system,`,`T1"),
        "{operation}"
    );
    assert_eq!((lines.len(), lines[3]), (5, "`1,`0,`0.00,`1,`5.00"));
    assert!(!text_of(&scene, TRADE).await.contains("T1"));
}

#[tokio::test]
async fn a_gzip_file_is_a_file_and_its_hash_is_over_the_text() {
    let scene = scene_with_a_bill().await;
    let applied = scene.shop.get(&format!("{TRADE}&tar_type=GZIP")).await;
    let target = target_of(&scene, &applied);
    assert!(target.ends_with("&tartype=gzip"));
    let answer = scene.shop.request("GET", &target, "").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-gzip");
    assert!(!answer.headers().contains_key("content-encoding"));
    let file = answer.bytes().await.unwrap();
    let mut text = String::new();
    GzDecoder::new(file.as_ref()).read_to_string(&mut text).unwrap();
    assert_eq!(text, text_of(&scene, TRADE).await);
    assert_eq!(applied.json()["hash_value"], sha1_hex(text.as_bytes()));
    let other = target.replace("&tartype=gzip", "");
    assert_eq!(scene.shop.get(&other).await.status, 400);
}

#[tokio::test]
async fn a_token_lives_five_minutes_and_asks_for_a_signature() {
    let scene = scene_with_a_bill().await;
    let applied = scene.shop.get(TRADE).await;
    let target = target_of(&scene, &applied);
    assert_eq!(scene.shop.get(&target).await.status, 200);
    scene.world.clock().advance(Duration::from_mins(4));
    assert_eq!(scene.shop.get(&target).await.status, 200);
    let request = scene.shop.request("GET", &target, "").header("Authorization", "none");
    assert_eq!(scene.shop.send(request).await.unwrap().status, 401);
    let elsewhere = scene.shop.request("GET", &format!("{target}1"), "");
    assert_eq!(scene.shop.send(elsewhere).await.unwrap().status, 400);
    scene.world.clock().advance(Duration::from_mins(1));
    let expired = scene.shop.get(&target).await;
    assert_eq!(expired.verdict(), (400, "INVALID_REQUEST".to_owned(), false));
    for wrong in [
        "/v3/billdownload/file",
        "/v3/billdownload/file?token=1&token=2",
        "/v3/billdownload/file?x=1",
    ] {
        assert_eq!(
            scene.shop.get(wrong).await.verdict(),
            (400, "PARAM_ERROR".to_owned(), false),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_test_changes_the_lines_and_the_summary_follows() {
    let scene = scene_with_a_bill().await;
    scene.world.wechat().bill_with(|lines| {
        let mut foreign = lines.trade[0].clone();
        foreign.out_trade_no = "FOREIGN_1".to_owned();
        lines.trade[0].total = 101;
        lines.trade.push(foreign);
        lines.flow.clear();
    });
    let text = text_of(&scene, TRADE).await;
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(
        lines[1].ends_with("`1.01,`0.00,`") && lines[2].contains("`FOREIGN_1,"),
        "{text}"
    );
    assert!(
        lines[4].starts_with("`2.0,") && lines[4].ends_with(",`2.01,`0.00"),
        "{text}"
    );
    assert_eq!(
        scene.shop.get(FLOW).await.verdict(),
        (400, "NO_STATEMENT_EXIST".to_owned(), true)
    );
}

#[tokio::test]
async fn each_fault_meets_one_bill() {
    let scene = scene_with_a_bill().await;
    let wechat = scene.world.wechat();
    let whole = text_of(&scene, TRADE).await;
    let apply = async |fault| {
        wechat.spoil_bill(fault);
        scene.shop.get(TRADE).await
    };
    let wrong_hash = apply(BillFault::WrongHash).await;
    assert_ne!(wrong_hash.json()["hash_value"], sha1_hex(whole.as_bytes()));
    assert_eq!(scene.shop.get(&target_of(&scene, &wrong_hash)).await.body, whole);
    let expired = apply(BillFault::ExpiredToken).await;
    assert_eq!(scene.shop.get(&target_of(&scene, &expired)).await.status, 400);
    let short = apply(BillFault::Short).await;
    let short = scene.shop.get(&target_of(&scene, &short)).await.body;
    assert!(short.len() < whole.len() && !short.is_empty());
    let cut = apply(BillFault::Cut).await;
    let cut = scene.shop.request("GET", &target_of(&scene, &cut), "");
    assert!(scene.shop.send(cut).await.is_err(), "the connection ends in the middle");
    let slow = apply(BillFault::Slow(Duration::from_millis(1))).await;
    assert_eq!(scene.shop.get(&target_of(&scene, &slow)).await.body, whole);
    let elsewhere = apply(BillFault::OtherHost("https://files.example.com".to_owned())).await;
    let url = elsewhere.json()["download_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://files.example.com/v3/billdownload/file?token="));
    let wrong_sum = apply(BillFault::WrongSummary).await;
    let wrong_sum = scene.shop.get(&target_of(&scene, &wrong_sum)).await.body;
    assert_eq!(wrong_sum, whole.replace("`1.0,`1.00,`0.00", "`2.0,`1.00,`0.00"));
    assert_eq!(text_of(&scene, TRADE).await, whole);
}
