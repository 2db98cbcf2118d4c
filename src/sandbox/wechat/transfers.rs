//! The rules of paying money out: a transfer that its receiver confirms in WeChat.

mod bill;
mod receiver;
mod scenes;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::bill::OVERDUE;
pub(crate) use self::bill::{CONFIRM_WITHIN, Transfer};
pub use self::bill::{TransferEnd, TransferStart, TransferState, TransferView};
pub(crate) use self::scenes::IDS as SCENE_IDS;
use super::books::Books;
use super::buyer::Impossible;
use super::orders::check_notify_url;
use super::refusal::{OUT_OF_RANGE, Refusal};
use super::schema::{self, integer, optional_text, text};
use crate::sandbox::{
    Keys,
    clock::{china_digits, china_time, china_time_ms},
    crypto::{encrypt, random_digits, random_text},
    put,
};

/// The least that can be transferred, in fen.
const LEAST: i64 = 30;
/// From this amount on, in fen, the receiver's name is required.
const NAME_FROM: i64 = 200_000;
/// The most that a red packet holds, in fen.
const RED_PACKET_MOST: i64 = 20_000;

/// What became of an application for a transfer.
pub(crate) struct TransferAccepted {
    pub(crate) answer: Value,
    /// Whether this application made the transfer; a repetition only finds it.
    pub(crate) is_new: bool,
}

