//! What can be settled by asking WeChat is settled, by the same door as everything else that it says.

use tokio::task::JoinSet;

use super::ReconcileError;
use crate::app::App;
use crate::domain::ids::{OutBillNo, OutRefundNo, OutTradeNo};
use crate::domain::reconciliation::{DifferenceKind, Span, Subject};
use crate::flows::known::{self, OrderRef};
use crate::flows::{prove, settle, settle_refund, settle_transfer};
use crate::store::error::StoreError;
use crate::store::reconciliation::{self as books, Difference};
use crate::store::refunds;
use crate::wechat::error::WechatError;
use crate::wechat::{refunds as wechat_refunds, transfers as wechat_transfers};

/// Questions at a time.
const AT_ONCE: i64 = 20;

/// Why a difference was not settled.
#[derive(Debug, thiserror::Error)]
enum NotSettled {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Wechat(#[from] WechatError),
}

/// Asks about everything in which the books may only be behind. What they do not know, or have of another amount, no answer settles.
pub(super) async fn ask(app: &App, run: &str) -> Result<(), ReconcileError> {
    let mut after = None;
    loop {
        let (page, next) = books::differences(&app.db, run, after, AT_ONCE).await?;
        let mut asked = JoinSet::new();
        for difference in page {
            let app = app.clone();
            asked.spawn(async move {
                if let Err(error) = settle(&app, &difference).await {
                    let (subject, number) = (difference.subject.as_str(), &difference.number);
                    tracing::warn!(%error, subject, number, "{subject} {number} could not be settled by asking");
                }
            });
        }
        while asked.join_next().await.is_some() {}
        match next {
            Some(place) => after = Some(place),
            None => return Ok(()),
        }
    }
}

async fn settle(app: &App, difference: &Difference) -> Result<(), NotSettled> {
    let Some(here) = &difference.here else { return Ok(()) };
    match (difference.subject, difference.kind) {
        (Subject::Payment, DifferenceKind::State) => {
            let Ok(number) = OutTradeNo::parse(&*here.number) else {
                return Ok(());
            };
            let said = known::ask(app, &OrderRef::Number(number)).await?;
            settle::transaction(app, &prove::answered(&said), None).await?;
        }
        (Subject::Refund, DifferenceKind::Refund) => {
            let Ok(number) = OutRefundNo::parse(&*here.number) else {
                return Ok(());
            };
            refund(app, &number).await?;
        }
        (Subject::Transfer, DifferenceKind::State) => {
            let Some(Ok(number)) = here.of.as_deref().map(OutBillNo::parse) else {
                return Ok(());
            };
            let said = wechat_transfers::query(&app.wechat, &number).await?;
            if said.content.out_bill_no == number.as_str() {
                settle_transfer::transfer(app, &prove::answered(&said), None).await?;
            }
        }
        (Subject::Payment | Subject::Transfer, DifferenceKind::Amount | DifferenceKind::Refund)
        | (Subject::Refund, DifferenceKind::Amount | DifferenceKind::State)
        | (_, DifferenceKind::MissingHere | DifferenceKind::MissingThere) => {}
    }
    Ok(())
}

async fn refund(app: &App, number: &OutRefundNo) -> Result<(), NotSettled> {
    let moves = {
        let mut conn = app.db.read().await?;
        refunds::find(&mut conn, number).await?.map(|refund| refund.moves)
    };
    let said = wechat_refunds::query(&app.wechat, number).await?;
    if said.content.out_refund_no == number.as_str() {
        settle_refund::answered(app, &prove::answered(&said), moves).await?;
    }
    Ok(())
}

/// Of a refund that only a callback told of, WeChat has not said when it was applied for: it is asked, where that may be the day.
pub(super) async fn date_refunds(app: &App, day: Span) -> Result<(), ReconcileError> {
    for number in books::undated_refunds(&app.db, day).await? {
        match refund(app, &number).await {
            Ok(()) => {}
            // Then it counts when it was heard of, and is missed there.
            Err(NotSettled::Wechat(WechatError::Refused(refusal))) if refusal.proves_absence() => {}
            Err(NotSettled::Wechat(source)) => {
                return Err(ReconcileError::Undated {
                    number: number.as_str().to_owned(),
                    source,
                });
            }
            Err(NotSettled::Store(error)) => return Err(error.into()),
        }
    }
    Ok(())
}
