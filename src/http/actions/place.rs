//! `wxpay_order` and its companions for a browser outside WeChat, a QR code, and a mobile app: one way, four kinds.

use serde::Serialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::{Answer, record, scene};
use crate::app::App;
use crate::config::Config;
use crate::domain::caller::Authority;
use crate::domain::ids::{AppId, Openid, OutTradeNo};
use crate::domain::order::{Detail, Goods, NewOrder, OrderKind, OrderOptions, Owner, SettleInfo};
use crate::flows::place_order::place_order;
use crate::http::action::Action;
use crate::http::caller::Caller;
use crate::http::connection::Connection;
use crate::http::failure::Failure;
use crate::http::form::{Form, Rule};
use crate::http::ticket;
use crate::store::requests::About;
use crate::wechat::orders::prepay_member;

/// The longest `detail`, in bytes of JSON (APIv3, "JSAPI order").
const MOST_DETAIL_BYTES: usize = 6144;

/// Places an order. The answer is what the page hands to `WeixinJSBridge`, the app to its SDK; or where the browser goes; or what the QR
/// code holds.
pub(crate) async fn place(
    app: &App,
    caller: &Caller,
    connection: &Connection,
    kind: OrderKind,
    form: Form,
) -> Result<Answer, Failure> {
    if kind == OrderKind::H5 {
        from_our_page(&app.config, caller, connection)?;
    }
    let mut form = ticket::apply(app, caller, form)?;
    let order = read(&app.config, caller, connection, kind, &mut form);
    let order = form.complete(order)?;
    let placed = place_order(app, &caller.authority, &order).await.map_err(Failure::from);
    // The first placing is the order's own row: a normal order costs nothing more.
    if !matches!(&placed, Ok(placed) if placed.first) {
        let about = About::Order {
            number: Some(order.out_trade_no.as_str().to_owned()),
            transaction: None,
        };
        record::request(app, caller, Action::Order(kind), (about, ""), &placed).await;
    }
    let prepay = placed?.prepay;

    let (signer, now) = (&app.wechat.signer, app.clock.now());
    match kind {
        OrderKind::Jsapi => answer(&signer.bridge_params(&order.app_id, &prepay, now)),
        OrderKind::App => answer(&signer.app_params(&order.app_id, &prepay, now)),
        OrderKind::H5 | OrderKind::Native => answer(&json!({prepay_member(kind): prepay})),
    }
}

fn answer(data: &impl Serialize) -> Result<Answer, Failure> {
    let data = to_raw_value(data).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(Answer {
        status: 200,
        data: Some(data),
    })
}

/// An H5 payment starts on a page of the merchant's; WeChat, too, asks where it came from. A server of the merchant's has no page.
fn from_our_page(config: &Config, caller: &Caller, connection: &Connection) -> Result<(), Failure> {
    let ours = |origin: &String| config.cors.allows(origin);
    if matches!(caller.authority, Authority::Operator) || connection.origin.as_ref().is_some_and(ours) {
        Ok(())
    } else {
        Err(Failure::OriginNotAllowed)
    }
}

/// The form of an order of that kind.
pub(crate) fn read(
    config: &Config,
    caller: &Caller,
    connection: &Connection,
    kind: OrderKind,
    form: &mut Form,
) -> Option<NewOrder> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.fixed("notify_url", config.notify_pay.as_str(), "notifyURLPayURL");
    let app_id = app_id(config, caller, form);
    if kind == OrderKind::Jsapi && caller.session_openid.is_some() && app_id.is_some() && app_id != caller.platform_app
    {
        // An openid is one of its app; in another it would be nobody's, or somebody else's.
        form.fault("appid", Rule::Together("offiaccountAppId"));
    }
    let out_trade_no: Option<OutTradeNo> = form.required("out_trade_no", Form::id);
    let description = form.required("description", |form, member| form.text(member, 1..=127));
    let total = form.required("amount", |form, member| {
        form.object(member, |amount| {
            amount.one_of("currency", &["CNY"]);
            amount.required("total", Form::fen)
        })
    });
    let payer = match kind {
        OrderKind::Jsapi => payer(caller, form).map(Some),
        OrderKind::H5 | OrderKind::Native | OrderKind::App => Some(None),
    };
    let scene = scene::read(connection, kind, form);
    let address_of_connection = scene.of_connection;
    let options = options(scene.info, form);
    let read = app_id.zip(out_trade_no).zip(description).zip(total).zip(payer);
    let ((((app_id, out_trade_no), description), total), payer) = read?;
    let owner = match &caller.authority {
        // The merchant's server orders on behalf of the payer, who will ask for it later.
        Authority::Operator => Owner {
            sub: None,
            openid: payer.clone(),
        },
        Authority::Person(person) => person.clone(),
    };
    Some(NewOrder {
        kind,
        out_trade_no,
        app_id,
        description,
        total,
        payer,
        address_of_connection,
        options,
        owner,
    })
}

/// The app that the order is for: by name, by `useServiceAccount`, by the platform's word, else the default. Never one that is not configured.
pub(super) fn app_id(config: &Config, caller: &Caller, form: &mut Form) -> Option<AppId> {
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
    let named = form.configured::<AppId>("appid", &names);
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
    if let Some(own) = &caller.session_openid {
        // What the page says is looked at as everywhere and changes nothing.
        form.object("payer", |payer| payer.id::<Openid>("openid"));
        return Some(own.clone());
    }
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
fn options(scene_info: Option<crate::domain::order::SceneInfo>, form: &mut Form) -> OrderOptions {
    OrderOptions {
        time_expire: form.time("time_expire"),
        attach: form.text("attach", 0..=128).filter(|attach| !attach.is_empty()),
        goods_tag: form.text("goods_tag", 1..=32),
        support_fapiao: form.truth("support_fapiao"),
        detail: whole_detail(form),
        scene_info,
        settle_info: form.object("settle_info", |settle| {
            Some(SettleInfo {
                profit_sharing: settle.truth("profit_sharing"),
            })
        }),
    }
}

fn whole_detail(form: &mut Form) -> Option<Detail> {
    let detail = form.object("detail", |inner| Some(detail(inner)))?;
    let bytes = serde_json::to_vec(&detail).map_or(usize::MAX, |json| json.len());
    if bytes > MOST_DETAIL_BYTES {
        form.fault("detail", Rule::Bytes(MOST_DETAIL_BYTES));
    }
    Some(detail)
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
