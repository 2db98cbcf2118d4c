//! Plays one history, step by step, beside the model; and then lets everything come to rest and looks at the books.

use std::time::Duration;

use futures_util::future::join_all;
use pay_common::sandbox::{Endpoint, Fault, FaultRule, Impossible, Payment, SignedNotification};

use super::model::{Model, There};
use super::stage::Stage;
use super::step::{Call, ORDERS, Step};
use crate::invariants::{Books, given_up};

/// The numbers of one history; no other one has them.
pub struct Numbers(pub String);

impl Numbers {
    pub fn order(&self, order: usize) -> String {
        format!("{}N{order}", self.0)
    }

    pub fn refund(&self, order: usize, refund: usize) -> String {
        format!("{}N{order}R{refund}", self.0)
    }
}

/// One history that is being played.
pub struct Player<'a> {
    pub stage: &'a mut Stage,
    pub numbers: Numbers,
    pub model: Model,
    /// Composed, and not yet delivered.
    pub late: Vec<(SignedNotification, bool)>,
    /// Seconds since the beginning, and when each order was first asked for.
    now: u64,
    asked_at: [Option<u64>; ORDERS],
}

/// Plays it; what is wrong, if anything is.
pub async fn play(stage: &mut Stage, name: &str, steps: &[Step]) -> Result<(), String> {
    let mut player = Player {
        stage,
        numbers: Numbers(name.to_owned()),
        model: Model::default(),
        late: Vec::new(),
        now: 0,
        asked_at: [None; ORDERS],
    };
    for (at, step) in steps.iter().enumerate() {
        let played = player.step(step).await;
        played.map_err(|wrong| format!("step {at}, {step:?}: {wrong}"))?;
    }
    player.rest().await.map_err(|wrong| format!("at rest: {wrong}"))
}

