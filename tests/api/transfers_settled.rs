//! What becomes of a transfer: who may tell of it, what counts as its end, and what holds when an answer is lost or says no.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{
    After, DIRECT_TRANSFER_PATH, Endpoint, Fault, FaultRule, Forward, ForwardShape, Notice, Options, TRANSFER_PATH,
    TransferEnd, TransferStart, TransferState,
};
use serde_json::{Value, json};

use crate::support::app::{Came, OPENID, TestApp};
use crate::support::body::with;
use crate::support::database::{Store, on_both_stores};
use crate::support::payouts::{BY_NUMBER, TRANSFER, transfer};

on_both_stores!(
    each_proof_of_a_transfers_end_is_enough,
    what_proves_nothing_ends_no_transfer,
    two_hundred_equal_callbacks_of_a_transfer_are_one_event,
    accepted_is_never_success,
    what_the_receiver_confirms_with_is_found_when_it_comes_late,
    a_transfer_that_fails_or_is_taken_back_says_so,
    what_is_older_than_the_end_moves_nothing,
    genuine_content_about_a_transfer_that_does_not_fit_is_an_anomaly,
    too_small_a_balance_refuses_and_the_same_number_works_later,
    a_refusal_gives_the_number_free_only_when_it_is_wechats_word,
    a_transfer_whose_answer_is_lost_is_found_by_asking,
    a_transfer_that_takes_too_long_is_settled_by_the_sweep,
    an_unproven_yes_is_none,
    a_system_error_is_asked_again_with_the_same_number,
    an_earlier_attempt_may_still_arrive,
    a_transfer_that_was_made_elsewhere_is_nobodys_here,
    what_contradicts_the_books_is_shown_to_whoever_asked_for_the_transfer,
    a_word_about_an_older_attempt_gives_no_newer_one_up,
    a_transfer_is_followed_without_a_callback,
);

fn quiet(t: &TestApp) {
    t.world.wechat().lose_callbacks(u32::MAX);
}

fn acknowledged(reply: &Came) -> bool {
    reply.status == 200 && reply.body == json!({"code": "SUCCESS", "message": "成功"})
}

fn refused(reply: &Came) -> bool {
    (400..500).contains(&reply.status) && reply.body["code"] == "FAIL"
}

async fn told_with(t: &TestApp, number: &str, change: impl FnOnce(&mut Notice)) -> Came {
    let note = t.world.wechat().transfer_notification_with(number, change).unwrap();
    t.notify(DIRECT_TRANSFER_PATH, &note).await
}

async fn sweep_after(t: &TestApp, seconds: u64) {
    t.advance(Duration::from_secs(seconds));
    t.service.sweep().await.unwrap();
}

/// Every request at this endpoint, until `clear_faults`.
fn always(t: &TestApp, endpoint: Endpoint, fault: Fault) {
    t.world.wechat().add_fault(FaultRule::on(endpoint, fault).times(100));
}

#[track_caller]
fn assert_refused_by_wechat(came: &Came, code: &str) {
    assert_eq!(came.failure(), (200, "UPSTREAM_REFUSED"), "{came:?}");
    assert_eq!(came.body["data"]["data"]["code"], code, "{came:?}");
}

fn made(t: &TestApp) -> usize {
    t.world.wechat().count(Endpoint::Transfer)
}

/// A forward that nobody but its sender vouches for.
fn hint(t: &TestApp, content: &Value) -> Forward {
    Forward {
        path: TRANSFER_PATH.to_owned(),
        headers: vec![(
            "x-tcb-integration-id".to_owned(),
            t.world.center().integration_id().to_owned(),
        )],
        body: json!({
            "ParsedContent": content,
            "ParsedNotify": {"id": "EV-1", "event_type": "MCHTRANSFER.BILL.FINISHED"},
        }),
    }
}

