//! The merchant's balance, paid out.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{After, Endpoint, Fault, FaultRule, Options};
use serde_json::{Value, json};

use super::chosen::no_amounts;
use super::standing::{MALLORY, MALLORYS_OPENID};
use crate::case::{Tried, cases};
use crate::support::app::{OPENID, OPERATOR, TestApp, came};
use crate::support::body::with;
use crate::support::database::Store;
use crate::support::payouts::{TRANSFER, transfer};

cases!(Attack:
    a_transfer_by_anybody_but_the_merchants_server => "the merchant's whole balance",
    a_transfer_number_used_again_for_another_amount_name_or_receiver => "the same payout twice, to oneself the second time",
    the_same_transfer_many_times_at_once_and_while_wechat_fails => "one payout paid twice",
    a_transfer_amount_that_is_none => "a payout beyond the limits that need a name",
);

/// What WeChat was made to pay out under that number, once at most.
fn payouts(t: &TestApp) -> Vec<String> {
    t.deeds()
        .into_iter()
        .filter(|deed| deed.contains("transfer-bills"))
        .collect()
}

async fn a_transfer_by_anybody_but_the_merchants_server(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("trustPlatformHeaders", "true")]).await;
    t.transferred("T0", 500).await;
    let before = t.standing().await;
    let (login, receiver) = (
        t.bearer(MALLORY),
        format!("Bearer {}", t.token_of(MALLORY, MALLORYS_OPENID)),
    );
    let hers = with(transfer("T1", 500), "openid", json!(MALLORYS_OPENID));
    for headers in [
        vec![],
        vec![("authorization", login.as_str())],
        vec![("authorization", &receiver)],
        vec![("x-wx-openid", MALLORYS_OPENID)],
        vec![("x-wx-openid", MALLORYS_OPENID), ("authorization", &login)],
        vec![("x-wx-openid", MALLORYS_OPENID), ("x-wx-source", "wx_server")],
        vec![("authorization", "Bearer op_"), ("x-wx-openid", MALLORYS_OPENID)],
    ] {
        for body in [
            hers.clone(),
            with(hers.clone(), "transfer_amount", json!(30)),
            with(hers.clone(), "user_name", json!("马洛里")),
            // The number of one that is on its way.
            with(hers.clone(), "out_bill_no", json!("T0")),
            transfer("T0", 500),
            with(transfer("T1", 500), "openid", json!(OPENID)),
        ] {
            for named in [
                None,
                Some(json!("wxpay_transfer")),
                Some(json!("/wx-pay/wxpay_transfer")),
            ] {
                let came = match named {
                    None => t.post(&format!("/wx-pay/{TRANSFER}"), &headers, body.to_string()).await,
                    Some(name) => {
                        t.post("/", &headers, with(body.clone(), "_action", name).to_string())
                            .await
                    }
                };
                assert!(came.status == 401 || came.status == 403, "{headers:?}: {came:?}");
                assert_eq!(t.standing().await, before, "{headers:?}");
                tried.once();
            }
            let through = t
                .http
                .post(t.world.gateway().function_url())
                .header("authorization", &login);
            let through = through.header("content-type", "application/json");
            let through = through.body(with(body, "_action", json!(TRANSFER)).to_string()).send();
            let came = came(through.await.unwrap()).await;
            assert_eq!(came.failure(), (403, "FORBIDDEN"), "{came:?}");
            assert_eq!(t.standing().await, before, "through the gateway");
            tried.once();
        }
    }
}

