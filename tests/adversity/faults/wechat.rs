//! WeChat fails while it is asked: before it has done anything, after it has, and with answers that nobody can believe.
//!
//! Each fault meets the first question of every action, then the second, then the third, and then all of them.

use std::time::Duration;

use pay_common::sandbox::{After, Endpoint, Fault, FaultRule};

use super::actions::{Action, every_action, stage};
use crate::case::{Tried, cases};
use crate::support::database::Store;

cases!(Fault:
    the_connection_is_reset_after_the_question_was_sent => "a deed that is taken for undone, or done twice",
    the_connection_is_reset_after_the_deed => "money moved twice, because nobody heard that it had moved",
    wechat_is_silent_and_does_nothing => "an order or a refund that hangs for ever",
    wechat_is_silent_after_the_deed => "money moved twice, because the answer came too late",
    wechat_answers_500_and_does_nothing => "a refusal that was none, an amount given back that is paid out",
    wechat_answers_500_after_the_deed => "money moved twice",
    wechat_answers_502_after_the_deed => "money moved twice",
    wechat_answers_503_after_the_deed => "money moved twice",
    wechat_says_too_fast => "a deed given up that WeChat may still do",
    somebody_says_too_fast_without_a_signature => "a proxy that moves money",
    somebody_says_not_found_without_a_signature => "an amount given back because a proxy said 404",
    the_answer_is_lost_and_then_somebody_says_not_found => "an amount given back because a proxy said 404",
    the_answer_is_lost_and_then_wechat_says_too_fast => "a deed given up that WeChat has done",
    the_answer_is_lost_and_then_a_stranger_answers => "a deed given up that WeChat has done",
    wechat_answers_garbage => "a page of HTML believed",
    wechat_signs_something_else => "an answer of a stranger believed",
    wechat_does_not_sign => "an answer of a stranger believed",
    wechat_signs_with_an_unknown_key => "an answer of a stranger believed",
    wechat_probes_the_verification => "an answer without a signature believed",
);

async fn the_connection_is_reset_after_the_question_was_sent(store: Store, tried: Tried) {
    every_question(store, tried, Fault::DropBefore).await;
}

async fn the_connection_is_reset_after_the_deed(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::DropConnection)).await;
}

/// Longer than the service waits.
const SILENCE: Duration = Duration::from_secs(8);

async fn wechat_is_silent_and_does_nothing(store: Store, tried: Tried) {
    every_question(store, tried, Fault::HangBefore(SILENCE)).await;
}

async fn wechat_is_silent_after_the_deed(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::Hang(SILENCE))).await;
}

async fn wechat_answers_500_and_does_nothing(store: Store, tried: Tried) {
    every_question(store, tried, Fault::refuse(500, "SYSTEM_ERROR")).await;
}

async fn wechat_answers_500_after_the_deed(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::Status(500))).await;
}

async fn wechat_answers_502_after_the_deed(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::Status(502))).await;
}

async fn wechat_answers_503_after_the_deed(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::Status(503))).await;
}

async fn wechat_says_too_fast(store: Store, tried: Tried) {
    every_question(store, tried, Fault::refuse(429, "FREQUENCY_LIMITED")).await;
}

async fn somebody_says_too_fast_without_a_signature(store: Store, tried: Tried) {
    every_question(store, tried, Fault::refuse_unsigned(429, "FREQUENCY_LIMITED")).await;
}

async fn somebody_says_not_found_without_a_signature(store: Store, tried: Tried) {
    every_question(store, tried, Fault::refuse_unsigned(404, "RESOURCE_NOT_EXISTS")).await;
}

async fn wechat_answers_garbage(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::Garbage)).await;
}

async fn wechat_signs_something_else(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::BadSignature)).await;
}

async fn wechat_does_not_sign(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::NoSignature)).await;
}

async fn wechat_signs_with_an_unknown_key(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::WrongSerial)).await;
}

async fn wechat_probes_the_verification(store: Store, tried: Tried) {
    every_question(store, tried, Fault::ProcessThen(After::SignTest)).await;
}

async fn the_answer_is_lost_and_then_somebody_says_not_found(store: Store, tried: Tried) {
    for code in ["ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS", "NOT_FOUND"] {
        lost_and_then(store, &tried, Fault::refuse_unsigned(404, code)).await;
    }
}

async fn the_answer_is_lost_and_then_wechat_says_too_fast(store: Store, tried: Tried) {
    lost_and_then(store, &tried, Fault::refuse(429, "FREQUENCY_LIMITED")).await;
}

async fn the_answer_is_lost_and_then_a_stranger_answers(store: Store, tried: Tried) {
    lost_and_then(store, &tried, Fault::ProcessThen(After::BadSignature)).await;
}

/// The deed is done, nobody hears of it, and whoever asks what became of it meets this.
async fn lost_and_then(store: Store, tried: &Tried, fault: Fault) {
    let t = stage(store).await;
    let wechat = t.world.wechat();
    let breaks = async || {
        for endpoint in [Endpoint::Prepay, Endpoint::Close, Endpoint::Refund, Endpoint::Transfer] {
            let lost = Fault::ProcessThen(After::DropConnection);
            for action in Action::ALL {
                // What may be repeated is repeated twice at once.
                let times = if matches!(endpoint, Endpoint::Prepay | Endpoint::Close) {
                    3
                } else {
                    1
                };
                let rule = FaultRule::on(endpoint, lost.clone());
                wechat.add_fault(rule.times(times).about(action.number(0)));
            }
        }
        wechat.add_fault(FaultRule::on(Endpoint::Any, fault).times(u32::MAX));
    };
    tried.times(every_action(&t, 0, breaks, async || wechat.clear_faults()).await);
}

async fn every_question(store: Store, tried: Tried, fault: Fault) {
    let t = stage(store).await;
    let wechat = t.world.wechat();
    for (round, (spared, times)) in [(0, 1), (1, 1), (2, 1), (0, u32::MAX)].into_iter().enumerate() {
        let breaks = async || {
            for action in Action::ALL {
                let rule = FaultRule::on(Endpoint::Any, fault.clone());
                wechat.add_fault(rule.after(spared).times(times).about(action.number(round)));
            }
        };
        tried.times(every_action(&t, round, breaks, async || wechat.clear_faults()).await);
    }
}
