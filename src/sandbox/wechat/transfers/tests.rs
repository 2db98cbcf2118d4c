use serde_json::{Value, json};

use super::*;
use crate::sandbox::testing::Scene;
use crate::sandbox::{Endpoint, Fault, Options, crypto, testing::transfer, testing::until};

const TRANSFERS: &str = "/v3/fund-app/mch-transfer/transfer-bills";

fn by_number(number: &str) -> String {
    format!("{TRANSFERS}/out-bill-no/{number}")
}

fn code(answer: &crate::sandbox::testing::Answer) -> (u16, String) {
    let (status, code, genuine) = answer.verdict();
    assert!(genuine, "{}", answer.body);
    (status, code)
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_transfer_waits_for_its_receiver_and_is_announced_when_it_arrived() {
    let scene = Scene::start().await;
    let created = scene.shop.post(TRANSFERS, &scene.transfer("T1", 500)).await;
    assert_eq!(code(&created), (200, String::new()));
    let created = created.json();
    let members: Vec<_> = created.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        [
            "create_time",
            "out_bill_no",
            "package_info",
            "state",
            "transfer_bill_no"
        ]
    );
    assert_eq!(created["state"], "WAIT_USER_CONFIRM");
    let time = created["create_time"].as_str().unwrap();
    assert_eq!(
        (time.len(), time.find('.'), time.rfind("+08:00")),
        (29, Some(19), Some(23))
    );

    scene.world.wechat().confirm_transfer("T1").unwrap();
    let heard = scene.service.hears(1).await;
    assert_eq!(heard[0].path, "/wechatpay/transfer");
    let body = heard[0].json();
    assert_eq!(body["ParsedNotify"]["event_type"], "MCHTRANSFER.BILL.FINISHED");
    assert_eq!(body["rawData"]["resource"]["original_type"], "mch_payment");
    let told = &body["ParsedContent"];
    assert_eq!(
        (&told["state"], &told["mch_id"], &told["transfer_amount"]),
        (&json!("SUCCESS"), &json!(scene.world.keys().mchid()), &json!(500))
    );
    assert_eq!((told.get("mchid"), told.get("fail_reason")), (None, None));

    let queried = scene.shop.get(&by_number("T1")).await.json();
    assert_eq!(
        (&queried["state"], &queried["mch_id"]),
        (&json!("SUCCESS"), &json!(scene.world.keys().mchid()))
    );
    assert_eq!((queried.get("package_info"), queried.get("user_name")), (None, None));
    let bill_no = created["transfer_bill_no"].as_str().unwrap();
    let by_bill = scene.shop.get(&format!("{TRANSFERS}/transfer-bill-no/{bill_no}")).await;
    assert_eq!(by_bill.json(), queried);
}

#[tokio::test]
async fn direct_callbacks_of_transfers_go_to_the_service_itself() {
    let scene = Scene::with(Options {
        direct_callbacks: true,
        ..Options::default()
    })
    .await;
    let mut body = scene.transfer("T1", 500);
    let settings = scene.world.settings();
    let (_, url) = settings.iter().find(|(name, _)| *name == "transferNotifyUrl").unwrap();
    body["notify_url"] = json!(url);
    scene.shop.post(TRANSFERS, &body).await;
    scene.world.wechat().confirm_transfer("T1").unwrap();
    let heard = scene.service.hears(1).await;
    assert_eq!(heard[0].path, "/wx-pay/transferTrigger");
    assert_eq!(heard[0].json()["resource"]["associated_data"], "mch_payment");
}

