//! The way to WeChat breaks, at every place at which a connection can.

use std::time::Duration;

use pay_common::sandbox::World;

use super::actions::{every_action, options, usual};
use crate::case::{Tried, cases};
use crate::gate::{Gate, Way};
use crate::support::app::TestApp;
use crate::support::database::{Database, Store};
use crate::support::offline::Offline;

cases!(Fault:
    wechat_refuses_connections => "an intent that nobody ever settles",
    a_connection_is_reset_before_the_question => "an intent that nobody ever settles",
    a_question_gets_lost => "a caller who waits for ever",
    a_connection_is_reset_at_the_answer => "money moved twice, because nobody heard that it had moved",
    a_connection_is_reset_within_the_answer => "half an answer believed",
);

async fn wechat_refuses_connections(store: Store, tried: Tried) {
    every_way(store, tried, Way::Shut).await;
}

async fn a_connection_is_reset_before_the_question(store: Store, tried: Tried) {
    every_way(store, tried, Way::ResetAtOnce).await;
}

async fn a_question_gets_lost(store: Store, tried: Tried) {
    every_way(store, tried, Way::Silent).await;
}

async fn a_connection_is_reset_at_the_answer(store: Store, tried: Tried) {
    every_way(store, tried, Way::ResetAtAnswer).await;
}

async fn a_connection_is_reset_within_the_answer(store: Store, tried: Tried) {
    every_way(store, tried, Way::ResetWithin(100)).await;
}

async fn every_way(store: Store, tried: Tried, way: Way) {
    let gate = Gate::open().await;
    let t = behind(&gate, store).await;
    let breaks = async || gate.set(way).await;
    tried.times(every_action(&t, 0, breaks, async || open(&gate).await).await);
}

/// The connections that were cut are noticed before anybody uses them again.
async fn open(gate: &Gate) {
    gate.set(Way::Open).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A service that finds WeChat behind the gate.
async fn behind(gate: &Gate, store: Store) -> TestApp {
    let url = format!("http://{}", gate.address);
    let settings = [&usual()[..], &[("wechatPayBaseUrl", &url)]].concat();
    let offline = Offline::over(Database::fresh(store).await, options(), &settings).await;
    gate.leads_to(address(&offline.world));
    let t = offline.start().await;
    t.world.wechat().lose_callbacks(u32::MAX);
    t
}

fn address(world: &World) -> std::net::SocketAddr {
    let url = world.wechat().url();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}
