//! A merchant transfer: the intent is written, WeChat is asked, the outcome is written with its event.
//!
//! What became of a transfer is never guessed: anything but a verified yes is followed by asking for its number. A retry keeps that
//! number; a new one could pay twice.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::settle::Settled;
use super::sweep::ABSENCE_BELIEVED_MS;
use super::{INTENT_GRACE_MS, prove, settle_transfer};
use crate::app::App;
use crate::domain::caller::Authority;
use crate::domain::ids::{Openid, OutBillNo, TransferBillNo};
use crate::domain::order::Owner;
use crate::domain::transfer::{NewTransfer, Transfer, TransferState};
use crate::store::error::StoreError;
use crate::store::transfers;
use crate::wechat::client::Said;
use crate::wechat::error::{Refusal, Unknown, WechatError};
use crate::wechat::transfers::{self as wechat_transfers, TransferRequest, TransferSaid};

/// How long to ask what became of a transfer whose answer got lost, before the caller is told that it is not known.
const FOLLOW_UP: Duration = Duration::from_secs(3);

/// Why a transfer was not accepted, or cannot be seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// WeChat.
    #[error(transparent)]
    Wechat(#[from] WechatError),
    /// It belongs to somebody else.
    #[error("the transfer belongs to somebody else")]
    Forbidden,
    /// The number was used with other parameters.
    #[error("the number was used with other parameters")]
    ParamsMismatch,
}

/// What WeChat says of a transfer, and what its receiver confirms with while it waits for that.
#[derive(Debug)]
pub(crate) struct Transferred {
    pub(crate) said: Said<TransferSaid>,
    pub(crate) package_info: Option<String>,
}

/// Asks for a transfer, or finds it asked for. `name` is the receiver's; it is encrypted for WeChat and kept nowhere.
pub(crate) async fn transfer(
    app: &App,
    authority: &Authority,
    new: &NewTransfer,
    name: Option<&SecretString>,
) -> Result<Transferred, TransferError> {
    let number = &new.out_bill_no;
    let _turn = super::turn(app, number.as_str()).await?;
    let said = match intend(app, authority, new).await? {
        Intent::Ask(attempt) => ask(app, number, &attempt, name).await?,
        Intent::Accepted => settled(app, number, wechat_transfers::query(&app.wechat, number).await?).await?,
    };
    let package_info = package(app, number, &said, name).await?;
    Ok(Transferred { said, package_info })
}

enum Intent {
    /// WeChat is to be asked: it has not heard of the transfer, as far as is known.
    Ask(Attempt),
    /// WeChat has it.
    Accepted,
}

/// One attempt at a transfer.
struct Attempt {
    /// The body, without the receiver's name.
    request: String,
    /// When it is made, Unix milliseconds.
    at: i64,
    /// When the one before it was made, if nobody knows what became of that.
    earlier: Option<i64>,
}

async fn intend(app: &App, authority: &Authority, new: &NewTransfer) -> Result<Intent, TransferError> {
    let number = &new.out_bill_no;
    let now = app.clock.now_ms();
    let ask_at = now.saturating_add(INTENT_GRACE_MS);
    let mut tx = app.db.begin().await?;
    if transfers::insert_intent(tx.conn(), new, now, ask_at).await? {
        tx.commit().await?;
        let request = new.request.clone();
        return Ok(Intent::Ask(Attempt {
            request,
            at: now,
            earlier: None,
        }));
    }
    let held = transfers::find(tx.conn(), number)
        .await?
        .ok_or(TransferError::ParamsMismatch)?;
    if !authority.may_touch(&held.owner) {
        return Err(TransferError::Forbidden);
    }
    if held.name_digest != new.name_digest || !same_question(&held, new) {
        return Err(TransferError::ParamsMismatch);
    }
    if transfers::asked_for(tx.conn(), number, now, ask_at).await? {
        tx.commit().await?;
        return Ok(Intent::Ask(Attempt {
            request: held.request,
            at: now,
            earlier: (held.state == TransferState::Created).then_some(held.asked_for_at),
        }));
    }
    Ok(Intent::Accepted)
}

