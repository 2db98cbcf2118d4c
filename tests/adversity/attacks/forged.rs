//! Payments that never happened.

use crate::case::{Tried, cases};
use crate::support::app::TestApp;
use crate::support::database::Store;

cases!(Attack:
    a_forged_plaintext_forward => "an order marked paid without a fen",
);

async fn a_forged_plaintext_forward(store: Store, tried: Tried) {
    let t = TestApp::start(store).await;
    t.placed("ORDER_F1", 20).await;
    let order = t.world.wechat().order("ORDER_F1").unwrap();
    let came = t.forward(&t.world.center().forge(&order)).await;
    assert_eq!(came.status, 409, "{came:?}");
    assert_eq!(t.state("ORDER_F1").await.as_deref(), Some("NOTPAY"));
    tried.once();
}
