//! Bills of the simulator, over the wire and in memory.

mod properties;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::domain::ids::MchId;
use crate::sandbox::testing::Scene;
use crate::sandbox::{After, BillFault, Endpoint, Fault, Options, Payment, RefundEnd};
use crate::wechat::client::Patience;
use crate::wechat::keyring::Trust;
use crate::wechat::sign::{MerchantKey, Signer};
use crate::wechat::verify::WechatKey;

const DAY: Date = jiff::civil::date(2026, 11, 22);
const READY: &str = "2026-11-23T10:00:00+08:00";

/// A simulated WeChat with a day behind it, and a client of it.
struct Books {
    scene: Scene,
    client: Client,
    clock: Clock,
}

impl Books {
    /// Two payments, one of them with a coupon, a refund and a transfer.
    async fn of_a_day() -> Self {
        let scene = Scene::with(Options {
            refund_after: None,
            ..Options::default()
        })
        .await;
        let keys = scene.world.keys();
        let signer = Signer {
            mchid: MchId::parse(keys.mchid()).unwrap(),
            serial: keys.serial_no().to_owned(),
            key: Arc::new(MerchantKey::read(&keys.merchant_private_pem()).unwrap()),
        };
        let public = WechatKey::read(keys.public_key_id(), &keys.wechat_public_pem()).unwrap();
        let trust = Trust {
            public: Some(Arc::new(public)),
            certificates: None,
        };
        let patience = Patience {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(20),
            at_a_time: 2,
            idle: 8,
        };
        let base = Url::parse(&scene.world.wechat().url()).unwrap();
        let clock = Clock::movable();
        let client = Client::new(base, None, patience, signer, trust, clock.clone()).unwrap();
        let books = Self { scene, client, clock };
        books.go_to("2026-11-22T12:00:00+08:00");
        let (shop, wechat) = (&books.scene.shop, books.scene.world.wechat());
        books.scene.paid("ORDER_1").await;
        shop.post("/v3/pay/transactions/native", &native(&books.scene)).await;
        let coupon = Payment {
            payer_total: Some(90),
            notify: false,
            ..Payment::default()
        };
        wechat.pay_with("ORDER_2", &coupon).unwrap();
        shop.post("/v3/refund/domestic/refunds", &books.scene.refund("ORDER_2", "R1", 40))
            .await;
        wechat.finish_refund("R1", RefundEnd::Success).unwrap();
        let transfer = books.scene.transfer("T1", 500);
        shop.post("/v3/fund-app/mch-transfer/transfer-bills", &transfer).await;
        wechat.confirm_transfer("T1").unwrap();
        books.go_to(READY);
        books
    }

    fn go_to(&self, at: &str) {
        let at: Timestamp = at.parse().unwrap();
        self.scene.world.clock().move_to(at);
        self.clock.advance(at.as_millisecond() - self.clock.now_ms());
    }

    async fn apply(&self, packing: Packing) -> Result<Applied<TradeRow>, BillError> {
        trade_bill(&self.client, DAY, TradeBillKind::All, packing).await
    }

    async fn file(&self, packing: Packing) -> BillFile<TradeRow> {
        ready(self.apply(packing).await)
    }

    /// The next bill, spoilt so.
    async fn spoilt(&self, fault: BillFault, packing: Packing) -> (Vec<TradeRow>, Result<Whole, BillError>) {
        self.scene.world.wechat().spoil_bill(fault);
        taken(&self.client, &self.file(packing).await, download::STALL).await
    }
}

fn native(scene: &Scene) -> serde_json::Value {
    let mut order = scene.order("ORDER_2");
    order.as_object_mut().unwrap().remove("payer");
    order
}

fn ready<R: std::fmt::Debug>(applied: Result<Applied<R>, BillError>) -> BillFile<R> {
    match applied {
        Ok(Applied::Ready(file)) => file,
        other => panic!("{other:?}"),
    }
}

/// Downloads and takes the rows beside it.
async fn taken<R: parse::Record + Send>(
    client: &Client,
    file: &BillFile<R>,
    stall: Duration,
) -> (Vec<R>, Result<Whole, BillError>) {
    let (send, mut receive) = mpsc::channel(1);
    let take = async {
        let mut rows = Vec::new();
        while let Some(row) = receive.recv().await {
            rows.push(row);
        }
        rows
    };
    tokio::join!(take, download::download(client, file, send, stall))
}