async fn each_proof_of_a_transfers_end_is_enough(store: Store) {
    let t = TestApp::start(store).await;
    let (wechat, center) = (t.world.wechat(), t.world.center());
    for (count, about) in ["signed", "signed, by the other path", "sealed", "asked", "at /", "bare"]
        .into_iter()
        .enumerate()
    {
        let number = format!("T{count}");
        t.arrived_unheard(&number).await;
        let note = wechat.transfer_notification(&number).unwrap();
        let queries = wechat.count(Endpoint::QueryTransfer);
        center.set_shape(match about {
            "asked" | "at /" => ForwardShape {
                to_root: about == "at /",
                ..ForwardShape::without_resource()
            },
            _ => ForwardShape::default(),
        });
        let forward = center.forward_of(&note).unwrap();
        let bare = Forward {
            body: forward.body["ParsedContent"].clone(),
            ..forward.clone()
        };
        let mut replies = Vec::new();
        for _ in 0..3 {
            replies.push(match about {
                "signed" => t.notify(DIRECT_TRANSFER_PATH, &wechat.sign_again(&note)).await,
                "signed, by the other path" => t.notify(TRANSFER_PATH, &wechat.sign_again(&note)).await,
                "bare" => t.forward(&bare).await,
                _ => t.forward(&forward).await,
            });
        }
        assert!(replies.iter().all(acknowledged), "{about}: {replies:?}");
        let asked = wechat.count(Endpoint::QueryTransfer) > queries;
        assert_eq!(asked, matches!(about, "asked" | "at /" | "bare"), "{about}");
        assert_eq!(t.transfer_state(&number).await.as_deref(), Some("SUCCESS"), "{about}");
        assert_eq!(
            t.transfer_events(&number).await,
            ["transfer.created", "transfer.succeeded"],
            "{about}"
        );
    }
    assert!(t.anomalies().await.is_empty());
}

async fn what_proves_nothing_ends_no_transfer(store: Store) {
    let t = TestApp::start(store).await;
    quiet(&t);
    t.transferred("T1", 500).await;
    t.arrived_unheard("T2").await;
    let bill = t.world.wechat().transfer("T1").unwrap().transfer_bill_no;
    let claimed = json!({
        "out_bill_no": "T1", "transfer_bill_no": bill, "state": "SUCCESS", "mch_id": t.world.keys().mchid(),
        "transfer_amount": 500, "openid": OPENID,
    });
    let claim = hint(&t, &claimed);
    // WeChat says that it still waits.
    assert!(refused(&t.forward(&claim).await));
    // Nor when it is bare, or sealed with somebody else's key, or opens to something that is not about it.
    let bare = Forward {
        body: claimed.clone(),
        ..claim.clone()
    };
    assert!(refused(&t.forward(&bare).await));
    let other_key = t.world.wechat().transfer_notification_with("T2", |note| {
        note.other_api_v3_key = Some("0123456789abcdef0123456789abcdef".to_owned());
        note.resource["out_bill_no"] = json!("T1");
    });
    let sealed: Value = serde_json::from_str(&other_key.unwrap().body).unwrap();
    let mut forged = claim.clone();
    forged.body["rawData"] = sealed;
    assert!(refused(&t.forward(&forged).await));
    // What WeChat does not know at all, and what names nothing.
    let unknown = hint(&t, &with(claimed.clone(), "out_bill_no", json!("T9")));
    assert!(refused(&t.forward(&unknown).await));
    let nothing = hint(&t, &with(claimed.clone(), "out_bill_no", json!("../T1")));
    assert!(refused(&t.forward(&nothing).await));
    // Without the integration id nothing is even asked.
    let queries = t.world.wechat().count(Endpoint::QueryTransfer);
    for headers in [vec![], vec![("x-tcb-integration-id", "another")]] {
        assert!(refused(&t.post(TRANSFER_PATH, &headers, claim.body.to_string()).await));
    }
    assert_eq!(t.world.wechat().count(Endpoint::QueryTransfer), queries);
    // Signed, but not by WeChat, not this body, not now.
    let note = t.world.wechat().transfer_notification("T2").unwrap();
    let mut tampered = note.clone();
    tampered.body = tampered.body.replacen("MCHTRANSFER", "MCHTRANSFEr", 1);
    for bad in [
        tampered,
        note.clone().with_header("Wechatpay-Signature", "AAAA"),
        note.clone()
            .with_header("Wechatpay-Signature", "WECHATPAY/SIGNTEST/AAAA"),
        note.clone().with_header("Wechatpay-Timestamp", "1"),
        note.clone().with_header("Wechatpay-Signature", ""),
    ] {
        assert!(refused(&t.notify(DIRECT_TRANSFER_PATH, &bad).await), "{bad:?}");
    }
    for number in ["T1", "T2"] {
        assert_eq!(t.transfer_state(number).await.as_deref(), Some("WAIT_USER_CONFIRM"));
        assert_eq!(t.transfer_events(number).await, ["transfer.created"]);
    }
    // What cannot be asked about now is to come again.
    t.world.wechat().confirm_transfer("T1").unwrap();
    always(&t, Endpoint::QueryTransfer, Fault::DropBefore);
    let reply = t.forward(&claim).await;
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("FAIL")));
    t.world.wechat().clear_faults();
    assert!(
        acknowledged(&t.forward(&claim).await),
        "and once it is true, it is true"
    );
    assert_eq!(
        t.transfer_events("T1").await,
        ["transfer.created", "transfer.succeeded"]
    );
    assert!(t.anomalies().await.is_empty());
}

