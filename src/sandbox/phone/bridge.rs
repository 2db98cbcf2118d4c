//! What `WeixinJSBridge.invoke('getBrandWCPayRequest', ...)` meets inside WeChat: every check that the real one makes, then the pay
//! sheet, then what the buyer taps. Its answer is for the page only, and is no proof of anything.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use url::Url;

use super::Phone;
use crate::sandbox::{
    OrderView, crypto,
    journal::Party,
    wechat::{Impossible, TradeState},
};

/// What the buyer has in front of her.
pub(super) struct Sheet {
    pub(super) order: OrderView,
    answer: oneshot::Sender<Value>,
}

/// A sheet is gone with the page that asked for it.
struct Shown<'a>(&'a Phone);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.held(|held| held.sheet = None);
    }
}

#[derive(Deserialize)]
pub(super) struct Invoked {
    /// The address of the page.
    url: String,
    /// What it handed over, as it did.
    params: Map<String, Value>,
}

fn said(end: &str, why: &str) -> Value {
    let err_msg = format!("get_brand_wcpay_request:{end}");
    if why.is_empty() {
        json!({"err_msg": err_msg})
    } else {
        json!({"err_msg": err_msg, "err_desc": why})
    }
}

/// Answers when the buyer has tapped, like the real one.
pub(super) async fn invoke(State(phone): State<Phone>, Json(invoked): Json<Invoked>) -> Json<Value> {
    let journal = &phone.inner.around.journal;
    let number = journal.sent(Party::Page, Party::Wechat, "WeixinJSBridge getBrandWCPayRequest");
    let (lines, order) = phone.checked(invoked);
    if let Some(lines) = lines {
        let by = "商户私钥 SHA256-RSA / the merchant's key: appId, timeStamp, nonceStr, package";
        journal.proven(number, by, lines.as_bytes());
    }
    let answer = match order {
        Err(why) => said("fail", &why),
        Ok(order) => {
            let (answer, tapped) = oneshot::channel();
            phone.held(|held| held.sheet = Some(Sheet { order, answer }));
            let _shown = Shown(&phone);
            // Nobody answers when the page is closed.
            tapped.await.unwrap_or_else(|_| said("cancel", ""))
        }
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    journal.answered(number, None, format!("{} {}", text("err_msg"), text("err_desc")).trim());
    Json(answer)
}

impl Phone {
    /// The order that can be paid with these parameters, or why none can; and what the merchant signed.
    fn checked(&self, invoked: Invoked) -> (Option<String>, Result<OrderView, String>) {
        let around = &self.inner.around;
        let mut params = invoked.params;
        if self.held(|held| held.hard_coded_app) {
            params.insert("appId".to_owned(), json!(around.keys.mini_program_appid()));
        }
        let text = |name: &str| params.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        for name in ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"] {
            if text(name).is_none() {
                return (None, Err(format!("调用支付JSAPI缺少参数：{name}")));
            }
        }
        let of = |name: &str| text(name).unwrap_or_default();
        let (app, package) = (of("appId"), of("package"));
        let lines = format!("{app}\n{}\n{}\n{package}\n", of("timeStamp"), of("nonceStr"));
        let order = package
            .strip_prefix("prepay_id=")
            .and_then(|id| around.wechat.order_of_prepay(id));
        let genuine = || crypto::verifies(around.keys.merchant_public(), lines.as_bytes(), of("paySign"));
        let buyer = around.offiaccount.buyer();
        let checked = match order {
            _ if !self.is_in_directory(&invoked.url) => {
                Err(format!("当前页面的URL未注册：{}", shortened(&invoked.url)))
            }
            None => Err("参数错误：prepay_id 无效".to_owned()),
            // The buyer's openid is one of the Official Account's.
            Some(order) if order.appid != app || app != around.keys.appid() => {
                Err("appid与openid不匹配 (appid and openid mismatch)".to_owned())
            }
            Some(_) if of("signType") != "RSA" || !genuine() => Err("支付验证签名失败".to_owned()),
            Some(order) if order.openid.as_deref().is_some_and(|payer| payer != buyer) => {
                Err("下单账号与支付账号不一致，appid与openid不匹配".to_owned())
            }
            Some(order) => match order.state {
                TradeState::NotPay => Ok(order),
                TradeState::Success | TradeState::Refund => Err("该订单已支付".to_owned()),
                TradeState::Closed => Err("该订单已关闭".to_owned()),
            },
        };
        let is_busy = self.held(|held| held.sheet.is_some());
        let checked = checked.and_then(|order| {
            if is_busy {
                Err("支付正在进行中".to_owned())
            } else {
                Ok(order)
            }
        });
        (Some(lines), checked)
    }

    fn is_in_directory(&self, page: &str) -> bool {
        let directory = self
            .held(|held| held.directory.clone())
            .unwrap_or_else(|| format!("{}/", self.url()));
        Url::parse(page).is_ok_and(|url| url.as_str().starts_with(&directory))
    }
}

/// WeChat shows the address without what follows the path.
fn shortened(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

#[derive(Deserialize)]
pub(super) struct Tap {
    what: What,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum What {
    Pay,
    Cancel,
    /// The bank refuses.
    Fail,
    /// She pays, and the page is gone before it hears of it.
    Lost,
    /// The page is closed with the sheet open.
    Close,
}

pub(super) async fn tap(State(phone): State<Phone>, Json(Tap { what }): Json<Tap>) -> impl IntoResponse {
    let Some(Sheet { order, answer }) = phone.held(|held| held.sheet.take()) else {
        return (StatusCode::CONFLICT, Json(json!({"error": "there is no sheet"})));
    };
    let wechat = &phone.inner.around.wechat;
    let number = &order.out_trade_no;
    let of = |done: Result<(), Impossible>, end: &str| match done {
        Ok(()) => said(end, ""),
        Err(why) => said("fail", &why.to_string()),
    };
    let end = match what {
        What::Pay | What::Lost => of(wechat.pay(number).map(drop), "ok"),
        What::Cancel => of(wechat.cancel(number), "cancel"),
        What::Fail => said("fail", "银行卡余额不足"),
        What::Close => said("cancel", ""),
    };
    if matches!(what, What::Lost | What::Close) {
        phone.held(|held| held.unheard = Some(answer));
    } else {
        // The page may have gone by itself.
        drop(answer.send(end.clone()));
    }
    (StatusCode::OK, Json(end))
}
