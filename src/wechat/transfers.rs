//! The endpoints of merchant transfers: `/v3/fund-app/mch-transfer/transfer-bills`.

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::{Call, Client, Repeat, Said, segment};
use super::error::WechatError;
use super::sensitive::Sealer;
use crate::domain::ids::{AppId, Openid, OutBillNo, TransferBillNo};
use crate::domain::money::Fen;

const BILLS: &str = "/v3/fund-app/mch-transfer/transfer-bills";

/// The body that asks for a transfer. The receiver's name is no part of it: it is added, encrypted, when it is sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct TransferRequest {
    pub(crate) appid: String,
    pub(crate) out_bill_no: String,
    pub(crate) transfer_scene_id: String,
    pub(crate) openid: String,
    /// Another ciphertext every time; empty in what is stored and compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    /// Fen.
    pub(crate) transfer_amount: i64,
    /// Shown to the receiver; 32 characters.
    pub(crate) transfer_remark: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_recv_perception: Option<String>,
    pub(crate) transfer_scene_report_infos: Vec<ReportInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_recv_style: Option<ReceiveStyle>,
}

/// What the scene of a transfer has to tell.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ReportInfo {
    /// A text that the scene prescribes; 15 characters.
    pub(crate) info_type: String,
    /// 32 characters.
    pub(crate) info_content: String,
}

/// How the receiver sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ReceiveStyle {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// What a transfer is made of beside its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    pub(crate) scene_id: String,
    pub(crate) remark: String,
    pub(crate) report_infos: Vec<ReportInfo>,
    pub(crate) perception: Option<String>,
    pub(crate) style: Option<String>,
}

/// The bytes that are stored and compared. The same transfer always has the same.
pub(crate) fn transfer_body(
    (app_id, number): (&AppId, &OutBillNo),
    openid: &Openid,
    amount: Fen,
    purpose: Purpose,
    notify_url: Option<&str>,
) -> String {
    let request = TransferRequest {
        appid: app_id.as_str().to_owned(),
        out_bill_no: number.as_str().to_owned(),
        transfer_scene_id: purpose.scene_id,
        openid: openid.as_str().to_owned(),
        user_name: None,
        transfer_amount: amount.get(),
        transfer_remark: purpose.remark,
        notify_url: notify_url.map(str::to_owned),
        user_recv_perception: purpose.perception,
        transfer_scene_report_infos: purpose.report_infos,
        user_recv_style: purpose.style.map(|kind| ReceiveStyle { kind }),
    };
    serde_json::to_string(&request).expect("texts and numbers always serialise")
}

/// What WeChat says of a transfer, in an answer or a notification.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TransferSaid {
    /// Not in the answer to a new one. Spelled both ways.
    #[serde(default, alias = "mchid")]
    pub(crate) mch_id: Option<String>,
    pub(crate) out_bill_no: String,
    pub(crate) transfer_bill_no: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) appid: Option<String>,
    /// Fen.
    #[serde(default)]
    pub(crate) transfer_amount: Option<i64>,
    #[serde(default)]
    pub(crate) openid: Option<String>,
    #[serde(default)]
    pub(crate) fail_reason: Option<String>,
    /// When it came into its state; not in the answer to a new one.
    #[serde(default)]
    pub(crate) update_time: Option<String>,
    /// Only in the answer to a new one that waits for its receiver.
    #[serde(default)]
    pub(crate) package_info: Option<String>,
}

/// Asks for a transfer. `name` is the receiver's, and what it is encrypted with. A 200 says that it was accepted, not that anything was
/// paid.
pub(crate) async fn create(
    client: &Client,
    request: &str,
    name: Option<(&str, &Sealer)>,
) -> Result<Said<TransferSaid>, WechatError> {
    let named;
    let (body, serial) = match name {
        None => (request, None),
        Some((name, sealer)) => {
            let cannot = |error: String| WechatError::NeverSent(error);
            let mut request: TransferRequest =
                serde_json::from_str(request).map_err(|error| cannot(error.to_string()))?;
            request.user_name = Some(sealer.encrypt(name).map_err(|error| cannot(error.to_string()))?);
            named = serde_json::to_string(&request).map_err(|error| cannot(error.to_string()))?;
            (named.as_str(), Some(sealer.id().to_owned()))
        }
    };
    let call = Call {
        method: Method::POST,
        target: BILLS.to_owned(),
        body,
        repeat: Repeat::AskFirst,
        serial,
    };
    client.call(&call).await?.read()
}

/// Asks what became of a transfer.
pub(crate) async fn query(client: &Client, number: &OutBillNo) -> Result<Said<TransferSaid>, WechatError> {
    client.call(&query_call(number)).await?.read()
}

/// The same, for someone who has to answer soon.
pub(crate) async fn query_within(
    client: &Client,
    number: &OutBillNo,
    budget: Duration,
) -> Result<Said<TransferSaid>, WechatError> {
    client.call_within(&query_call(number), budget).await?.read()
}

/// Asks for a transfer by WeChat's number.
pub(crate) async fn query_by_no(client: &Client, number: &TransferBillNo) -> Result<Said<TransferSaid>, WechatError> {
    let target = format!("{BILLS}/transfer-bill-no/{}", segment(number.as_str()));
    client.call(&read(target)).await?.read()
}

fn query_call(number: &OutBillNo) -> Call<'static> {
    read(format!("{BILLS}/out-bill-no/{}", segment(number.as_str())))
}

fn read(target: String) -> Call<'static> {
    Call {
        method: Method::GET,
        target,
        body: "",
        repeat: Repeat::Harmless,
        serial: None,
    }
}
