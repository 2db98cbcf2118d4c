//! `wxpay_order`, the two order queries, `wxpay_close_order`.

use serde_json::value::to_raw_value;

use super::Answer;
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::{AppId, Openid, OutTradeNo};
use crate::domain::order::{Detail, Goods, NewOrder, OrderKind, OrderOptions, Owner, SceneInfo, SettleInfo, StoreInfo};
use crate::flows::close_order::close_order;
use crate::flows::known::OrderRef;
use crate::flows::place_order::place_order;
use crate::flows::query_order::query_order;
use crate::http::caller::Caller;
use crate::http::failure::Failure;
use crate::http::form::{Form, Rule};
use crate::http::ticket;

/// `wxpay_order`: the answer is what the page hands to `WeixinJSBridge`.
pub(crate) async fn place(app: &App, caller: &Caller, form: Form) -> Result<Answer, Failure> {
    let mut form = ticket::apply(app, caller, form)?;
    form.fixed("mchid", app.config.merchant_id.as_str(), "merchantId");
    form.fixed("notify_url", app.config.notify_pay.as_str(), "notifyURLPayURL");
    let app_id = app_id(app, caller, &mut form);
    let out_trade_no: Option<OutTradeNo> = form.required("out_trade_no", Form::id);
    let description = form.required("description", |form, member| form.text(member, 1..=127));
    let total = form.required("amount", |form, member| {
        form.object(member, |amount| {
            amount.one_of("currency", &["CNY"]);
            amount.required("total", Form::fen)
        })
    });
    let payer = payer(caller, &mut form);
    let options = options(&mut form);
    let read = app_id.zip(out_trade_no).zip(description).zip(total).zip(payer);
    let ((((app_id, out_trade_no), description), total), payer) = form.complete(read)?;

    let owner = match &caller.authority {
        // The merchant's server orders on behalf of the payer, who will ask for it later.
        Authority::Operator => Owner {
            sub: None,
            openid: Some(payer.clone()),
        },
        Authority::Person(person) => person.clone(),
    };
    let order = NewOrder {
        kind: OrderKind::Jsapi,
        out_trade_no,
        app_id,
        description,
        total,
        payer: Some(payer),
        options,
        owner,
    };
    let prepay_id = place_order(app, &caller.authority, &order).await?;
    let params = app
        .wechat
        .signer
        .bridge_params(&order.app_id, &prepay_id, app.clock.now());
    let data = to_raw_value(&params).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(Answer {
        status: 200,
        data: Some(data),
    })
}

/// The app that the order is for: by name, by `useServiceAccount`, by the platform's word, else the default. Never one that is not configured.
fn app_id(app: &App, caller: &Caller, form: &mut Form) -> Option<AppId> {
    let config = &app.config;
    let service = form.truth("useServiceAccount").unwrap_or(false);
    let chosen = if service {
        if config.service_app_id.is_none() {
            form.fault("useServiceAccount", Rule::Equal("service_app_id"));
        }
        config.service_app_id.clone()?
    } else {
        caller.platform_app.clone().unwrap_or_else(|| config.app_id.clone())
    };
    let there = form.has("appid");
    let names: Vec<&str> = config.apps().map(AppId::as_str).collect();
    let named = form.one_of("appid", &names);
    if !there {
        return Some(chosen);
    }
    let named = AppId::parse(named?).ok()?;
    if service && named != chosen {
        form.fault("appid", Rule::Together("useServiceAccount"));
        return None;
    }
    Some(named)
}

/// Who pays: the body's word where the caller may choose it, else whom the caller is known to be.
fn payer(caller: &Caller, form: &mut Form) -> Option<Openid> {
    let there = form.has("payer");
    let named = form.object("payer", |payer| {
        let there = payer.has("openid");
        Some((there, payer.id::<Openid>("openid")))
    });
    match named {
        Some((true, openid)) => {
            if openid.as_ref().is_some_and(|openid| !caller.may_pay_as(openid)) {
                form.fault("payer.openid", Rule::Together("x-wx-openid"));
            }
            openid
        }
        // A payer with a fault has said what is wrong already.
        None if there => None,
        None | Some((false, _)) => {
            let own = caller.openid().cloned();
            if own.is_none() {
                form.fault("payer.openid", Rule::Missing);
            }
            own
        }
    }
}