/// Whether this is the question that was asked before. Where callbacks go is a setting of ours, not part of the question.
fn same_question(held: &Transfer, new: &NewTransfer) -> bool {
    let question = |request: &str| {
        let mut question: TransferRequest = serde_json::from_str(request).ok()?;
        question.notify_url = None;
        serde_json::to_string(&question).ok()
    };
    let held = question(&held.request);
    held.is_some() && held == question(&new.request)
}

/// Asks WeChat and writes down what it says.
async fn ask(
    app: &App,
    number: &OutBillNo,
    attempt: &Attempt,
    name: Option<&SecretString>,
) -> Result<Said<TransferSaid>, TransferError> {
    crate::crash::boundary().await;
    let said = create(app, &attempt.request, name).await;
    crate::crash::boundary().await;
    match said {
        Ok(said) => settled(app, number, said).await,
        Err(WechatError::Refused(refusal)) if refusal.proven => follow_refusal(app, number, attempt, refusal).await,
        // Nothing was sent, an unsigned no, or no time left: the row waits for a signed word.
        Err(error @ (WechatError::Busy | WechatError::NeverSent(_) | WechatError::Refused(_))) => Err(error.into()),
        Err(error) if error.timed_out() => Err(error.into()),
        Err(error @ (WechatError::OutcomeUnknown(_) | WechatError::NotGenuine(_))) => {
            match wechat_transfers::query_within(&app.wechat, number, FOLLOW_UP).await {
                Ok(said) => settled(app, number, said).await,
                Err(_) => Err(error.into()),
            }
        }
    }
}

/// The question itself; the receiver's name is encrypted with the key that counts now.
async fn create(app: &App, request: &str, name: Option<&SecretString>) -> Result<Said<TransferSaid>, WechatError> {
    match name {
        None => wechat_transfers::create(&app.wechat, request, None).await,
        Some(name) => {
            let sealer = app.wechat.sealer().await?;
            wechat_transfers::create(&app.wechat, request, Some((name.expose_secret(), &sealer))).await
        }
    }
}

/// A signed no to this attempt. An earlier one may have been heard: only "no such transfer" ends it.
async fn follow_refusal(
    app: &App,
    number: &OutBillNo,
    attempt: &Attempt,
    refusal: Box<Refusal>,
) -> Result<Said<TransferSaid>, TransferError> {
    if refusal.is("ALREADY_EXISTS") && attempt.earlier.is_none() {
        // WeChat has another transfer of that number, made elsewhere: this one it never accepted.
        settle_transfer::made_elsewhere(app, number).await?;
        return Err(WechatError::Refused(refusal).into());
    }
    match wechat_transfers::query_within(&app.wechat, number, FOLLOW_UP).await {
        Ok(said) => match settled(app, number, said).await {
            Err(TransferError::ParamsMismatch) => Err(WechatError::Refused(refusal).into()),
            settled => settled,
        },
        // "Too fast" may have been accepted all the same, a moment later, and so may an earlier attempt; the sweep asks again.
        Err(WechatError::Refused(absent))
            if absent.proves_absence()
                && !refusal.too_fast()
                && attempt
                    .earlier
                    .is_none_or(|earlier| attempt.at.saturating_sub(earlier) >= ABSENCE_BELIEVED_MS) =>
        {
            settle_transfer::never_accepted(app, number, attempt.at).await?;
            Err(WechatError::Refused(refusal).into())
        }
        Err(_) => Err(WechatError::Refused(refusal).into()),
    }
}

/// Settles what WeChat answers about this number.
///
/// # Errors
/// [`TransferError::ParamsMismatch`] when the transfer that WeChat has of this number is not this one.
async fn settled(app: &App, number: &OutBillNo, said: Said<TransferSaid>) -> Result<Said<TransferSaid>, TransferError> {
    let said = same(number, said)?;
    let settled = settle_transfer::transfer(app, &prove::answered(&said), None).await?;
    if settled == Settled::Anomaly && is_another(app, number).await? {
        return Err(TransferError::ParamsMismatch);
    }
    Ok(said)
}

/// Whether this one was given up because WeChat has another one of its number.
async fn is_another(app: &App, number: &OutBillNo) -> Result<bool, StoreError> {
    let held = found(app, number).await?;
    Ok(held.is_some_and(|held| held.state == TransferState::Rejected))
}