impl Books {
    /// `POST /v3/fund-app/mch-transfer/transfer-bills`. `name` is what `user_name` decrypts to; the encrypted text
    /// is another one each time, so that what is asked is compared with the name itself.
    pub(crate) fn transfer(
        &mut self,
        mut body: Value,
        name: Option<String>,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<TransferAccepted, Refusal> {
        check_meaning(&body, keys)?;
        if let Some(name) = &name {
            put(&mut body, "user_name", json!(name));
        }
        let out_bill_no = text(&body, "/out_bill_no").to_owned();
        if let Some(known) = self.transfers.get(&out_bill_no) {
            if known.params != body {
                let message = "商户单号已存在：请求重入时，参数与首次请求不一致";
                return Err(Refusal::new(400, "ALREADY_EXISTS", message));
            }
            return Ok(TransferAccepted {
                answer: created(known),
                is_new: false,
            });
        }
        let amount = integer(&body, "/transfer_amount");
        if let Some(balance) = &mut self.transfer_balance {
            if *balance < amount {
                return Err(Refusal::new(
                    403,
                    "NOT_ENOUGH",
                    "商户运营账户资金不足，请充值后原单重试",
                ));
            }
            *balance -= amount;
        }
        let transfer = Transfer {
            bill_no: format!("1330000{}{}", china_digits(now), random_digits(19)),
            appid: text(&body, "/appid").to_owned(),
            openid: text(&body, "/openid").to_owned(),
            amount,
            remark: text(&body, "/transfer_remark").to_owned(),
            user_name: name,
            notify_url: optional_text(&body, "/notify_url"),
            package_info: format!("{}==", random_text(86)),
            state: self.transfer_start.state(),
            fail_reason: None,
            created: now,
            updated: now,
            params: body,
            out_bill_no: out_bill_no.clone(),
        };
        let answer = created(&transfer);
        self.by_transfer_bill
            .insert(transfer.bill_no.clone(), out_bill_no.clone());
        self.transfers.insert(out_bill_no, transfer);
        Ok(TransferAccepted { answer, is_new: true })
    }

    /// `GET /v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{}`.
    pub(crate) fn query_transfer(&self, out_bill_no: &str, keys: &Keys) -> Result<Value, Refusal> {
        check_number("out_bill_no", out_bill_no, 32)?;
        let transfer = self.transfers.get(out_bill_no).ok_or_else(no_such_transfer)?;
        Ok(queried(transfer, keys))
    }

    /// `GET /v3/fund-app/mch-transfer/transfer-bills/transfer-bill-no/{}`.
    pub(crate) fn query_transfer_by_bill(&self, bill_no: &str, keys: &Keys) -> Result<Value, Refusal> {
        check_number("transfer_bill_no", bill_no, 64)?;
        let number = self.by_transfer_bill.get(bill_no);
        let transfer = number.and_then(|number| self.transfers.get(number));
        Ok(queried(transfer.ok_or_else(no_such_transfer)?, keys))
    }

    /// `POST /v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{}/cancel`; gives the answer and whether this
    /// request was the one that took it back.
    pub(crate) fn cancel_transfer(&mut self, out_bill_no: &str, now: Timestamp) -> Result<(Value, bool), Refusal> {
        check_number("out_bill_no", out_bill_no, 32)?;
        // The error table of this endpoint knows no NOT_FOUND.
        let unknown = || Refusal::invalid("转账单不存在");
        let transfer = self.transfers.get_mut(out_bill_no).ok_or_else(unknown)?;
        let moved = transfer.state.is_unconfirmed();
        if moved {
            transfer.move_to(TransferState::Canceling, None, now);
        }
        match transfer.state {
            TransferState::Canceling | TransferState::Cancelled => Ok((cancelled(transfer), moved)),
            _ => Err(Refusal::invalid("当前单据状态不允许撤销")),
        }
    }

    /// One step on the way that nothing disturbs; gives the transfer as it is afterwards.
    pub(crate) fn step_transfer(&mut self, out_bill_no: &str, now: Timestamp) -> Result<Transfer, Impossible> {
        let state = self.transfer_of(out_bill_no)?.state;
        self.end_or_move(out_bill_no, state.next(), None, now)
    }

    /// The receiver confirms; gives the transfer as it is afterwards.
    pub(crate) fn confirm_transfer(&mut self, out_bill_no: &str, now: Timestamp) -> Result<Transfer, Impossible> {
        match self.transfer_of(out_bill_no)?.state {
            TransferState::WaitUserConfirm | TransferState::Transfering => {
                self.end_transfer(out_bill_no, &TransferEnd::Success, now)
            }
            _ => Err(Impossible::WrongTransferState),
        }
    }

    /// The transfer ends; gives it as it is afterwards.
    pub(crate) fn end_transfer(
        &mut self,
        out_bill_no: &str,
        end: &TransferEnd,
        now: Timestamp,
    ) -> Result<Transfer, Impossible> {
        let state = self.transfer_of(out_bill_no)?.state;
        let possible = match end {
            // The receiver may have been faster than a cancellation that was accepted.
            TransferEnd::Success => matches!(
                state,
                TransferState::WaitUserConfirm | TransferState::Transfering | TransferState::Canceling
            ),
            TransferEnd::Fail(_) => true,
            TransferEnd::Cancelled => state == TransferState::Canceling,
        };
        if !possible {
            return Err(Impossible::WrongTransferState);
        }
        let reason = match end {
            TransferEnd::Fail(reason) => Some(reason.clone()),
            TransferEnd::Success | TransferEnd::Cancelled => None,
        };
        self.end_or_move(out_bill_no, end.state(), reason, now)
    }

    /// Ends what nobody confirmed in time; gives what ended just now.
    pub(crate) fn end_overdue_transfers(&mut self, now: Timestamp) -> Vec<Transfer> {
        let overdue: Vec<String> = self
            .transfers
            .values()
            .filter(|transfer| transfer.is_overdue(now))
            .map(|transfer| transfer.out_bill_no.clone())
            .collect();
        let end = TransferEnd::Fail(OVERDUE.to_owned());
        overdue
            .iter()
            .filter_map(|number| self.end_transfer(number, &end, now).ok())
            .collect()
    }

    fn transfer_of(&mut self, out_bill_no: &str) -> Result<&mut Transfer, Impossible> {
        self.transfers.get_mut(out_bill_no).ok_or(Impossible::NoSuchTransfer)
    }

    fn end_or_move(
        &mut self,
        out_bill_no: &str,
        state: TransferState,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Transfer, Impossible> {
        let transfer = self.transfer_of(out_bill_no)?;
        if transfer.state.is_final() {
            return Err(Impossible::WrongTransferState);
        }
        transfer.move_to(state, reason, now);
        let moved = transfer.clone();
        let goes_back = matches!(state, TransferState::Fail | TransferState::Cancelled);
        if let (true, Some(balance)) = (goes_back, &mut self.transfer_balance) {
            *balance += moved.amount;
        }
        Ok(moved)
    }
}

/// The members of a body; everything else is looked at when the name is in the clear.
pub(crate) fn check_members(body: &Value) -> Result<(), Refusal> {
    schema::check(body, schema::TRANSFER)
}

/// What the table of members cannot say.
fn check_meaning(body: &Value, keys: &Keys) -> Result<(), Refusal> {
    let appid = text(body, "/appid");
    if !keys.owns_appid(appid) {
        return Err(Refusal::member("/appid", &json!(appid), "not an app of this merchant"));
    }
    check_notify_url(body)?;
    let amount = integer(body, "/transfer_amount");
    if amount < LEAST {
        let issue = format!("must be at least {LEAST}");
        return Err(Refusal::member("/transfer_amount", &json!(amount), &issue).numbered(OUT_OF_RANGE));
    }
    if amount >= NAME_FROM && body.get("user_name").is_none() {
        let issue = format!("required from {NAME_FROM} fen");
        return Err(Refusal::member("/user_name", &Value::Null, &issue));
    }
    if text(body, "/user_recv_style/type") == "RED_PACKET" && amount > RED_PACKET_MOST {
        return Err(Refusal::invalid("红包样式单笔金额不能超过200元"));
    }
    scenes::check(body)
}

/// A number in the path.
fn check_number(field: &str, number: &str, longest: usize) -> Result<(), Refusal> {
    let fits = number.len() <= longest && number.chars().all(|c| c.is_ascii_alphanumeric());
    if fits {
        Ok(())
    } else {
        Err(Refusal::address(
            "url",
            field,
            number,
            "只能由数字、大小写字母组成，且不超过最大长度",
        ))
    }
}

fn no_such_transfer() -> Refusal {
    Refusal::new(404, "NOT_FOUND", "记录不存在")
}

fn created(transfer: &Transfer) -> Value {
    let mut answer = json!({
        "out_bill_no": transfer.out_bill_no,
        "transfer_bill_no": transfer.bill_no,
        "create_time": china_time_ms(transfer.created),
        "state": transfer.state.as_str(),
    });
    if transfer.state == TransferState::WaitUserConfirm {
        put(&mut answer, "package_info", json!(transfer.package_info));
    }
    if let Some(reason) = &transfer.fail_reason {
        put(&mut answer, "fail_reason", json!(reason));
    }
    answer
}

/// The answer of a query. The receiver's name is encrypted for the merchant, whose certificate WeChat knows.
fn queried(transfer: &Transfer, keys: &Keys) -> Value {
    let mut answer = json!({
        "mch_id": keys.mchid(),
        "out_bill_no": transfer.out_bill_no,
        "transfer_bill_no": transfer.bill_no,
        "appid": transfer.appid,
        "state": transfer.state.as_str(),
        "transfer_amount": transfer.amount,
        "transfer_remark": transfer.remark,
        "openid": transfer.openid,
        "create_time": china_time_ms(transfer.created),
        "update_time": china_time_ms(transfer.updated),
    });
    if let Some(name) = &transfer.user_name {
        put(&mut answer, "user_name", json!(encrypt(keys.merchant_public(), name)));
    }
    if let Some(reason) = &transfer.fail_reason {
        put(&mut answer, "fail_reason", json!(reason));
    }
    answer
}

fn cancelled(transfer: &Transfer) -> Value {
    json!({
        "out_bill_no": transfer.out_bill_no,
        "transfer_bill_no": transfer.bill_no,
        "state": transfer.state.as_str(),
        "update_time": china_time_ms(transfer.updated),
    })
}

/// The transfer as its callback announces it, in whole seconds.
pub(crate) fn announcement(transfer: &Transfer, mchid: &str) -> Value {
    let mut content = json!({
        "out_bill_no": transfer.out_bill_no,
        "transfer_bill_no": transfer.bill_no,
        "state": transfer.state.as_str(),
        "mch_id": mchid,
        "transfer_amount": transfer.amount,
        "openid": transfer.openid,
        "create_time": china_time(transfer.created),
        "update_time": china_time(transfer.updated),
    });
    if let Some(reason) = &transfer.fail_reason {
        put(&mut content, "fail_reason", json!(reason));
    }
    content
}

#[cfg(test)]
mod tests;
