//! What can happen in a history. Orders and refunds go by their place: the player gives them numbers.

use pay_common::sandbox::{After, Fault, RefundEnd};
use proptest::prelude::*;

/// Orders of one history.
pub const ORDERS: usize = 3;
/// Refunds of one order.
pub const REFUNDS: usize = 3;
/// What an order costs, in fen.
pub const TOTAL: i64 = 100;

/// A question to the service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// With this total: the usual one, or another one.
    Place {
        order: usize,
        total: i64,
    },
    Query {
        order: usize,
    },
    Close {
        order: usize,
    },
    Refund {
        order: usize,
        refund: usize,
        amount: i64,
    },
    QueryRefund {
        order: usize,
        refund: usize,
    },
    /// WeChat's genuine word of a payment, as often as that at once.
    HearPayment {
        order: usize,
        door: Door,
        copies: usize,
    },
    /// The same of the end of a refund.
    HearRefund {
        order: usize,
        refund: usize,
        door: Door,
    },
    /// A callback that was composed some steps ago.
    HearLate {
        which: usize,
        door: Door,
    },
    /// A forward of a payment that nobody made.
    Forge {
        order: usize,
    },
    /// WeChat's probe where a signature should be.
    Probe {
        order: usize,
    },
    Sweep,
}

/// The way of a callback.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// From WeChat itself.
    Signed,
    /// Forwarded with the ciphertext.
    Sealed,
    /// Forwarded without.
    Plain,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// Somebody asks, and everything works.
    Calm(Call),
    /// Several at once.
    Together(Vec<Call>),
    /// WeChat fails while it is asked: so many questions go well first, and then each of these meets so many.
    Trouble {
        spared: u32,
        faults: Vec<(Fault, u32)>,
        call: Call,
    },
    /// Time goes by, and the sweep that asks what became of everything meets this.
    TroubledSweep {
        seconds: u64,
        fault: Fault,
        times: u32,
    },
    /// The same question while the books are locked for a moment: whoever waits notices nothing.
    Busy(Call),
    /// The service is killed while WeChat is asked: before it has done anything, or after.
    Crash {
        call: Call,
        done: bool,
    },
    /// A sweep is cut off while WeChat is asked.
    CutSweep,
    /// A clean stop and a start.
    Restart,
    Pay {
        order: usize,
    },
    /// A payment that was under way arrives although the order was closed meanwhile.
    Overtake {
        order: usize,
    },
    Cancel {
        order: usize,
    },
    EndRefund {
        order: usize,
        refund: usize,
        end: RefundEnd,
    },
    /// WeChat composes a callback that is delivered later, or never.
    Compose {
        order: usize,
        refund: Option<usize>,
    },
    /// Everybody's clock goes on, by so many seconds.
    Wait {
        seconds: u64,
    },
}

/// The steps of one history.
pub fn history() -> impl Strategy<Value = Vec<Step>> {
    // Fewer than eight only when one that failed is made smaller.
    (beginning(), prop::collection::vec(step(), 1..=22)).prop_map(|(beginning, steps)| [beginning, steps].concat())
}

/// Most begin with something that can be gone on from.
fn beginning() -> impl Strategy<Value = Vec<Step>> {
    let placed = || Step::Calm(Call::Place { order: 0, total: TOTAL });
    let refunded = Step::Calm(Call::Refund {
        order: 0,
        refund: 0,
        amount: 30,
    });
    prop_oneof![
        2 => Just(vec![]),
        1 => Just(vec![placed()]),
        2 => Just(vec![placed(), Step::Pay { order: 0 }]),
        2 => Just(vec![placed(), Step::Pay { order: 0 }, refunded]),
    ]
}

/// What happens to one order at a time is worth more than what happens to three.
fn an_order() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0_usize), 2 => Just(1), 1 => 2..ORDERS]
}