async fn two_hundred_equal_callbacks_of_a_transfer_are_one_event(store: Store) {
    let t = TestApp::start(store).await;
    t.arrived_unheard("T1").await;
    let note = t.world.wechat().transfer_notification("T1").unwrap();
    let forward = t.world.center().forward_of(&note).unwrap();
    let replies = join_all((0..200).map(|_| t.forward(&forward))).await;
    assert!(replies.iter().all(acknowledged));
    assert_eq!(
        t.transfer_events("T1").await,
        ["transfer.created", "transfer.succeeded"]
    );
    assert!(t.anomalies().await.is_empty());
}

async fn accepted_is_never_success(store: Store) {
    for (start, state) in [
        (TransferStart::Accepted, "ACCEPTED"),
        (TransferStart::Processing, "PROCESSING"),
    ] {
        let options = Options {
            transfer_start: start,
            ..Options::default()
        };
        let t = TestApp::start_with(store, options, &[]).await;
        let data = t.transferred("T1", 500).await;
        assert_eq!((&data["state"], &data["package_info"]), (&json!(state), &Value::Null));
        for _ in 0..2 {
            let said = t.operate(BY_NUMBER, json!({"out_bill_no": "T1"})).await;
            assert_eq!(said.data()["state"], state);
            assert_eq!(t.transferred("T1", 500).await["state"], state);
            sweep_after(&t, 3600).await;
        }
        assert_eq!(t.transfer_state("T1").await.as_deref(), Some(state));
        assert_eq!(t.transfer_events("T1").await, ["transfer.created"], "{state}");
        let told = t.told_of_transfer("T1").await;
        assert_eq!(told[0]["data"]["state"], state);

        // Step by step on its way, and one end.
        quiet(&t);
        let mut states = vec![state.to_owned()];
        while states.last().unwrap() != "SUCCESS" {
            assert_eq!(t.transfer_events("T1").await, ["transfer.created"], "{states:?}");
            t.world.wechat().step_transfer("T1").unwrap();
            let said = t.operate(BY_NUMBER, json!({"out_bill_no": "T1"})).await;
            states.push(said.data()["state"].as_str().unwrap().to_owned());
            assert_eq!(t.transfer_state("T1").await.as_ref(), states.last());
        }
        assert_eq!(
            t.transfer_events("T1").await,
            ["transfer.created", "transfer.succeeded"]
        );
    }
}