#[tokio::test]
async fn a_trade_bill_comes_whole_in_every_kind_and_packing() {
    let books = Books::of_a_day().await;
    for packing in [Packing::Plain, Packing::Gzip] {
        for (kind, expected) in [
            (
                TradeBillKind::All,
                vec![("ORDER_1", None), ("ORDER_2", None), ("ORDER_2", Some("R1"))],
            ),
            (TradeBillKind::Success, vec![("ORDER_1", None), ("ORDER_2", None)]),
            (TradeBillKind::Refund, vec![("ORDER_2", Some("R1"))]),
        ] {
            let file = ready(trade_bill(&books.client, DAY, kind, packing).await);
            let (send, mut receive) = mpsc::channel(100);
            let whole = file.download(&books.client, send).await.unwrap();
            let mut rows = Vec::new();
            while let Some(row) = receive.recv().await {
                rows.push(row);
            }
            assert_eq!(
                (whole.hashed, whole.rows),
                (Hashed::Text, u64::try_from(rows.len()).unwrap())
            );
            let refund = |row: &TradeRow| row.refund.as_ref().and_then(|part| part.out_refund_no.clone());
            let mut found: Vec<_> = rows.iter().map(|row| (row.out_trade_no.clone(), refund(row))).collect();
            found.sort();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(order, refund)| (order.to_owned(), refund.map(str::to_owned)))
                .collect();
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test]
async fn a_fund_flow_bill_comes_whole_for_each_account() {
    let books = Books::of_a_day().await;
    for (account, packing, vouchers) in [
        // The fees of the three are less than a fen, or one.
        (
            Account::Basic,
            Packing::Plain,
            vec!["ORDER_1", "ORDER_1", "ORDER_2", "ORDER_2", "R1"],
        ),
        (Account::Operation, Packing::Gzip, vec!["T1"]),
    ] {
        let file = ready(fund_flow_bill(&books.client, DAY, account, packing).await);
        let (send, mut receive) = mpsc::channel(100);
        let whole = file.download(&books.client, send).await.unwrap();
        let mut found = Vec::new();
        while let Some(row) = receive.recv().await {
            found.push(row.voucher.unwrap());
        }
        found.sort();
        assert_eq!(
            (whole.rows, found),
            (
                u64::try_from(vouchers.len()).unwrap(),
                vouchers.iter().map(ToString::to_string).collect()
            )
        );
    }
    let fees = fund_flow_bill(&books.client, DAY, Account::Fees, Packing::Gzip).await;
    assert!(matches!(fees, Ok(Applied::Empty)), "{fees:?}");
}

#[tokio::test]
async fn a_day_without_a_bill_is_empty_only_by_a_signed_word() {
    let books = Books::of_a_day().await;
    let day_before = DAY.yesterday().unwrap();
    let empty = trade_bill(&books.client, day_before, TradeBillKind::All, Packing::Gzip).await;
    assert!(matches!(empty, Ok(Applied::Empty)), "{empty:?}");
    let unsigned = Fault::refuse_unsigned(400, "NO_STATEMENT_EXIST");
    books.scene.world.wechat().fault(Endpoint::TradeBill, unsigned);
    let refused = books.apply(Packing::Gzip).await;
    assert!(
        matches!(refused, Err(BillError::Wechat(WechatError::Refused(_)))),
        "{refused:?}"
    );
    let spoilt = Fault::ProcessThen(After::BadSignature);
    books.scene.world.wechat().fault(Endpoint::TradeBill, spoilt);
    let forged = books.apply(Packing::Gzip).await;
    assert!(
        matches!(forged, Err(BillError::Wechat(WechatError::NotGenuine(_)))),
        "{forged:?}"
    );
}

#[tokio::test]
async fn a_bill_that_is_being_made_is_not_yet_there_and_a_wrong_day_is_refused() {
    let books = Books::of_a_day().await;
    books.go_to("2026-11-23T09:00:00+08:00");
    let early = books.apply(Packing::Gzip).await;
    assert!(matches!(early, Ok(Applied::NotYet)), "{early:?}");
    let today = DAY.tomorrow().unwrap();
    let refused = trade_bill(&books.client, today, TradeBillKind::All, Packing::Gzip).await;
    let Err(BillError::Wechat(WechatError::Refused(refusal))) = refused else {
        panic!("{refused:?}")
    };
    assert!(refusal.proven && refusal.is("INVALID_REQUEST"));
}

#[tokio::test]
async fn what_is_not_whole_is_never_said_to_be() {
    let books = Books::of_a_day().await;
    for packing in [Packing::Plain, Packing::Gzip] {
        let (rows, hash) = books.spoilt(BillFault::WrongHash, packing).await;
        assert!(matches!(hash, Err(BillError::Hash { .. })), "{hash:?}");
        if packing == Packing::Plain {
            assert_eq!(rows.len(), 3, "the rows were there, and are not to be believed");
        }
        let (_, summary) = books.spoilt(BillFault::WrongSummary, packing).await;
        let Err(BillError::Summary(differences)) = summary else {
            panic!("{summary:?}")
        };
        let difference = Difference {
            column: "总交易单数",
            said: 4,
            counted: 3,
        };
        assert_eq!(differences, [difference]);
        let (_, cut) = books.spoilt(BillFault::Cut, packing).await;
        let broken = matches!(
            cut,
            Err(BillError::Wechat(WechatError::OutcomeUnknown(Unknown::Broken(_))))
        );
        assert!(broken, "{cut:?}");
        let (_, short) = books.spoilt(BillFault::Short, packing).await;
        assert!(
            matches!(short, Err(BillError::Hash { .. } | BillError::Packing(_))),
            "{short:?}"
        );
    }
    let (_, over_file) = books.spoilt(BillFault::HashOfFile, Packing::Gzip).await;
    assert_eq!(over_file.unwrap().hashed, Hashed::File);
}

#[tokio::test]
async fn an_address_that_has_run_out_is_refused() {
    let books = Books::of_a_day().await;
    let (rows, expired) = books.spoilt(BillFault::ExpiredToken, Packing::Gzip).await;
    let Err(BillError::Wechat(WechatError::Refused(refusal))) = expired else {
        panic!("{expired:?}")
    };
    assert_eq!(
        (refusal.status, refusal.code.as_str(), rows.len()),
        (400, "INVALID_REQUEST", 0)
    );
}

#[tokio::test]
async fn nothing_is_asked_of_a_host_that_is_not_wechats() {
    let books = Books::of_a_day().await;
    let elsewhere = BillFault::OtherHost(books.scene.service.url());
    let (_, refused) = books.spoilt(elsewhere, Packing::Gzip).await;
    assert!(
        matches!(refused, Err(BillError::Wechat(WechatError::NeverSent(_)))),
        "{refused:?}"
    );
    // What it hears of refunds and transfers comes from WeChat.
    let heard = books.scene.service.heard();
    assert!(heard.iter().all(|heard| !heard.path.starts_with("/v3/")), "{heard:?}");
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let books = Books::of_a_day().await;
    let file = books.file(Packing::Gzip).await;
    let redirect = Fault::ProcessThen(After::Status(302));
    books.scene.world.wechat().fault(Endpoint::DownloadBill, redirect);
    let (_, found) = taken(&books.client, &file, download::STALL).await;
    let failing = Unknown::Failing {
        status: 302,
        code: String::new(),
    };
    let Err(BillError::Wechat(WechatError::OutcomeUnknown(found))) = found else {
        panic!("{found:?}")
    };
    assert_eq!(found.to_string(), failing.to_string());
    assert_eq!(books.scene.world.wechat().count(Endpoint::DownloadBill), 1);
}

#[tokio::test]
async fn slow_is_not_stalled() {
    let books = Books::of_a_day().await;
    let (stall, pause) = (Duration::from_secs(3), Duration::from_millis(250));
    books.scene.world.wechat().spoil_bill(BillFault::Slow(pause));
    let file = books.file(Packing::Plain).await;
    // Sixteen pieces: longer altogether than any silence may be.
    let (rows, whole) = taken(&books.client, &file, stall).await;
    assert_eq!((rows.len(), whole.unwrap().rows), (3, 3));
    let file = books.file(Packing::Plain).await;
    let silence = Fault::ProcessThen(After::Hang(Duration::from_mins(1)));
    books.scene.world.wechat().fault(Endpoint::DownloadBill, silence);
    let (_, stalled) = taken(&books.client, &file, Duration::from_millis(200)).await;
    let Err(BillError::Wechat(stalled)) = stalled else {
        panic!("{stalled:?}")
    };
    assert!(stalled.timed_out(), "{stalled:?}");
}

#[tokio::test]
async fn a_long_bill_goes_through_a_channel_of_one() {
    const LINES: usize = 20_000;
    let books = Books::of_a_day().await;
    books.scene.world.wechat().bill_with(|lines| {
        let line = lines.trade[0].clone();
        lines.trade = vec![line; LINES];
    });
    let file = books.file(Packing::Gzip).await;
    let (rows, whole) = taken(&books.client, &file, download::STALL).await;
    assert_eq!(
        (rows.len(), whole.unwrap().rows),
        (LINES, u64::try_from(LINES).unwrap())
    );
}

#[tokio::test]
async fn a_download_that_nobody_takes_the_rows_of_ends() {
    let books = Books::of_a_day().await;
    let file = books.file(Packing::Gzip).await;
    let (send, receive) = mpsc::channel(1);
    drop(receive);
    let ended = file.download(&books.client, send).await;
    assert!(matches!(ended, Err(BillError::Abandoned)), "{ended:?}");
}