impl Player<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let wechat = self.stage.t().world.wechat().clone();
        match step {
            Step::Calm(call) => self.calm(call, async {}).await,
            Step::Busy(call) => {
                let lock = self.stage.t().lock_the_books().await;
                let moment = async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    drop(lock);
                };
                self.calm(call, moment).await
            }
            Step::Together(calls) => {
                calls.iter().for_each(|call| self.note(call));
                let answers = join_all(calls.iter().map(|call| self.ask(call))).await;
                for (call, told) in calls.iter().zip(&answers) {
                    if let Some(told) = told {
                        self.model.promised(call, told);
                    }
                }
                self.model.resume(&wechat, &self.numbers);
                Ok(())
            }
            Step::Trouble { spared, faults, call } => {
                self.note(call);
                for (at, (fault, times)) in faults.iter().enumerate() {
                    let rule = FaultRule::on(Endpoint::Any, fault.clone()).times(*times);
                    wechat.add_fault(if at == 0 { rule.after(*spared) } else { rule });
                }
                self.troubled(call).await
            }
            Step::TroubledSweep { seconds, fault, times } => {
                self.wait(*seconds);
                wechat.add_fault(FaultRule::on(Endpoint::Any, fault.clone()).times(*times));
                self.troubled(&Call::Sweep).await
            }
            Step::Crash { call, done } => {
                self.note(call);
                self.crash(call, *done).await;
                self.model.doubts(call);
                self.model.resume(&wechat, &self.numbers);
                Ok(())
            }
            Step::CutSweep => {
                let hold = wechat.hold(Endpoint::Any);
                tokio::select! {
                    swept = self.stage.t().service.sweep() => drop(swept),
                    () = hold.reached() => {}
                }
                hold.release();
                self.model.doubts(&Call::Sweep);
                self.model.resume(&wechat, &self.numbers);
                Ok(())
            }
            Step::Restart => {
                self.stage.restart().await;
                Ok(())
            }
            Step::Pay { order } => self.pays(*order),
            Step::Overtake { order } => {
                if self.model.overtakes(*order) {
                    let under_way = Payment {
                        notify: false,
                        under_way: true,
                        ..Payment::default()
                    };
                    let paid = wechat.pay_with(&self.numbers.order(*order), &under_way);
                    paid.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            Step::Cancel { order } => {
                let can = wechat.cancel(&self.numbers.order(*order)).is_ok();
                let is_open = self.model.orders[*order].there == There::Open;
                if can == is_open {
                    Ok(())
                } else {
                    Err("only an open order can be left unpaid".to_owned())
                }
            }
            Step::EndRefund { order, refund, end } => {
                let number = self.numbers.refund(*order, *refund);
                let ended = wechat.finish_refund(&number, *end).is_ok();
                let can = self.model.ends(*order, *refund, *end);
                if ended == can {
                    Ok(())
                } else {
                    Err(format!("WeChat ended it: {ended}"))
                }
            }
            Step::Compose { order, refund } => {
                let note = match refund {
                    None => wechat.payment_notification(&self.numbers.order(*order)),
                    Some(refund) => self.word_of_refund(*order, *refund),
                };
                self.late.extend(note.ok().map(|note| (note, refund.is_some())));
                Ok(())
            }
            Step::Wait { seconds } => {
                self.wait(*seconds);
                Ok(())
            }
        }
    }

    /// Asks while everything works, and something else goes on.
    async fn calm(&mut self, call: &Call, beside: impl Future<Output = ()>) -> Result<(), String> {
        self.note(call);
        let (told, ()) = tokio::join!(self.ask(call), beside);
        let Some(told) = told else { return Ok(()) };
        self.model.calm(call, &told)?;
        if *call == Call::Sweep {
            self.swept()?;
        }
        let wechat = self.stage.t().world.wechat();
        self.model.differs(wechat, &self.numbers).map_or(Ok(()), Err)
    }

    /// Asks while the faults that were set wait for it.
    async fn troubled(&mut self, call: &Call) -> Result<(), String> {
        let wechat = self.stage.t().world.wechat().clone();
        let told = self.ask(call).await;
        wechat.clear_faults();
        self.model.doubts(call);
        if let Some(told) = told {
            self.model.promised(call, &told);
        }
        self.model.resume(&wechat, &self.numbers);
        let books = Books::read(&mut *self.stage.conn.lock().await, &self.numbers.0).await;
        match given_up(&books, &wechat).as_slice() {
            [] => Ok(()),
            given_up => Err(given_up.join("; ")),
        }
    }

    pub fn wait(&mut self, seconds: u64) {
        self.stage.wait(seconds);
        self.now += seconds;
    }

    fn note(&mut self, call: &Call) {
        if let Call::Place { order, .. } = call {
            self.asked_at[*order].get_or_insert(self.now);
        }
    }

    fn pays(&mut self, order: usize) -> Result<(), String> {
        if !self.model.pays(order) {
            return Ok(());
        }
        let quietly = Payment {
            notify: false,
            ..Payment::default()
        };
        match self
            .stage
            .t()
            .world
            .wechat()
            .pay_with(&self.numbers.order(order), &quietly)
        {
            Ok(_) => {}
            // Nobody fetched a new one in two hours.
            Err(Impossible::PrepayExpired) => self.model.orders[order].there = There::Open,
            Err(error) => return Err(format!("who has what an order is paid with can pay it: {error}")),
        }
        Ok(())
    }

    /// A sweep closes what was left unpaid for ten minutes, and changes nothing else at WeChat.
    fn swept(&mut self) -> Result<(), String> {
        let before = self.model.clone();
        self.model.resume(self.stage.t().world.wechat(), &self.numbers);
        for (at, (was, is)) in before.orders.iter().zip(&self.model.orders).enumerate() {
            let age = self.asked_at[at].map_or(0, |asked_at| self.now - asked_at);
            let closes = was.there == There::Open && is.there == There::Closed && (was.unsure || age >= 600);
            if was.there != is.there && !closes {
                return Err(format!("a sweep after {age} s made {:?} of {:?}", is.there, was.there));
            }
        }
        Ok(())
    }

    /// The service dies while WeChat is asked; when it asks nothing, it dies after its answer.
    async fn crash(&mut self, call: &Call, done: bool) {
        let wechat = self.stage.t().world.wechat().clone();
        let asked_before = wechat.count(Endpoint::Any);
        let hold = done.then(|| wechat.hold(Endpoint::Any));
        if !done {
            let never = Fault::HangBefore(Duration::from_secs(3600));
            wechat.add_fault(FaultRule::on(Endpoint::Any, never).times(u32::MAX));
        }
        let reached = async {
            match &hold {
                Some(hold) => hold.reached().await,
                None => {
                    while wechat.count(Endpoint::Any) == asked_before {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        };
        let told = tokio::select! {
            told = self.ask(call) => told,
            () = reached => None,
        };
        self.stage.kill().await;
        drop(hold);
        wechat.clear_faults();
        if let Some(told) = told {
            self.model.promised(call, &told);
        }
    }
}