/// What WeChat takes besides. A fault in any of it is the form's.
fn options(form: &mut Form) -> OrderOptions {
    OrderOptions {
        time_expire: form.time("time_expire"),
        attach: form.text("attach", 0..=128).filter(|attach| !attach.is_empty()),
        goods_tag: form.text("goods_tag", 1..=32),
        support_fapiao: form.truth("support_fapiao"),
        detail: form.object("detail", |inner| Some(detail(inner))),
        scene_info: form.object("scene_info", scene_info),
        settle_info: form.object("settle_info", |settle| {
            Some(SettleInfo {
                profit_sharing: settle.truth("profit_sharing"),
            })
        }),
    }
}

fn detail(detail: &mut Form) -> Detail {
    Detail {
        cost_price: detail.fen_or_zero("cost_price"),
        invoice_id: detail.text("invoice_id", 1..=32),
        goods_detail: detail.list("goods_detail", goods),
    }
}

fn goods(goods: &mut Form) -> Option<Goods> {
    let merchant_goods_id = goods.required("merchant_goods_id", |form, member| form.text(member, 1..=32));
    let wechatpay_goods_id = goods.text("wechatpay_goods_id", 1..=32);
    let goods_name = goods.text("goods_name", 1..=256);
    let quantity = goods.required("quantity", |form, member| form.integer(member, 1..=i64::from(i32::MAX)));
    let unit_price = goods.required("unit_price", Form::fen_or_zero);
    let ((merchant_goods_id, quantity), unit_price) = merchant_goods_id.zip(quantity).zip(unit_price)?;
    Some(Goods {
        merchant_goods_id,
        wechatpay_goods_id,
        goods_name,
        quantity,
        unit_price,
    })
}

fn scene_info(scene: &mut Form) -> Option<SceneInfo> {
    let payer_client_ip = scene.required("payer_client_ip", |form, member| form.text(member, 1..=45));
    let device_id = scene.text("device_id", 1..=32);
    let store_info = scene.object("store_info", |store| {
        let id = store.required("id", |form, member| form.text(member, 1..=32));
        let name = store.text("name", 1..=256);
        let area_code = store.text("area_code", 1..=32);
        let address = store.text("address", 1..=512);
        Some(StoreInfo {
            id: id?,
            name,
            area_code,
            address,
        })
    });
    Some(SceneInfo {
        payer_client_ip: payer_client_ip?,
        device_id,
        store_info,
    })
}

/// `wxpay_query_order_by_out_trade_no`.
pub(crate) async fn query_by_number(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    form.fixed("mchid", app.config.merchant_id.as_str(), "merchantId");
    let number = form.required("out_trade_no", Form::id);
    let number = form.complete(number)?;
    query(app, caller, &OrderRef::Number(number)).await
}

/// `wxpay_query_order_by_transaction_id`.
pub(crate) async fn query_by_transaction(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    form.fixed("mchid", app.config.merchant_id.as_str(), "merchantId");
    let id = form.required("transaction_id", Form::id);
    let id = form.complete(id)?;
    query(app, caller, &OrderRef::Transaction(id)).await
}

async fn query(app: &App, caller: &Caller, name: &OrderRef) -> Result<Answer, Failure> {
    let said = query_order(app, &caller.authority, name).await?;
    Ok(Answer {
        status: said.status,
        data: Some(said.json),
    })
}

/// `wxpay_close_order`: 204, and nothing inside.
pub(crate) async fn close(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    form.fixed("mchid", app.config.merchant_id.as_str(), "merchantId");
    let number = form.required("out_trade_no", Form::id);
    let number = form.complete(number)?;
    close_order(app, &caller.authority, &number).await?;
    Ok(Answer {
        status: 204,
        data: None,
    })
}