#[tokio::test]
async fn what_a_transfer_must_look_like() {
    let scene = Scene::start().await;
    let cases = [
        ("/colour", json!("red"), "INVALID_REQUEST"),
        ("/out_bill_no", json!("T-1"), "PARAM_ERROR"),
        ("/out_bill_no", json!("T".repeat(33)), "PARAM_ERROR"),
        ("/transfer_scene_id", json!("1001"), "PARAM_ERROR"),
        ("/transfer_scene_report_infos", json!([]), "INVALID_REQUEST"),
        (
            "/transfer_scene_report_infos/0/info_content",
            json!("好".repeat(33)),
            "PARAM_ERROR",
        ),
        ("/transfer_scene_report_infos/0/x", json!("x"), "INVALID_REQUEST"),
        ("/openid", json!(""), "PARAM_ERROR"),
        ("/transfer_amount", json!(29), "PARAM_ERROR"),
        ("/transfer_amount", json!(30.5), "PARAM_ERROR"),
        ("/transfer_amount", json!(200_000), "PARAM_ERROR"),
        ("/transfer_remark", json!("好".repeat(33)), "PARAM_ERROR"),
        ("/transfer_remark", json!(""), "PARAM_ERROR"),
        ("/notify_url", json!("https://pay.example.com/t?x=1"), "PARAM_ERROR"),
        ("/notify_url", json!("http://pay.example.com/t"), "PARAM_ERROR"),
        ("/user_recv_perception", json!("退款"), "INVALID_REQUEST"),
        ("/user_recv_style", json!({"type": "GIFT"}), "PARAM_ERROR"),
        ("/appid", json!("wx0000000000000000"), "PARAM_ERROR"),
        ("/user_name", json!(null), "PARAM_ERROR"),
    ];
    for (pointer, value, expected) in cases {
        let mut body = scene.transfer("T1", 500);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        assert_eq!(
            code(&scene.shop.post(TRANSFERS, &body).await),
            refused(400, expected),
            "{pointer}"
        );
    }
    let mut packet = scene.transfer("T1", 20_001);
    packet["user_recv_style"] = json!({"type": "RED_PACKET"});
    assert_eq!(
        code(&scene.shop.post(TRANSFERS, &packet).await),
        refused(400, "INVALID_REQUEST")
    );
    assert_eq!(scene.world.wechat().transfer("T1"), None);
    packet["transfer_amount"] = json!(20_000);
    packet["transfer_remark"] = json!("好".repeat(32));
    assert_eq!(scene.shop.post(TRANSFERS, &packet).await.status, 200);
}

#[tokio::test]
async fn a_name_is_encrypted_for_the_key_that_the_request_names() {
    let scene = Scene::start().await;
    let keys = scene.world.keys();
    let mut body = scene.transfer("T1", 200_000);
    body["user_name"] = json!(crypto::encrypt(keys.merchant_public(), "张三"));
    assert_eq!(
        code(&scene.shop.post(TRANSFERS, &body).await),
        refused(400, "PARAM_ERROR")
    );
    body["user_name"] = json!("张三");
    assert_eq!(
        code(&scene.shop.post(TRANSFERS, &body).await),
        refused(400, "PARAM_ERROR")
    );

    body["user_name"] = json!(crypto::encrypt(keys.wechat().public(), "张三"));
    let nameless = scene.shop.naming(None).post(TRANSFERS, &body).await;
    assert_eq!(code(&nameless), refused(400, "PARAM_ERROR"));
    assert!(nameless.body.contains("Wechatpay-Serial"));
    assert_eq!(scene.shop.post(TRANSFERS, &body).await.status, 200);
    let view = scene.world.wechat().transfer("T1").unwrap();
    assert_eq!(view.user_name.as_deref(), Some("张三"));

    let answered = scene.shop.get(&by_number("T1")).await.json();
    let for_merchant = answered["user_name"].as_str().unwrap();
    assert_eq!(keys.decrypt_as_merchant(for_merchant).as_deref(), Some("张三"));
}