fn a_refund() -> impl Strategy<Value = usize> {
    prop_oneof![5 => Just(0_usize), 2 => Just(1), 1 => 2..REFUNDS]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => call().prop_map(Step::Calm),
        6 => prop::collection::vec(call(), 2..=5).prop_map(Step::Together),
        10 => (0..3_u32, prop::collection::vec((fault(), 1..4_u32), 1..=2), call()).prop_map(
            |(spared, faults, call)| Step::Trouble { spared, faults, call }
        ),
        4 => (16..200_u64, fault(), 1..4_u32).prop_map(|(seconds, fault, times)| Step::TroubledSweep {
            seconds,
            fault,
            times
        }),
        1 => call().prop_map(Step::Busy),
        2 => (asking(), any::<bool>()).prop_map(|(call, done)| Step::Crash { call, done }),
        1 => Just(Step::CutSweep),
        1 => Just(Step::Restart),
        8 => an_order().prop_map(|order| Step::Pay { order }),
        1 => an_order().prop_map(|order| Step::Overtake { order }),
        1 => an_order().prop_map(|order| Step::Cancel { order }),
        6 => (an_order(), a_refund(), end()).prop_map(|(order, refund, end)| Step::EndRefund { order, refund, end }),
        3 => (an_order(), prop::option::of(a_refund())).prop_map(|(order, refund)| Step::Compose { order, refund }),
        6 => prop_oneof![1..20_u64, 20..120_u64, 120..660_u64].prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => asking(),
        2 => an_order().prop_map(|order| Call::Query { order }),
        2 => (an_order(), a_refund()).prop_map(|(order, refund)| Call::QueryRefund { order, refund }),
        3 => (an_order(), door(), 1..5_usize).prop_map(|(order, door, copies)| Call::HearPayment {
            order,
            door,
            copies
        }),
        3 => (an_order(), a_refund(), door()).prop_map(|(order, refund, door)| Call::HearRefund {
            order,
            refund,
            door
        }),
        2 => (0..8_usize, door()).prop_map(|(which, door)| Call::HearLate { which, door }),
        1 => an_order().prop_map(|order| Call::Forge { order }),
        1 => an_order().prop_map(|order| Call::Probe { order }),
        4 => Just(Call::Sweep),
    ]
}

/// What moves something at WeChat.
fn asking() -> impl Strategy<Value = Call> {
    let total = prop_oneof![9 => Just(TOTAL), 1 => Just(TOTAL + 1)];
    let amount = prop_oneof![Just(30_i64), Just(50), Just(TOTAL), 1..=TOTAL];
    prop_oneof![
        6 => (an_order(), total).prop_map(|(order, total)| Call::Place { order, total }),
        2 => an_order().prop_map(|order| Call::Close { order }),
        5 => (an_order(), a_refund(), amount).prop_map(|(order, refund, amount)| Call::Refund {
            order,
            refund,
            amount
        }),
    ]
}

fn door() -> impl Strategy<Value = Door> {
    prop_oneof![Just(Door::Signed), Just(Door::Sealed), Just(Door::Plain)]
}

fn end() -> impl Strategy<Value = RefundEnd> {
    prop_oneof![3 => Just(RefundEnd::Success), 1 => Just(RefundEnd::Closed), 1 => Just(RefundEnd::Abnormal)]
}

fn fault() -> impl Strategy<Value = Fault> {
    let after = |after| Just(Fault::ProcessThen(after));
    prop_oneof![
        1 => Just(Fault::DropBefore),
        // Done and not heard of, and then not found: what this leads to matters most.
        3 => after(After::DropConnection),
        3 => Just(Fault::refuse_unsigned(404, "RESOURCE_NOT_EXISTS")),
        1 => after(After::BadSignature),
        1 => after(After::NoSignature),
        1 => after(After::WrongSerial),
        1 => after(After::SignTest),
        1 => after(After::Garbage),
        1 => after(After::Status(500)),
        1 => Just(Fault::refuse(500, "SYSTEM_ERROR")),
        1 => Just(Fault::refuse(429, "FREQUENCY_LIMITED")),
        1 => Just(Fault::refuse_unsigned(429, "FREQUENCY_LIMITED")),
    ]
}