async fn what_the_receiver_confirms_with_is_found_when_it_comes_late(store: Store) {
    let options = Options {
        transfer_start: TransferStart::Accepted,
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    let body = with(transfer("T1", 500), "user_name", json!("张三"));
    let first = t.operate(TRANSFER, body.clone()).await;
    assert_eq!(
        first.data()["package_info"],
        Value::Null,
        "there is nothing to confirm yet"
    );
    t.world.wechat().step_transfer("T1").unwrap();
    t.world.wechat().step_transfer("T1").unwrap();
    let package = json!(t.world.wechat().transfer("T1").unwrap().package_info);

    // While WeChat does not say it, the rest of the answer is good all the same.
    always(&t, Endpoint::Transfer, Fault::DropBefore);
    let without_it = t.operate(TRANSFER, body.clone()).await;
    assert_eq!(
        (&without_it.data()["state"], &without_it.data()["package_info"]),
        (&json!("WAIT_USER_CONFIRM"), &Value::Null)
    );
    t.world.wechat().clear_faults();
    let so_far = made(&t);
    for _ in 0..3 {
        let again = t.operate(TRANSFER, body.clone()).await;
        assert_eq!(again.data()["package_info"], package);
        assert_eq!(again.data()["transfer_bill_no"], first.data()["transfer_bill_no"]);
    }
    assert_eq!(made(&t), so_far + 1, "asked once, and kept");
    t.world.wechat().confirm_transfer("T1").unwrap();
    t.eventually_transfer("T1", "SUCCESS").await;
    assert_eq!(
        t.transfer_events("T1").await,
        ["transfer.created", "transfer.succeeded"]
    );
    assert!(t.anomalies().await.is_empty());
}

async fn a_transfer_that_fails_or_is_taken_back_says_so(store: Store) {
    let t = TestApp::start(store).await;
    t.transferred("T1", 500).await;
    let end = TransferEnd::Fail("PAYEE_ACCOUNT_ABNORMAL".to_owned());
    t.world.wechat().end_transfer("T1", &end).unwrap();
    t.eventually_transfer("T1", "FAIL").await;
    assert_eq!(t.transfer_events("T1").await, ["transfer.created", "transfer.failed"]);
    let told = &t.told_of_transfer("T1").await[1]["data"];
    assert_eq!(
        (&told["state"], &told["fail_reason"]),
        (&json!("FAIL"), &json!("PAYEE_ACCOUNT_ABNORMAL"))
    );

    // Nobody confirms in time: WeChat gives the money back.
    t.transferred("T2", 500).await;
    quiet(&t);
    sweep_after(&t, 25 * 3600).await;
    assert_eq!(t.world.wechat().transfer("T2").unwrap().state, TransferState::Fail);
    assert_eq!(t.transfer_events("T2").await, ["transfer.created", "transfer.failed"]);
    assert_eq!(
        t.told_of_transfer("T2").await[1]["data"]["fail_reason"],
        "OVERDUE_CLOSE"
    );

    // Taken back in the merchant platform.
    t.transferred("T3", 500).await;
    t.world.wechat().end_transfer("T3", &end).unwrap();
    for (state, events) in [
        ("CANCELING", vec!["transfer.created"]),
        ("CANCELLED", vec!["transfer.created", "transfer.failed"]),
    ] {
        let reply = told_with(&t, "T3", |note| {
            note.resource["state"] = json!(state);
            note.resource.as_object_mut().unwrap().remove("fail_reason");
        })
        .await;
        assert!(acknowledged(&reply), "{state}: {reply:?}");
        assert_eq!(t.transfer_state("T3").await.as_deref(), Some(state));
        assert_eq!(t.transfer_events("T3").await, events, "{state}");
    }
    let told = &t.told_of_transfer("T3").await[1]["data"];
    assert_eq!(
        (&told["state"], &told["fail_reason"]),
        (&json!("CANCELLED"), &Value::Null)
    );
    assert!(t.anomalies().await.is_empty());
    // An end is one: the number is no other transfer afterwards.
    let again = t.operate(TRANSFER, transfer("T1", 500)).await;
    assert_eq!(again.data()["state"], "FAIL");
    assert_eq!(t.transfer_events("T1").await.len(), 2);
}

async fn what_is_older_than_the_end_moves_nothing(store: Store) {
    let t = TestApp::start(store).await;
    t.arrived_unheard("T1").await;
    assert!(acknowledged(&told_with(&t, "T1", |_| {}).await));
    for older in [
        "ACCEPTED",
        "PROCESSING",
        "WAIT_USER_CONFIRM",
        "TRANSFERING",
        "CANCELING",
    ] {
        let reply = told_with(&t, "T1", |note| note.resource["state"] = json!(older)).await;
        assert!(acknowledged(&reply), "{older}: {reply:?}");
    }
    assert!(t.anomalies().await.is_empty());
    // Another end is no older word, and nothing that the books could follow.
    for other in ["FAIL", "CANCELLED"] {
        for _ in 0..2 {
            let reply = told_with(&t, "T1", |note| note.resource["state"] = json!(other)).await;
            assert!(acknowledged(&reply), "{other}: {reply:?}");
        }
    }
    assert_eq!(t.anomalies().await, ["contradiction", "contradiction"]);
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("SUCCESS"));
    assert_eq!(
        t.transfer_events("T1").await,
        ["transfer.created", "transfer.succeeded"]
    );
}

