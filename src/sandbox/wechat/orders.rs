//! The rules of ordering, asking and closing.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::books::{Books, Channel, Order, PREPAY_LIFE, TradeState};
use super::refusal::{OUT_OF_RANGE, Refusal};
use super::schema::{self, integer, optional_text, text};
use crate::sandbox::{
    Keys,
    clock::{china_digits, china_time},
    crypto::random_hex,
    outbound::loopback,
    put,
};

const LONGEST_EXPIRY: SignedDuration = SignedDuration::from_hours(15 * 24);
const SHORTEST_EXPIRY: SignedDuration = SignedDuration::from_mins(1);
const DETAIL_BYTES: usize = 6144;

impl Books {
    /// `POST /v3/pay/transactions/{channel}`.
    pub(crate) fn prepay(
        &mut self,
        channel: Channel,
        body: Value,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        schema::check(&body, tables(channel))?;
        let expires = check_meaning(&body, keys, now)?;
        let out_trade_no = text(&body, "/out_trade_no").to_owned();
        let order = match self.orders.get_mut(&out_trade_no) {
            Some(order) => {
                may_order_again(order, channel, &body, now)?;
                if now >= order.prepay_made + PREPAY_LIFE || !order.prepay_is_alive(now) {
                    order.prepay_id = new_prepay_id(now);
                    order.prepay_made = now;
                }
                order
            }
            None => self.orders.entry(out_trade_no.clone()).or_insert_with(|| Order {
                out_trade_no,
                channel,
                appid: text(&body, "/appid").to_owned(),
                total: integer(&body, "/amount/total"),
                notify_url: text(&body, "/notify_url").to_owned(),
                attach: optional_text(&body, "/attach"),
                created: now,
                expires,
                prepay_id: new_prepay_id(now),
                prepay_made: now,
                closed: false,
                paid: None,
                refunds: Vec::new(),
                params: body,
            }),
        };
        let id = &order.prepay_id;
        Ok(match channel {
            Channel::Jsapi | Channel::App => json!({ "prepay_id": id }),
            Channel::H5 => json!({"h5_url": h5_url(id)}),
            Channel::Native => json!({"code_url": format!("weixin://wxpay/bizpayurl?pr={}", tail(id))}),
        })
    }

    /// `GET /v3/pay/transactions/out-trade-no/{}`.
    pub(crate) fn query(&self, out_trade_no: &str, mchid: &str, now: Timestamp) -> Result<Value, Refusal> {
        let order = self.orders.get(out_trade_no).ok_or_else(no_such_order)?;
        Ok(transaction(order, mchid, now))
    }

    /// `GET /v3/pay/transactions/id/{}`.
    pub(crate) fn query_by_id(&self, transaction_id: &str, mchid: &str, now: Timestamp) -> Result<Value, Refusal> {
        let order = self.by_transaction(transaction_id).ok_or_else(no_such_order)?;
        Ok(transaction(order, mchid, now))
    }

    /// `POST /v3/pay/transactions/out-trade-no/{}/close`. Closing what is closed changes nothing.
    pub(crate) fn close(
        &mut self,
        out_trade_no: &str,
        body: &Value,
        mchid: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        schema::check(body, schema::CLOSE)?;
        same_merchant(body, mchid)?;
        let order = self.orders.get_mut(out_trade_no).ok_or_else(no_such_order)?;
        match order.state(now) {
            TradeState::Success | TradeState::Refund => Err(already_paid()),
            TradeState::NotPay | TradeState::Closed => {
                order.closed = true;
                Ok(())
            }
        }
    }
}

const fn tables(channel: Channel) -> &'static [&'static [schema::Member]] {
    match channel {
        Channel::Jsapi => schema::JSAPI,
        Channel::H5 => schema::H5,
        Channel::App | Channel::Native => schema::APP_OR_NATIVE,
    }
}

/// What a table cannot say; gives the moment until which the order can be paid.
fn check_meaning(body: &Value, keys: &Keys, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    same_merchant(body, keys.mchid())?;
    let appid = text(body, "/appid");
    if !keys.owns_appid(appid) {
        let message = format!("appid和mch_id不匹配，请检查后再试：{appid}");
        return Err(Refusal::new(400, "APPID_MCHID_NOT_MATCH", message));
    }
    check_notify_url(body)?;
    if let Some(detail) = body
        .get("detail")
        .filter(|detail| detail.to_string().len() > DETAIL_BYTES)
    {
        return Err(Refusal::member("/detail", detail, "more than 6144 bytes").numbered(OUT_OF_RANGE));
    }
    if let Some(ip) = body.pointer("/scene_info/payer_client_ip")
        && text(body, "/scene_info/payer_client_ip").parse::<IpAddr>().is_err()
    {
        let issue = "must be an IPv4 or IPv6 address";
        return Err(Refusal::member("/scene_info/payer_client_ip", ip, issue));
    }
    let Some(expire) = body.get("time_expire") else {
        return Ok(None);
    };
    let asked = rfc3339(expire.as_str().unwrap_or_default())
        .ok_or_else(|| Refusal::member("/time_expire", expire, "must be yyyy-MM-DDTHH:mm:ss+TIMEZONE"))?;
    Ok(Some(asked.clamp(now + SHORTEST_EXPIRY, now + LONGEST_EXPIRY)))
}

