//! The other kinds of an order, and money that goes the other way.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{OPENID, Report, delivered, pay};
use crate::domain::ids::{OutBillNo, OutTradeNo};
use crate::rehearsal::page::{Page, shown};
use crate::rehearsal::stage::Stage;
use crate::store::history;

/// An order for a browser outside WeChat, one for a QR code, one for a mobile app: each placed and paid.
pub(super) async fn orders(report: &mut Report, stage: &Stage, page: &Page, run: &str) -> anyhow::Result<()> {
    let kinds = [
        ("h5", "a browser outside WeChat / 微信外浏览器下单", "h5_url"),
        ("native", "a QR code / 扫码下单", "code_url"),
        ("app", "a mobile app / App 下单", "prepayid"),
    ];
    for (kind, title, member) in kinds {
        let number = OutTradeNo::parse(format!("ORDER_{}_{run}", kind.to_uppercase()))?;
        let mut body = json!({
            "_action": format!("wxpay_order_{kind}"),
            "description": "Test product",
            "out_trade_no": number,
            "amount": {"total": 20, "currency": "CNY"},
        });
        if kind == "h5" {
            let scene = json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}});
            if let Some(members) = body.as_object_mut() {
                members.insert("scene_info".to_owned(), scene);
            }
        }
        let came = page.call(&body).await?;
        let text = |name: &str| came.content()[name].as_str().unwrap_or_default().to_owned();
        let signed = kind != "app" || {
            let message = format!(
                "{}\n{}\n{}\n{}\n",
                text("appid"),
                text("timestamp"),
                text("noncestr"),
                text("prepayid")
            );
            stage.world.keys().sign_as_merchant(&message) == text("sign")
        };
        report.step(
            title,
            &format!("POST / {}", shown(&body)),
            &came.shown(),
            came.is_success() && !text(member).is_empty() && signed,
        )?;
        pay(report, stage, &number).await?;
    }
    Ok(())
}

/// The merchant's server transfers to a user, who confirms.
pub(super) async fn transfer(report: &mut Report, stage: &Stage, run: &str) -> anyhow::Result<()> {
    let number = OutBillNo::parse(format!("TRANSFER{run}"))?;
    let body = json!({
        "_action": "wxpay_transfer",
        "out_bill_no": number,
        "transfer_scene_id": "1000",
        "openid": OPENID,
        "user_name": "测试",
        "transfer_amount": 500,
        "transfer_remark": "Prize",
        "transfer_scene_report_infos": [
            {"info_type": "活动名称", "info_content": "Autumn draw"},
            {"info_type": "奖励说明", "info_content": "Third prize"},
        ],
    });
    let came = Page::of_operator(stage.service.address())?.call(&body).await?;
    let waits = came.content()["state"] == "WAIT_USER_CONFIRM" && came.content()["package_info"].is_string();
    report.step(
        "the merchant's server transfers 500 fen / 商户服务器发起商家转账 5 元",
        &format!("POST / {}", shown(&body)),
        &came.shown(),
        came.is_success() && waits,
    )?;

    stage.world.wechat().confirm_transfer(number.as_str())?;
    let seen = delivered(stage, "MCHTRANSFER.BILL.FINISHED", 0).await;
    let started = Instant::now();
    let mut events = history::events_of_transfer(stage.service.db(), &number).await?;
    while events.len() < 2 && started.elapsed() < Duration::from_secs(8) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        events = history::events_of_transfer(stage.service.db(), &number).await?;
    }
    report.step(
        "its receiver confirms; WeChat calls back / 收款人确认，微信回调",
        &format!("confirms {number}"),
        &format!("callback answered {seen}; events told: {}", events.join(", ")),
        seen == "200" && events == ["transfer.created", "transfer.succeeded"],
    )
}