#[tokio::test]
async fn the_same_question_is_the_same_bill_whatever_its_name_was_encrypted_to() {
    let scene = Scene::start().await;
    let mut body = scene.transfer("T1", 500);
    let name = |name: &str| json!(crypto::encrypt(scene.world.keys().wechat().public(), name));
    body["user_name"] = name("张三");
    let first = scene.shop.post(TRANSFERS, &body).await;
    body["user_name"] = name("张三");
    let again = scene.shop.post(TRANSFERS, &body).await;
    assert_eq!((first.status, first.json()), (again.status, again.json()));

    body["user_name"] = name("李四");
    assert_eq!(
        code(&scene.shop.post(TRANSFERS, &body).await),
        refused(400, "ALREADY_EXISTS")
    );
    let other = scene.transfer("T1", 501);
    assert_eq!(
        code(&scene.shop.post(TRANSFERS, &other).await),
        refused(400, "ALREADY_EXISTS")
    );

    scene.world.wechat().confirm_transfer("T1").unwrap();
    body["user_name"] = name("张三");
    let done = scene.shop.post(TRANSFERS, &body).await.json();
    assert_eq!((&done["state"], done.get("package_info")), (&json!("SUCCESS"), None));
}

#[tokio::test]
async fn an_unknown_transfer_is_not_found_and_a_strange_number_is_refused() {
    let scene = Scene::start().await;
    let bill = |number: &str| format!("{TRANSFERS}/transfer-bill-no/{number}");
    assert_eq!(code(&scene.shop.get(&by_number("T1")).await), refused(404, "NOT_FOUND"));
    assert_eq!(code(&scene.shop.get(&bill("1330")).await), refused(404, "NOT_FOUND"));
    for target in [
        by_number("T-1"),
        by_number(&"T".repeat(33)),
        bill("x_1"),
        by_number("T1?mchid=1"),
    ] {
        assert_eq!(
            code(&scene.shop.get(&target).await),
            refused(400, "PARAM_ERROR"),
            "{target}"
        );
    }
    let cancelled = scene
        .shop
        .post(&format!("{}/cancel", by_number("T1")), &json!({}))
        .await;
    assert_eq!(code(&cancelled), refused(400, "INVALID_REQUEST"));
}

#[tokio::test]
async fn a_merchant_without_money_cannot_transfer_until_some_comes_back() {
    let scene = Scene::with(Options {
        transfer_balance: Some(500),
        ..Options::default()
    })
    .await;
    let wechat = scene.world.wechat();
    let ask = async |number: &str, amount| scene.shop.post(TRANSFERS, &scene.transfer(number, amount)).await;
    assert_eq!(code(&ask("T1", 501).await), refused(403, "NOT_ENOUGH"));
    assert_eq!(ask("T1", 500).await.status, 200);
    assert_eq!(ask("T1", 500).await.status, 200);
    assert_eq!(code(&ask("T2", 30).await), refused(403, "NOT_ENOUGH"));
    let failed = TransferEnd::Fail("PAYEE_ACCOUNT_ABNORMAL".to_owned());
    wechat.end_transfer("T1", &failed).unwrap();
    assert_eq!(ask("T2", 500).await.status, 200);
    wechat.set_transfer_balance(None);
    assert_eq!(ask("T3", 100_000).await.status, 200);
    // What was paid out of the other account does not matter.
    wechat.set_balance(Some(0));
    assert_eq!(ask("T4", 100_000).await.status, 200);
}

#[tokio::test]
async fn a_transfer_that_nobody_confirms_fails_after_a_day_and_says_so() {
    let scene = Scene::with(Options {
        transfer_balance: Some(500),
        ..Options::default()
    })
    .await;
    scene.shop.post(TRANSFERS, &scene.transfer("T1", 500)).await;
    let minutes = std::time::Duration::from_mins;
    scene.world.clock().advance(minutes(24 * 60 - 1));
    let state = || scene.world.wechat().transfer("T1").unwrap().state;
    assert_eq!(state(), TransferState::WaitUserConfirm);
    scene.world.clock().advance(minutes(2));
    // Nobody asks: the callback comes by itself.
    let heard = scene.service.hears(1).await;
    let told = &heard[0].json()["ParsedContent"];
    assert_eq!(
        (&told["state"], &told["fail_reason"]),
        (&json!("FAIL"), &json!("OVERDUE_CLOSE"))
    );
    let queried = scene.shop.get(&by_number("T1")).await.json();
    assert_eq!(
        (&queried["state"], &queried["fail_reason"]),
        (&json!("FAIL"), &json!("OVERDUE_CLOSE"))
    );
    assert_eq!(
        scene.world.wechat().confirm_transfer("T1"),
        Err(Impossible::WrongTransferState)
    );
    assert_eq!(scene.shop.post(TRANSFERS, &scene.transfer("T2", 500)).await.status, 200);
}