/// `https` anywhere, or `http` on this host; with a path, and with nothing after it.
pub(crate) fn check_notify_url(body: &Value) -> Result<(), Refusal> {
    let Some(value) = body.get("notify_url") else {
        return Ok(());
    };
    let refuse = |issue: &str| Err(Refusal::member("/notify_url", value, issue));
    let Ok(url) = url::Url::parse(value.as_str().unwrap_or_default()) else {
        return refuse("must be an absolute address");
    };
    if url.scheme() != "https" && loopback(url.as_str()).is_err() {
        return refuse("must be https");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must have no query and no fragment");
    }
    if url.path() == "/" {
        refuse("must have a path")
    } else {
        Ok(())
    }
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let mut shape = text.char_indices();
    let letter = shape.nth(10).is_some_and(|(_, c)| c == 'T');
    if letter && !text.contains('[') {
        text.parse().ok()
    } else {
        None
    }
}

fn same_merchant(body: &Value, mchid: &str) -> Result<(), Refusal> {
    let value = body.get("mchid").unwrap_or(&Value::Null);
    if value == mchid {
        Ok(())
    } else {
        Err(Refusal::member("/mchid", value, "not the mchid of the Authorization"))
    }
}

fn may_order_again(order: &Order, channel: Channel, body: &Value, now: Timestamp) -> Result<(), Refusal> {
    match order.state(now) {
        TradeState::Success | TradeState::Refund => Err(already_paid()),
        TradeState::Closed => Err(Refusal::new(400, "ORDER_CLOSED", "订单已关闭，请换号重新下单")),
        TradeState::NotPay if order.channel != channel || order.params != *body => Err(Refusal::new(
            403,
            "OUT_TRADE_NO_USED",
            "商户订单号重复：请求重入时，参数与首次请求不一致",
        )),
        TradeState::NotPay if order.has_expired(now) => Err(Refusal::new(
            400,
            "ORDER_CLOSED",
            "订单已过支付截止时间，请换号重新下单",
        )),
        TradeState::NotPay => Ok(()),
    }
}

fn no_such_order() -> Refusal {
    Refusal::new(404, "ORDER_NOT_EXIST", "订单不存在")
}

fn already_paid() -> Refusal {
    Refusal::new(400, "ORDERPAID", "该订单已支付")
}

fn new_prepay_id(now: Timestamp) -> String {
    let day_and_time: String = china_digits(now).chars().skip(6).collect();
    format!("wx{day_and_time}{}", random_hex(26))
}

fn h5_url(prepay_id: &str) -> String {
    let package = tail(prepay_id);
    format!("https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id={prepay_id}&package={package}")
}

/// The last nine characters: stable for one prepay id, and enough to tell two apart.
fn tail(prepay_id: &str) -> String {
    prepay_id.chars().skip(prepay_id.len().saturating_sub(9)).collect()
}

/// The order as the query answers it and as the callback announces it.
pub(crate) fn transaction(order: &Order, mchid: &str, now: Timestamp) -> Value {
    let state = order.state(now);
    let mut answer = json!({
        "appid": order.appid,
        "mchid": mchid,
        "out_trade_no": order.out_trade_no,
        "trade_state": state.as_str(),
        "trade_state_desc": state.describe(),
        "promotion_detail": [],
    });
    let Some(paid) = &order.paid else {
        put(
            &mut answer,
            "amount",
            json!({"total": order.total, "payer_currency": "CNY"}),
        );
        put(&mut answer, "scene_info", json!({"device_id": ""}));
        if let Some(attach) = &order.attach {
            put(&mut answer, "attach", json!(attach));
        }
        return answer;
    };
    put(&mut answer, "transaction_id", json!(paid.transaction_id));
    put(&mut answer, "trade_type", json!(order.channel.trade_type()));
    put(&mut answer, "bank_type", json!(paid.bank_type));
    put(
        &mut answer,
        "attach",
        json!(order.attach.as_deref().unwrap_or_default()),
    );
    put(&mut answer, "success_time", json!(china_time(paid.at)));
    put(&mut answer, "payer", json!({"openid": paid.openid}));
    put(
        &mut answer,
        "amount",
        json!({
            "total": order.total, "payer_total": paid.payer_total, "currency": "CNY", "payer_currency": "CNY",
        }),
    );
    if paid.payer_total < order.total {
        let coupon = order.total - paid.payer_total;
        put(
            &mut answer,
            "promotion_detail",
            json!([{
                "coupon_id": "109519", "scope": "GLOBAL", "type": "CASH", "amount": coupon, "stock_id": "931386",
                "merchant_contribute": coupon, "currency": "CNY",
            }]),
        );
    }
    answer
}

#[cfg(test)]
mod tests;