async fn genuine_content_about_a_transfer_that_does_not_fit_is_an_anomaly(store: Store) {
    let t = TestApp::start(store).await;
    let mut expected = Vec::new();
    for (count, (kind, member, value)) in [
        ("amount_mismatch", "transfer_amount", json!(501)),
        ("contradiction", "openid", json!("o_somebody_else")),
        ("foreign_merchant", "mch_id", json!("1900000000")),
        ("contradiction", "transfer_bill_no", json!("1330000999")),
        ("unknown_transfer", "out_bill_no", json!("T99")),
        ("unreadable", "state", json!("TRANSFERRING")),
        ("unreadable", "out_bill_no", json!("T-1")),
        ("unreadable", "transfer_bill_no", Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("T{count}");
        t.arrived_unheard(&number).await;
        let note = t
            .world
            .wechat()
            .transfer_notification_with(&number, |note| note.resource[member] = value)
            .unwrap();
        for _ in 0..2 {
            let reply = t
                .notify(DIRECT_TRANSFER_PATH, &t.world.wechat().sign_again(&note))
                .await;
            assert!(acknowledged(&reply), "{member}: {reply:?}");
        }
        expected.push(kind);
        assert_eq!(t.anomalies().await, expected, "{member}: each once");
        assert_eq!(
            t.transfer_state(&number).await.as_deref(),
            Some("WAIT_USER_CONFIRM"),
            "{member}"
        );
        assert_eq!(t.transfer_events(&number).await, ["transfer.created"], "{member}");
        // The same under WeChat's other spelling of a name is no other thing.
        assert!(acknowledged(
            &told_with(&t, &number, |note| {
                let mchid = note.resource.as_object_mut().unwrap().remove("mch_id").unwrap();
                note.resource["mchid"] = mchid;
            })
            .await
        ));
        assert_eq!(t.transfer_state(&number).await.as_deref(), Some("SUCCESS"), "{member}");
    }
    // A product of before: kept, and not sent for ever.
    let note = t.world.wechat().transfer_notification_with("T1", |note| {
        note.event_type = "MCHTRANSFER.BATCH.FINISHED".to_owned();
        note.resource = json!({"out_batch_no": "B1", "batch_status": "FINISHED"});
    });
    assert!(acknowledged(&t.notify(DIRECT_TRANSFER_PATH, &note.unwrap()).await));
    expected.push("unreadable");
    assert_eq!(t.anomalies().await, expected);
}

async fn too_small_a_balance_refuses_and_the_same_number_works_later(store: Store) {
    let options = Options {
        transfer_balance: Some(499),
        ..Options::default()
    };
    let t = TestApp::start_with(store, options, &[]).await;
    for _ in 0..2 {
        let came = t.operate(TRANSFER, transfer("T1", 500)).await;
        assert_refused_by_wechat(&came, "NOT_ENOUGH");
        assert_eq!(t.transfer_state("T1").await.as_deref(), Some("REJECTED"));
    }
    assert!(t.transfer_events("T1").await.is_empty());
    t.world.wechat().set_transfer_balance(Some(500));
    assert_eq!(t.transferred("T1", 500).await["state"], "WAIT_USER_CONFIRM");
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
}

async fn a_refusal_gives_the_number_free_only_when_it_is_wechats_word(store: Store) {
    let t = TestApp::start(store).await;
    for (count, (fault, state)) in [
        (Fault::refuse(403, "NO_AUTH"), "REJECTED"),
        (Fault::refuse(400, "PARAM_ERROR"), "REJECTED"),
        (Fault::refuse(429, "FREQUENCY_LIMITED"), "CREATED"),
        (Fault::refuse_unsigned(403, "NO_AUTH"), "CREATED"),
        (Fault::refuse_unsigned(404, "NOT_FOUND"), "CREATED"),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("T{count}");
        t.world.wechat().fault(Endpoint::Transfer, fault.clone());
        let came = t.operate(TRANSFER, transfer(&number, 500)).await;
        assert_eq!(came.failure(), (200, "UPSTREAM_REFUSED"), "{fault:?}");
        assert_eq!(t.transfer_state(&number).await.as_deref(), Some(state), "{fault:?}");
        assert!(t.transfer_events(&number).await.is_empty());
        // Either way the same number works later, and only that makes it a transfer.
        t.transferred(&number, 500).await;
        assert_eq!(t.transfer_events(&number).await, ["transfer.created"]);
    }
}

async fn a_transfer_whose_answer_is_lost_is_found_by_asking(store: Store) {
    let t = TestApp::start(store).await;
    for (count, after) in [
        After::DropConnection,
        After::Garbage,
        After::BadSignature,
        After::NoSignature,
        After::SignTest,
        After::Status(502),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("T{count}");
        t.world.wechat().fault(Endpoint::Transfer, Fault::ProcessThen(after));
        let data = t.transferred(&number, 500).await;
        let view = t.world.wechat().transfer(&number).unwrap();
        assert_eq!(data["transfer_bill_no"], json!(view.transfer_bill_no), "{after:?}");
        assert_eq!(
            data["package_info"],
            json!(view.package_info),
            "{after:?}: it can be confirmed"
        );
        assert_eq!(t.transfer_events(&number).await, ["transfer.created"], "{after:?}");
    }

    // Neither the answer nor the question after it comes through: nothing is known, and the same call may be made again.
    let lost = Fault::ProcessThen(After::DropConnection);
    t.world.wechat().fault(Endpoint::Transfer, lost);
    always(&t, Endpoint::QueryTransfer, Fault::DropBefore);
    let unknown = t.operate(TRANSFER, transfer("T9", 500)).await;
    assert_eq!(unknown.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(
        unknown.body["data"],
        json!({"error": "UPSTREAM_UNAVAILABLE", "retryable": true})
    );
    assert_eq!(t.transfer_state("T9").await.as_deref(), Some("CREATED"));
    assert!(t.transfer_events("T9").await.is_empty());
    t.world.wechat().clear_faults();
    let data = t.transferred("T9", 500).await;
    assert_eq!(
        data["transfer_bill_no"],
        json!(t.world.wechat().transfer("T9").unwrap().transfer_bill_no)
    );
    assert_eq!(t.transfer_events("T9").await, ["transfer.created"]);
    assert!(t.anomalies().await.is_empty());
}

async fn a_transfer_that_takes_too_long_is_settled_by_the_sweep(store: Store) {
    let settings = [("wechatPayTimeoutMs", "500")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    let long = Duration::from_secs(20);
    // Heard, and its answer comes too late; or not heard at all.
    for (number, fault, found) in [
        ("T1", Fault::ProcessThen(After::Hang(long)), Some("WAIT_USER_CONFIRM")),
        ("T2", Fault::DropBefore, None),
    ] {
        if found.is_none() {
            always(&t, Endpoint::QueryTransfer, Fault::HangBefore(long));
        }
        t.world.wechat().fault(Endpoint::Transfer, fault);
        let came = t.operate(TRANSFER, transfer(number, 500)).await;
        assert!(came.status == 504 || found.is_none(), "{came:?}");
        assert_eq!(came.body["data"]["retryable"], json!(true));
        assert_eq!(t.transfer_state(number).await.as_deref(), Some("CREATED"));
        assert!(t.transfer_events(number).await.is_empty());
        t.world.wechat().clear_faults();
        sweep_after(&t, 16).await;
        assert_eq!(
            t.transfer_state(number).await.as_deref(),
            found.or(Some("CREATED")),
            "{number}: a late attempt may still arrive"
        );
        sweep_after(&t, 61).await;
        assert_eq!(t.transfer_state(number).await.as_deref(), found.or(Some("REJECTED")));
    }
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
    assert!(t.transfer_events("T2").await.is_empty());
    t.transferred("T2", 500).await;
    assert_eq!(t.transfer_events("T2").await, ["transfer.created"]);
}

async fn an_unproven_yes_is_none(store: Store) {
    let t = TestApp::start(store).await;
    for endpoint in [Endpoint::Transfer, Endpoint::QueryTransfer] {
        always(&t, endpoint, Fault::ProcessThen(After::BadSignature));
    }
    let came = t.operate(TRANSFER, transfer("T1", 500)).await;
    assert_eq!(came.failure(), (502, "UPSTREAM_SIGNATURE_INVALID"));
    let came = t.operate(BY_NUMBER, json!({"out_bill_no": "T1"})).await;
    assert_eq!(came.failure(), (502, "UPSTREAM_SIGNATURE_INVALID"));
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("CREATED"));
    assert!(t.transfer_events("T1").await.is_empty());
    t.world.wechat().clear_faults();
    sweep_after(&t, 16).await;
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
}

async fn a_system_error_is_asked_again_with_the_same_number(store: Store) {
    let t = TestApp::start(store).await;
    t.world
        .wechat()
        .fault(Endpoint::Transfer, Fault::refuse(500, "SYSTEM_ERROR"));
    t.transferred("T1", 500).await;
    assert_eq!(made(&t), 2, "once more, by itself");
    let bodies: Vec<String> = t.world.wechat().requests().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies[0], bodies[1], "to the letter");

    always(&t, Endpoint::Transfer, Fault::refuse(500, "SYSTEM_ERROR"));
    let came = t.operate(TRANSFER, transfer("T2", 500)).await;
    assert_eq!(came.failure(), (502, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(t.transfer_state("T2").await.as_deref(), Some("CREATED"));
    t.world.wechat().clear_faults();
    t.transferred("T2", 500).await;
    for number in ["T1", "T2"] {
        assert_eq!(t.transfer_events(number).await, ["transfer.created"]);
    }
}

async fn an_earlier_attempt_may_still_arrive(store: Store) {
    let t = TestApp::start(store).await;
    // Nobody knows what became of the first attempt; the second one is refused, and there is no such transfer yet.
    t.world.wechat().fault(Endpoint::Transfer, Fault::DropBefore);
    always(&t, Endpoint::QueryTransfer, Fault::DropBefore);
    t.operate(TRANSFER, transfer("T1", 500)).await;
    t.world.wechat().clear_faults();
    t.advance(Duration::from_secs(5));
    t.world
        .wechat()
        .fault(Endpoint::Transfer, Fault::refuse(403, "NOT_ENOUGH"));
    let came = t.operate(TRANSFER, transfer("T1", 500)).await;
    assert_refused_by_wechat(&came, "NOT_ENOUGH");
    assert_eq!(
        t.transfer_state("T1").await.as_deref(),
        Some("CREATED"),
        "the sweep goes on asking for it"
    );
    for _ in 0..3 {
        sweep_after(&t, 61).await;
    }
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("REJECTED"));
    t.transferred("T1", 500).await;
    assert_eq!(t.transfer_events("T1").await, ["transfer.created"]);
}

async fn a_transfer_that_was_made_elsewhere_is_nobodys_here(store: Store) {
    let settings = [("transferPolicy", "any")];
    let t = TestApp::start_with(store, Options::default(), &settings).await;
    for number in ["T1", "T2", "T3"] {
        t.transferred(number, 500).await;
    }
    let t = t.with_new_books(store).await;
    quiet(&t);
    let mallory = format!("Bearer {}", t.token_of("mallory", "o_mallory"));
    let query = async |number: &str| t.act_as(&mallory, BY_NUMBER, json!({"out_bill_no": number})).await;

    // WeChat says that the number is used.
    let theirs = with(transfer("T1", 30), "openid", json!("o_mallory"));
    assert_refused_by_wechat(&t.act_as(&mallory, TRANSFER, theirs).await, "ALREADY_EXISTS");
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("REJECTED"), "at once");
    assert_eq!(query("T1").await.failure(), (403, "FORBIDDEN"), "to her as well");
    // WeChat's answer is lost, and what it has of that number is another transfer.
    t.world.wechat().fault(Endpoint::Transfer, Fault::DropBefore);
    let theirs = with(transfer("T2", 30), "openid", json!("o_mallory"));
    let came = t.act_as(&mallory, TRANSFER, theirs).await;
    assert_eq!(came.failure(), (409, "TRANSFER_PARAMS_MISMATCH"));
    // The same, found by the sweep.
    t.world.wechat().fault(Endpoint::Transfer, Fault::DropBefore);
    always(&t, Endpoint::QueryTransfer, Fault::DropBefore);
    let theirs = with(transfer("T3", 30), "openid", json!("o_mallory"));
    t.act_as(&mallory, TRANSFER, theirs).await;
    t.world.wechat().clear_faults();
    sweep_after(&t, 16).await;

    for number in ["T1", "T2", "T3"] {
        assert_eq!(t.transfer_state(number).await.as_deref(), Some("REJECTED"), "{number}");
        let came = query(number).await;
        assert_eq!(came.failure(), (403, "FORBIDDEN"), "{number}: {came:?}");
        assert!(!came.body.to_string().contains(OPENID));
        assert!(t.transfer_events(number).await.is_empty(), "{number}");
        // Its receiver sees it.
        let receiver = format!("Bearer {}", t.token_of("bob", OPENID));
        let came = t
            .act_as(&receiver, "wxpay_transfer_bill_query_by_no", {
                let bill = t.world.wechat().transfer(number).unwrap().transfer_bill_no;
                json!({"transfer_bill_no": bill})
            })
            .await;
        assert!(
            came.body["code"] == 0 || came.failure() == (403, "FORBIDDEN"),
            "{came:?}"
        );
    }
    assert!(t.anomalies().await.iter().all(|kind| kind == "amount_mismatch"));
    // Nothing is left to ask about.
    let queries = t.world.wechat().count(Endpoint::QueryTransfer);
    sweep_after(&t, 48 * 3600).await;
    assert_eq!(t.world.wechat().count(Endpoint::QueryTransfer), queries);

    // The merchant who asks for it with what it was made with has it back.
    let t = t.with_new_books(store).await;
    let bill = t.world.wechat().transfer("T1").unwrap().transfer_bill_no;
    assert_eq!(t.transferred("T1", 500).await["transfer_bill_no"], json!(bill));
}

/// It is for a person to see to, and no reason to take the transfer for somebody else's.
async fn what_contradicts_the_books_is_shown_to_whoever_asked_for_the_transfer(store: Store) {
    let t = TestApp::start_with(store, Options::default(), &[("transferPolicy", "any")]).await;
    quiet(&t);
    let alice = format!("Bearer {}", t.token_of("alice", "o_alice"));
    t.act_as(&alice, TRANSFER, transfer("T1", 500)).await.data();
    let end = TransferEnd::Fail("PAYEE_ACCOUNT_ABNORMAL".to_owned());
    t.world.wechat().end_transfer("T1", &end).unwrap();
    let reply = told_with(&t, "T1", |note| {
        note.resource["state"] = json!("SUCCESS");
        note.resource.as_object_mut().unwrap().remove("fail_reason");
    })
    .await;
    assert!(acknowledged(&reply), "{reply:?}");

    for (action, body) in [
        (TRANSFER, transfer("T1", 500)),
        (BY_NUMBER, json!({"out_bill_no": "T1"})),
    ] {
        let came = t.act_as(&alice, action, body).await;
        assert_eq!(came.data()["state"], "FAIL", "{action}");
        assert_eq!(t.anomalies().await, ["contradiction"], "{action}");
        assert_eq!(t.transfer_state("T1").await.as_deref(), Some("SUCCESS"), "{action}");
    }
}

async fn a_word_about_an_older_attempt_gives_no_newer_one_up(store: Store) {
    let t = TestApp::start(store).await;
    t.world.wechat().fault(Endpoint::Transfer, Fault::DropBefore);
    always(&t, Endpoint::QueryTransfer, Fault::DropBefore);
    t.operate(TRANSFER, transfer("T1", 500)).await;
    t.world.wechat().clear_faults();
    t.advance(Duration::from_secs(61));

    // "There is none", WeChat says to the sweep; while that is on its way, somebody asks for it once more.
    let held = t.world.wechat().hold(Endpoint::QueryTransfer);
    let again = async {
        held.reached().await;
        t.advance(Duration::from_secs(1));
        t.world
            .wechat()
            .fault(Endpoint::Transfer, Fault::refuse_unsigned(403, "NO_AUTH"));
        t.operate(TRANSFER, transfer("T1", 500)).await;
        held.release();
    };
    let (swept, ()) = tokio::join!(t.service.sweep(), again);
    swept.unwrap();
    assert_eq!(t.transfer_state("T1").await.as_deref(), Some("CREATED"));
}

async fn a_transfer_is_followed_without_a_callback(store: Store) {
    let t = TestApp::start_with(store, Options::default(), &[("transferNotifyUrl", "")]).await;
    t.transferred("T1", 500).await;
    assert_eq!(t.world.wechat().transfer("T1").unwrap().notify_url, None);
    t.world.wechat().confirm_transfer("T1").unwrap();
    sweep_after(&t, 61).await;
    assert_eq!(
        t.transfer_events("T1").await,
        ["transfer.created", "transfer.succeeded"]
    );
    let queries = t.world.wechat().count(Endpoint::QueryTransfer);
    sweep_after(&t, 48 * 3600).await;
    assert_eq!(
        t.world.wechat().count(Endpoint::QueryTransfer),
        queries,
        "there is nothing left to ask"
    );
}