#[tokio::test]
async fn a_cancellation_is_accepted_first_and_done_later() {
    let scene = Scene::start().await;
    let cancel = format!("{}/cancel", by_number("T1"));
    scene.shop.post(TRANSFERS, &scene.transfer("T1", 500)).await;
    let refused_body = scene.shop.post(&cancel, &json!({"reason": "x"})).await;
    assert_eq!(code(&refused_body), refused(400, "INVALID_REQUEST"));
    let accepted = scene.shop.send(scene.shop.request("POST", &cancel, "")).await.unwrap();
    assert_eq!(code(&accepted), (200, String::new()));
    let members: Vec<_> = accepted.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["out_bill_no", "state", "transfer_bill_no", "update_time"]);
    assert_eq!(accepted.json()["state"], "CANCELING");
    let told = scene.service.hears(1).await[0].json()["ParsedContent"].clone();
    assert_eq!((&told["state"], told.get("fail_reason")), (&json!("CANCELLED"), None));
    assert_eq!(scene.shop.get(&by_number("T1")).await.json()["state"], "CANCELLED");
    // Once more changes nothing.
    assert_eq!(scene.shop.post(&cancel, &json!({})).await.json()["state"], "CANCELLED");
}

#[tokio::test]
async fn the_receiver_may_be_faster_than_the_cancellation() {
    let scene = Scene::with(Options {
        cancel_after: None,
        ..Options::default()
    })
    .await;
    let wechat = scene.world.wechat();
    scene.shop.post(TRANSFERS, &scene.transfer("T1", 500)).await;
    let cancel = format!("{}/cancel", by_number("T1"));
    assert_eq!(scene.shop.post(&cancel, &json!({})).await.json()["state"], "CANCELING");
    assert_eq!(wechat.confirm_transfer("T1"), Err(Impossible::WrongTransferState));
    wechat.end_transfer("T1", &TransferEnd::Success).unwrap();
    assert_eq!(
        scene.service.hears(1).await[0].json()["ParsedContent"]["state"],
        "SUCCESS"
    );
    assert_eq!(
        code(&scene.shop.post(&cancel, &json!({})).await),
        refused(400, "INVALID_REQUEST")
    );
    assert_eq!(
        wechat.end_transfer("T1", &TransferEnd::Cancelled),
        Err(Impossible::WrongTransferState)
    );
}

#[tokio::test]
async fn a_transfer_can_start_before_it_can_be_confirmed() {
    let scene = Scene::with(Options {
        transfer_start: TransferStart::Accepted,
        ..Options::default()
    })
    .await;
    let wechat = scene.world.wechat();
    let body = scene.transfer("T1", 500);
    let created = scene.shop.post(TRANSFERS, &body).await.json();
    assert_eq!(
        (&created["state"], created.get("package_info")),
        (&json!("ACCEPTED"), None)
    );
    assert!(wechat.confirm_transfer("T1").is_err() && wechat.end_transfer("T1", &TransferEnd::Success).is_err());
    let mut states = Vec::new();
    while let Ok(state) = wechat.step_transfer("T1") {
        let answer = scene.shop.post(TRANSFERS, &body).await.json();
        assert_eq!(answer["state"], state.as_str());
        let waits = state == TransferState::WaitUserConfirm;
        assert_eq!(answer.get("package_info").is_some(), waits, "{}", state.as_str());
        states.push(state.as_str());
    }
    assert_eq!(states, ["PROCESSING", "WAIT_USER_CONFIRM", "TRANSFERING", "SUCCESS"]);
    assert_eq!(scene.service.hears(1).await.len(), 1);
    wechat.start_transfers_as(TransferStart::Processing);
    let second = scene.shop.post(TRANSFERS, &scene.transfer("T2", 500)).await;
    assert_eq!(second.json()["state"], "PROCESSING");
}