async fn found(app: &App, number: &OutBillNo) -> Result<Option<Transfer>, StoreError> {
    let mut conn = app.db.read().await?;
    transfers::find(&mut conn, number).await
}

/// What the receiver confirms with, while they are to confirm.
///
/// WeChat says it in the answer to a new transfer that waits, and in no query. When that answer was lost, or the transfer waited for
/// something else first, the same question is asked again: that makes no second transfer.
async fn package(
    app: &App,
    number: &OutBillNo,
    said: &Said<TransferSaid>,
    name: Option<&SecretString>,
) -> Result<Option<String>, TransferError> {
    if said.content.state != TransferState::WaitUserConfirm.as_str() {
        return Ok(None);
    }
    if said.content.package_info.is_some() {
        return Ok(said.content.package_info.clone());
    }
    let Some(held) = found(app, number).await? else {
        return Ok(None);
    };
    if held.package_info.is_some() {
        return Ok(held.package_info);
    }
    let again = match create(app, &held.request, name).await {
        Ok(again) => settled(app, number, again).await?,
        Err(error) => {
            tracing::warn!(transfer.out_bill_no = number.as_str(), %error, "what transfer {number} is confirmed with is not known yet");
            return Ok(None);
        }
    };
    Ok(again.content.package_info)
}

/// A signature covers the answer, not the question.
fn same(number: &OutBillNo, said: Said<TransferSaid>) -> Result<Said<TransferSaid>, WechatError> {
    if said.content.out_bill_no == number.as_str() {
        Ok(said)
    } else {
        Err(WechatError::OutcomeUnknown(Unknown::Unreadable(
            "it is of another transfer".to_owned(),
        )))
    }
}

/// What names a transfer.
#[derive(Debug)]
pub(crate) enum TransferRef {
    /// The merchant's number.
    Number(OutBillNo),
    /// WeChat's number.
    Bill(TransferBillNo),
}

/// Asks WeChat for a transfer that the caller may see: who asked for it, its receiver, and operators.
pub(crate) async fn query_transfer(
    app: &App,
    authority: &Authority,
    name: &TransferRef,
) -> Result<Said<TransferSaid>, TransferError> {
    if let TransferRef::Number(number) = name {
        let known = found(app, number).await?;
        if known.is_some_and(|known| !may_see(authority, &known)) {
            return Err(TransferError::Forbidden);
        }
    }
    let said = match name {
        TransferRef::Number(number) => {
            same(number, wechat_transfers::query(&app.wechat, number).await?).map_err(TransferError::from)?
        }
        TransferRef::Bill(bill) => {
            let said = wechat_transfers::query_by_no(&app.wechat, bill).await?;
            if said.content.transfer_bill_no != bill.as_str() {
                return Err(
                    WechatError::OutcomeUnknown(Unknown::Unreadable("it is of another transfer".to_owned())).into(),
                );
            }
            said
        }
    };
    let known = match OutBillNo::parse(&*said.content.out_bill_no) {
        Ok(number) => found(app, &number).await?,
        Err(_) => None,
    };
    let is_ours = match known {
        Some(known) if !may_see(authority, &known) => return Err(TransferError::Forbidden),
        Some(known) => {
            let settled = settle_transfer::transfer(app, &prove::answered(&said), None).await?;
            settled != Settled::Anomaly || !is_another(app, &known.out_bill_no).await?
        }
        None => false,
    };
    // Made elsewhere, whoever named its number here: its receiver may see it.
    let openid = said.content.openid.as_deref();
    let receiver = Owner {
        sub: None,
        openid: openid.and_then(|openid| Openid::parse(openid).ok()),
    };
    if is_ours || authority.may_touch(&receiver) {
        Ok(said)
    } else {
        Err(TransferError::Forbidden)
    }
}

fn may_see(authority: &Authority, known: &Transfer) -> bool {
    let receiver = Owner {
        sub: None,
        openid: Some(known.openid.clone()),
    };
    authority.may_touch(&known.owner) || authority.may_touch(&receiver)
}
