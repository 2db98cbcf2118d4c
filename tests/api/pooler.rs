//! Behind a pooler that gives every transaction another server: nothing depends on a session.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{Options, RefundEnd};
use serde_json::json;

use crate::support::app::{OPERATOR, TestApp, order, refund};
use crate::support::command::{self, Said};
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;
use crate::support::pooler::Pooler;

/// What the world is like, over books that nobody has opened yet.
async fn world(pooler: &Pooler) -> Offline {
    let options = Options {
        refund_after: None,
        ..Options::default()
    };
    let database = Database::fresh(Store::Postgres).await;
    let url = pooler.to(&database.url);
    let more = [("serverless", "true"), ("DATABASE_URL", url.as_str())];
    let mut offline = Offline::over(database, options, &more).await;
    for (name, value) in offline.world.business().settings() {
        offline.set(name, &value);
    }
    offline
}

async fn tick(t: &TestApp) -> serde_json::Value {
    let key = format!("Bearer {OPERATOR}");
    let came = t.post("/internal/tick", &[("authorization", &key)], "").await;
    assert_eq!(came.status, 200, "{came:?}");
    came.body["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_pgbouncer), ignore = "needs TEST_POSTGRES_URL and pgbouncer")]
async fn two_instances_behind_a_transaction_pooler_do_everything() {
    let pooler = Pooler::start(3);
    let offline = world(&pooler).await;
    let (one, other) = (offline.service().await, offline.service().await);
    let doors = [one.address(), other.address()];
    let mut t = offline.with(one);

    // The first requests of both bring the books to this version, all at once.
    let placing = (0..40).map(|count| {
        let (t, door) = (&t, doors[count % 2]);
        async move {
            let url = format!("http://{door}/wx-pay/wxpay_order");
            let (token, asked) = (t.token("alice"), order(&format!("ORDER_{count}"), 100));
            let asking = t.http.post(url).bearer_auth(token).json(&asked);
            crate::support::app::came(asking.send().await.unwrap()).await
        }
    });
    for came in join_all(placing).await {
        came.data();
    }

    let paying = (0..40).map(|count| {
        let t = &t;
        async move {
            let number = format!("ORDER_{count}");
            t.world.wechat().pay(&number).unwrap();
            t.eventually(&number, "SUCCESS").await;
            // Heard once more, and by its buyer.
            let note = t.world.wechat().payment_notification(&number).unwrap();
            let forward = t.world.center().forward_of(&note).unwrap();
            assert_eq!(t.forward(&forward).await.status, 200);
            let asked = json!({"out_trade_no": number});
            let came = t.act("wxpay_query_order_by_out_trade_no", asked).await;
            assert_eq!(came.data()["trade_state"], "SUCCESS");
        }
    });
    join_all(paying).await;

    t.door = doors[1];
    let refunding = (0..40).map(|count| {
        let (t, number) = (&t, format!("ORDER_{count}"));
        async move {
            t.act("wxpay_refund", refund(&number, &format!("REFUND_{count}"), 30, 100))
                .await
        }
    });
    for came in join_all(refunding).await {
        came.data();
    }
    t.world.wechat().lose_callbacks(1000);
    for count in 0..40 {
        t.world
            .wechat()
            .finish_refund(&format!("REFUND_{count}"), RefundEnd::Success)
            .unwrap();
    }
    t.advance(Duration::from_secs(120));
    let ticks = join_all((0..4).map(|_| tick(&t))).await;
    let asked: u64 = ticks.iter().filter_map(|done| done["refunds"].as_u64()).sum();
    assert_eq!(asked, 40, "{ticks:?}");
    tick(&t).await;
    for count in 0..40 {
        let told = ["order.created", "order.paid", "refund.created", "refund.succeeded"];
        assert_eq!(t.events(&format!("ORDER_{count}")).await, told, "ORDER_{count}");
        assert_eq!(t.world.business().heard_of(&format!("ORDER_{count}")), told);
    }
    assert!(t.anomalies().await.is_empty());

    // It was given from server to server.
    let servers = "SELECT CAST(COUNT(*) AS TEXT) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(t.texts(servers).await, ["3"], "{}", pooler.log());
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(with_pgbouncer), ignore = "needs TEST_POSTGRES_URL and pgbouncer")]
async fn the_commands_work_behind_a_transaction_pooler() {
    let pooler = Pooler::start(2);
    let database = Database::fresh(Store::Postgres).await;
    let url = pooler.to(&database.url);
    let run = |arguments: &[&str]| -> Said {
        let mut command = command::command(&url, arguments);
        command.env("serverless", "true").output().unwrap().into()
    };
    let looked = run(&["orders", "list", "--json"]);
    assert!(looked.err.contains("pay-common migrate"), "{looked:?}");
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
        .unwrap()
        .count();
    let applied = run(&["migrate", "--json"]).document();
    assert_eq!(applied["applied"].as_array().unwrap().len(), migrations, "{applied}");
    for _ in 0..3 {
        let applied = run(&["migrate", "--json"]).document();
        assert_eq!(applied["applied"], json!([]));
        for arguments in [
            ["orders", "list", "--json"],
            ["anomalies", "list", "--json"],
            ["webhooks", "list", "--json"],
        ] {
            run(&arguments).document();
        }
    }
    // Whoever comes by the direct way finds the same done.
    let direct = command::run(&database.url, &["migrate", "--json"]).document();
    assert_eq!(direct["applied"], json!([]));
}