#[tokio::test]
async fn a_failed_transfer_tells_why_and_a_repeated_question_too() {
    let scene = Scene::start().await;
    let body = scene.transfer("T1", 500);
    scene.shop.post(TRANSFERS, &body).await;
    let end = TransferEnd::Fail("NAME_NOT_CORRECT".to_owned());
    scene.world.wechat().end_transfer("T1", &end).unwrap();
    let again = scene.shop.post(TRANSFERS, &body).await.json();
    assert_eq!(
        (&again["state"], &again["fail_reason"]),
        (&json!("FAIL"), &json!("NAME_NOT_CORRECT"))
    );
    let told = scene.service.hears(1).await[0].json()["ParsedContent"]["fail_reason"].clone();
    assert_eq!(told, "NAME_NOT_CORRECT");
    let notice = scene.world.wechat().transfer_notification("T1").unwrap();
    assert!(scene.world.center().forward_of(&notice).is_ok());
}

#[tokio::test]
async fn a_transfer_without_an_address_is_not_announced() {
    let scene = Scene::start().await;
    let mut body = scene.transfer("T1", 500);
    body.as_object_mut().unwrap().remove("notify_url");
    assert_eq!(scene.shop.post(TRANSFERS, &body).await.status, 200);
    scene.shop.post(TRANSFERS, &scene.transfer("T2", 500)).await;
    scene.world.wechat().confirm_transfer("T1").unwrap();
    scene.world.wechat().confirm_transfer("T2").unwrap();
    until(|| !scene.world.wechat().deliveries().is_empty()).await;
    let heard = scene.service.hears(1).await;
    assert_eq!(heard[0].json()["ParsedContent"]["out_bill_no"], "T2");
    assert_eq!((heard.len(), scene.world.wechat().deliveries().len()), (1, 1));
}

#[tokio::test]
async fn each_endpoint_of_transfers_can_fail_on_its_own() {
    let scene = Scene::start().await;
    let wechat = scene.world.wechat();
    scene.shop.post(TRANSFERS, &scene.transfer("T1", 500)).await;
    for endpoint in [Endpoint::Transfer, Endpoint::QueryTransfer, Endpoint::CancelTransfer] {
        wechat.fault(endpoint, Fault::refuse(500, "SYSTEM_ERROR"));
    }
    let statuses = [
        scene.shop.post(TRANSFERS, &scene.transfer("T2", 500)).await.status,
        scene.shop.get(&by_number("T1")).await.status,
        scene
            .shop
            .post(&format!("{}/cancel", by_number("T1")), &json!({}))
            .await
            .status,
    ];
    assert_eq!(statuses, [500, 500, 500]);
    assert_eq!(wechat.transfer("T2"), None);
    assert_eq!(wechat.transfer("T1").unwrap().state, TransferState::WaitUserConfirm);
    assert_eq!(wechat.count(Endpoint::Transfer), 2);
}

#[test]
fn the_announcement_has_whole_seconds() {
    let keys = Keys::shared();
    let now = "2026-11-23T15:10:00.120+08:00".parse().unwrap();
    let mut books = Books::default();
    let answer = books
        .transfer(transfer(&keys, "T1", 500), None, &keys, now)
        .unwrap()
        .answer;
    assert_eq!(answer["create_time"], "2026-11-23T15:10:00.120+08:00");
    let ended = books.end_transfer("T1", &TransferEnd::Success, now).unwrap();
    let told: Value = announcement(&ended, "1900007291");
    assert_eq!(
        (&told["create_time"], &told["update_time"], &told["state"]),
        (
            &json!("2026-11-23T15:10:00+08:00"),
            &json!("2026-11-23T15:10:00+08:00"),
            &json!("SUCCESS")
        )
    );
}
