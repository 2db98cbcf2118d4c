//! `wxpay_transfer` and its two queries.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Answer, place, record};
use crate::app::App;
use crate::config::{Config, TransferPolicy};
use crate::domain::caller::Authority;
use crate::domain::ids::{Openid, OutBillNo, TransferBillNo};
use crate::domain::money::Fen;
use crate::domain::order::Owner;
use crate::domain::transfer::NewTransfer;
use crate::flows::transfer::{TransferRef, query_transfer, transfer};
use crate::http::action::Action;
use crate::http::caller::Caller;
use crate::http::failure::Failure;
use crate::http::form::{Form, Rule};
use crate::store::requests::About;
use crate::wechat::transfers::{Purpose, ReportInfo, transfer_body};

/// The least that can be transferred, in fen.
const LEAST: i64 = 30;

/// The most without the receiver's name, in fen: WeChat asks for it from 2000 yuan on.
const MOST_WITHOUT_NAME: i64 = 199_999;

/// The most with it, in fen. The merchant's own limit at WeChat is lower.
const MOST: i64 = 100_000_000_000;

/// The longest name that RSA-OAEP encrypts with a key of 2048 bits, in bytes of UTF-8. Rare characters take four.
const MOST_NAME_BYTES: usize = 214;

/// What was read.
#[derive(Debug)]
pub(crate) struct Asked {
    new: NewTransfer,
    name: Option<SecretString>,
}

/// The form of `wxpay_transfer`.
pub(crate) fn read(config: &Config, caller: &Caller, form: &mut Form) -> Option<Asked> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    let notify_url = config.notify_transfer.as_ref().map(url::Url::as_str);
    form.fixed("notify_url", notify_url.unwrap_or_default(), "transferNotifyUrl");
    let app_id = place::app_id(config, caller, form);
    let out_bill_no: Option<OutBillNo> = form.required("out_bill_no", Form::id);
    let named = form.has("user_name");
    let name = form.text("user_name", 1..=64).map(SecretString::from);
    if name
        .as_ref()
        .is_some_and(|name| name.expose_secret().len() > MOST_NAME_BYTES)
    {
        form.fault("user_name", Rule::Utf8(MOST_NAME_BYTES));
    }
    let most = if named { MOST } else { MOST_WITHOUT_NAME };
    let amount = form.required("transfer_amount", |form, member| form.integer(member, LEAST..=most));
    let openid = form.required("openid", Form::id::<Openid>);
    if openid.as_ref().is_some_and(|openid| !caller.may_pay_as(openid)) {
        form.fault("openid", Rule::Together("x-wx-openid"));
    }
    let scene_id = form.required("transfer_scene_id", |form, member| form.text(member, 1..=36));
    let remark = form.required("transfer_remark", |form, member| form.text(member, 1..=32));
    let report_infos = form.required("transfer_scene_report_infos", |form, member| {
        form.list(member, report_info)
    });
    let perception = form.text("user_recv_perception", 1..=32);
    let style = form.object("user_recv_style", |style| {
        style.required("type", |form, member| {
            form.one_of(member, &["CONFIRM_PAGE", "RED_PACKET"])
        })
    });

    let numbers = app_id.zip(out_bill_no).zip(amount.and_then(Fen::positive)).zip(openid);
    let (((app_id, out_bill_no), amount), openid) = numbers?;
    let purpose = Purpose {
        scene_id: scene_id?,
        remark: remark?,
        report_infos: report_infos?,
        perception,
        style,
    };
    let request = transfer_body((&app_id, &out_bill_no), &openid, amount, purpose, notify_url);
    let owner = match &caller.authority {
        // The merchant's server pays out to the receiver, who will ask for it later.
        Authority::Operator => Owner {
            sub: None,
            openid: Some(openid.clone()),
        },
        Authority::Person(person) => person.clone(),
    };
    let name_digest = name.as_ref().map(|name| digest(&out_bill_no, name));
    Some(Asked {
        new: NewTransfer {
            out_bill_no,
            app_id,
            openid,
            amount,
            request,
            name_digest,
            owner,
        },
        name,
    })
}

/// Tells one name from another when the same number comes again. The number makes it another digest for each transfer.
fn digest(number: &OutBillNo, name: &SecretString) -> String {
    let digest = Sha256::digest(format!("{number}\n{}", name.expose_secret()));
    digest
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn report_info(info: &mut Form) -> Option<ReportInfo> {
    let info_type = info.required("info_type", |form, member| form.text(member, 1..=15));
    let info_content = info.required("info_content", |form, member| form.text(member, 1..=32));
    Some(ReportInfo {
        info_type: info_type?,
        info_content: info_content?,
    })
}

/// `wxpay_transfer`: accepted is not yet paid. The answer is WeChat's with `mchId`, as the page's `requestMerchantTransfer` takes it.
pub(crate) async fn create(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let person = matches!(caller.authority, Authority::Person(_));
    if person && app.config.transfer_policy == TransferPolicy::Operator {
        return Err(Failure::TransferForbidden);
    }
    let asked = read(&app.config, caller, &mut form);
    let Asked { new, name } = form.complete(asked)?;
    let done = transfer(app, &caller.authority, &new, name.as_ref())
        .await
        .map_err(Failure::from);
    let about = About::Transfer(new.out_bill_no.as_str().to_owned());
    record::request(app, caller, Action::Transfer, (about, ""), &done).await;
    let done = done?;
    let mut members: Map<String, Value> = read_back(&done.said.json)?;
    if let Some(package) = done.package_info {
        members.insert("package_info".to_owned(), package.into());
    }
    members.insert("mchId".to_owned(), app.config.merchant_id.as_str().into());
    let data = to_raw_value(&members).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(Answer {
        status: done.said.status,
        data: Some(data),
    })
}

fn read_back(json: &RawValue) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(json.get()).map_err(|error| Failure::Internal(error.to_string()))
}

/// The form of `wxpay_transfer_bill_query`.
pub(crate) fn number(config: &Config, form: &mut Form) -> Option<OutBillNo> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.required("out_bill_no", Form::id)
}

/// The form of `wxpay_transfer_bill_query_by_no`.
pub(crate) fn bill(config: &Config, form: &mut Form) -> Option<TransferBillNo> {
    form.fixed("mchid", config.merchant_id.as_str(), "merchantId");
    form.required("transfer_bill_no", Form::id)
}

/// `wxpay_transfer_bill_query`.
pub(crate) async fn query_by_number(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let number = number(&app.config, &mut form);
    let number = form.complete(number)?;
    query(app, caller, &TransferRef::Number(number)).await
}

/// `wxpay_transfer_bill_query_by_no`.
pub(crate) async fn query_by_bill(app: &App, caller: &Caller, mut form: Form) -> Result<Answer, Failure> {
    let bill = bill(&app.config, &mut form);
    let bill = form.complete(bill)?;
    query(app, caller, &TransferRef::Bill(bill)).await
}

async fn query(app: &App, caller: &Caller, name: &TransferRef) -> Result<Answer, Failure> {
    let said = query_transfer(app, &caller.authority, name).await?;
    Ok(Answer {
        status: said.status,
        data: Some(said.json),
    })
}