async fn a_transfer_number_used_again_for_another_amount_name_or_receiver(store: Store, tried: Tried) {
    let t = TestApp::start_with(store, Options::default(), &[("transferPolicy", "any")]).await;
    t.world.wechat().lose_callbacks(u32::MAX);
    let operator = format!("Bearer {OPERATOR}");
    let named = with(transfer("T1", 500), "user_name", json!("张三"));
    t.act_as(&operator, TRANSFER, named.clone()).await.data();
    for ended in [false, true] {
        if ended {
            t.world.wechat().confirm_transfer("T1").unwrap();
            t.operate("wxpay_transfer_bill_query", json!({"out_bill_no": "T1"}))
                .await
                .data();
        }
        let before = t.standing().await;
        let others: Vec<Value> = vec![
            with(named.clone(), "transfer_amount", json!(501)),
            with(named.clone(), "transfer_amount", json!(30)),
            with(named.clone(), "openid", json!(MALLORYS_OPENID)),
            with(named.clone(), "user_name", json!("李四")),
            with(named.clone(), "user_name", json!("张三 ")),
            transfer("T1", 500),
            with(named.clone(), "transfer_remark", json!("Other")),
            with(named.clone(), "transfer_scene_id", json!("1001")),
            with(
                named.clone(),
                "transfer_scene_report_infos[0].info_content",
                json!("Other"),
            ),
            with(named.clone(), "useServiceAccount", json!(true)),
        ];
        for body in others {
            let came = t.act_as(&operator, TRANSFER, body.clone()).await;
            assert_eq!(came.failure(), (409, "TRANSFER_PARAMS_MISMATCH"), "{body}: {came:?}");
            // Where anybody may transfer, a number is still the one's who named it first.
            let by_mallory = t.act_as(&t.bearer(MALLORY), TRANSFER, body.clone()).await;
            assert_eq!(by_mallory.failure(), (403, "FORBIDDEN"), "{body}: {by_mallory:?}");
            assert_eq!(t.standing().await, before, "{body}");
            tried.times(2);
        }
        t.act_as(&operator, TRANSFER, named.clone()).await.data();
        assert_eq!(t.standing().await, before, "the same again is the same transfer");
        tried.once();
    }
    assert_eq!(payouts(&t).len(), 1);
}

async fn the_same_transfer_many_times_at_once_and_while_wechat_fails(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    let wechat = t.world.wechat();
    wechat.lose_callbacks(u32::MAX);
    for (round, fault) in [
        None,
        Some(Fault::DropBefore),
        Some(Fault::ProcessThen(After::DropConnection)),
        Some(Fault::ProcessThen(After::BadSignature)),
        Some(Fault::ProcessThen(After::NoSignature)),
        Some(Fault::ProcessThen(After::WrongSerial)),
        Some(Fault::ProcessThen(After::Garbage)),
        Some(Fault::ProcessThen(After::Status(500))),
        Some(Fault::refuse(500, "SYSTEM_ERROR")),
        Some(Fault::refuse(429, "FREQUENCY_LIMITED")),
        Some(Fault::refuse(403, "NOT_ENOUGH")),
        Some(Fault::refuse_unsigned(403, "NOT_ENOUGH")),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("T{round}");
        if let Some(fault) = &fault {
            wechat.add_fault(FaultRule::on(Endpoint::Transfer, fault.clone()).times(3));
            wechat.add_fault(FaultRule::on(Endpoint::QueryTransfer, Fault::DropBefore).times(4));
        }
        // Among those who repeat it is one who asks for more.
        let answers = join_all((0..16).map(|n| {
            let amount = if n % 8 == 7 { 90_000 } else { 500 };
            t.operate(TRANSFER, transfer(&number, amount))
        }))
        .await;
        wechat.clear_faults();
        let accepted = answers.iter().filter(|came| came.body["code"] == 0).count();
        // All who asked for what the first one asked for, and nobody else.
        assert!(fault.is_some() || accepted == 14 || accepted == 2, "{answers:?}");
        for _ in 0..3 {
            t.advance(Duration::from_secs(61));
            t.service.sweep().await.unwrap();
        }
        // Whichever amount was first counts; the other one is refused for ever.
        let outcomes = [
            t.operate(TRANSFER, transfer(&number, 500)).await,
            t.operate(TRANSFER, transfer(&number, 90_000)).await,
        ];
        let held = wechat.transfer(&number).unwrap();
        let states: Vec<bool> = outcomes.iter().map(|came| came.body["code"] == 0).collect();
        assert_eq!(
            states,
            [held.amount == 500, held.amount == 90_000],
            "{fault:?}: {outcomes:?}"
        );
        assert_eq!(t.transfer_events(&number).await, ["transfer.created"], "{fault:?}");
        let row = format!("transfer {number} WAIT_USER_CONFIRM {} to {OPENID}", held.amount);
        assert!(t.books().await.contains(&row), "{fault:?}");
        tried.times(answers.len());
    }
    assert!(t.anomalies().await.is_empty());
}

async fn a_transfer_amount_that_is_none(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    let before = t.standing().await;
    let mut amounts = no_amounts();
    amounts.extend(["1", "29", "200000", "99999999999", "100000000001"]);
    for amount in amounts {
        let body = transfer("T1", 777).to_string().replace("777", amount);
        let came = t
            .post(
                &format!("/wx-pay/{TRANSFER}"),
                &[("authorization", &format!("Bearer {OPERATOR}"))],
                body,
            )
            .await;
        assert_eq!(came.status, 400, "{amount}: {came:?}");
        assert_eq!(t.standing().await, before, "{amount}");
        tried.once();
    }
}
