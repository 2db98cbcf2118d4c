//! A day of a busy shop: in the store by SQL, and as the text of a bill.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz;
use sqlx::Connection as _;

/// The header of a trade bill of all rows.
const HEADER: &str = "\u{feff}交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注\r\n";
const SUMMARY: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n";

/// The kinds of differences, by where they are put: so many of each, from the first payment or refund on.
pub(crate) const KINDS: [&str; 5] = ["missing_here", "missing_there", "amount", "state", "refund"];

pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) lines: u64,
    pub(crate) differences: u64,
    pub(crate) app_id: String,
    pub(crate) mchid: String,
}

impl Day {
    fn payments(&self) -> u64 {
        self.lines - self.refunds()
    }

    fn refunds(&self) -> u64 {
        self.lines / 10
    }

    /// Which difference the n-th payment shows, from 1.
    fn kind(&self, n: u64) -> Option<&'static str> {
        let place = usize::try_from((n - 1).checked_div(self.differences)?).unwrap();
        KINDS[..4].get(place).copied()
    }

    /// Writes orders and refunds into the store, each with the amount of its number's last digits.
    pub(crate) async fn fill(&self, url: &str) {
        sqlx::any::install_default_drivers();
        let mut conn = sqlx::AnyConnection::connect(url).await.unwrap();
        let midnight = tz::offset(8)
            .to_timestamp(self.date.at(0, 0, 0, 0))
            .unwrap()
            .as_millisecond();
        let number = |number: u64| i64::try_from(number).unwrap();
        let step = 86_400_000 / number(self.payments());
        // The first ones are missing here; the fourth kind was not paid as far as is known.
        sqlx::query(
            "INSERT INTO orders (out_trade_no, kind, app_id, total, request, state, transaction_id, held, created_at, accepted_at, paid_at)
             WITH RECURSIVE numbers (n) AS (SELECT $1 + 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2)
             SELECT 'ORDER_' || n, 'JSAPI', $3, n % 1000 + 1, '', CASE WHEN n > 3 * $1 AND n <= 4 * $1 THEN 'NOTPAY' ELSE 'SUCCESS' END,
                    CASE WHEN n > 3 * $1 AND n <= 4 * $1 THEN NULL ELSE '4200' || n END, 0, $4, $4,
                    CASE WHEN n > 3 * $1 AND n <= 4 * $1 THEN NULL ELSE $4 + (n - 1) * $5 END
               FROM numbers",
        )
        .bind(number(self.differences))
        .bind(number(self.payments()))
        .bind(&self.app_id)
        .bind(midnight)
        .bind(step)
        .execute(&mut conn)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO refunds (out_refund_no, out_trade_no, refund_id, amount, request, state, created_at, asked_for_at, accepted_at, applied_at)
             WITH RECURSIVE numbers (n) AS (SELECT $1 + 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1 + $2)
             SELECT 'REFUND_' || n, 'ORDER_' || n, '5000' || n, n % 1000 + 1, '', 'SUCCESS', $3, $3, $3 + 1000, $3 + (n - 1) * $4
               FROM numbers",
        )
        .bind(number(4 * self.differences))
        .bind(number(self.refunds()))
        .bind(midnight)
        .bind(step)
        .execute(&mut conn)
        .await
        .unwrap();
        // As the server's own housekeeping does, sooner or later.
        sqlx::query("ANALYZE").execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    /// The text of the day's bill.
    pub(crate) fn bill(&self) -> String {
        let mut text = HEADER.to_owned();
        let (mut count, mut paid, mut back) = (0_u64, 0_u64, 0_u64);
        let mut line = |n: u64, total: u64, refund: Option<u64>| {
            let second = n * 86_000 / self.lines;
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let back = yuan(refund.unwrap_or(0));
            let (state, refund) = match refund {
                None => ("SUCCESS", "0,`0,`0.00,`0.00,`,`".to_owned()),
                Some(_) => (
                    "REFUND",
                    format!("5000{n},`REFUND_{n},`{back},`0.00,`ORIGINAL,`SUCCESS"),
                ),
            };
            let (date, app_id, mchid, total) = (self.date, &self.app_id, &self.mchid, yuan(total));
            write!(
                text,
                "`{date} {hour:02}:{minute:02}:{second:02},`{app_id},`{mchid},`0,`,`4200{n},`ORDER_{n},`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`JSAPI,`{state},`OTHERS,`CNY,`{total},`0.00,`{refund},`Test product,`,`0.00000,`0.60%,`{total},`{back},`\r\n"
            )
            .unwrap();
        };
        for n in 1..=self.payments() {
            let kind = self.kind(n);
            if kind == Some("missing_there") {
                continue;
            }
            let total = n % 1000 + 1 + u64::from(kind == Some("amount"));
            line(n, total, None);
            (count, paid) = (count + 1, paid + total);
        }
        for n in (1..=self.refunds()).map(|n| n + 4 * self.differences) {
            let other = u64::from(n - 4 * self.differences <= self.differences);
            let amount = n % 1000 + 1 + other;
            line(n, 0, Some(amount));
            (count, back) = (count + 1, back + amount);
        }
        let (paid, back) = (yuan(paid), yuan(back));
        write!(
            text,
            "{SUMMARY}`{count}.0,`{paid},`{back},`0.00,`0.00000,`{paid},`{back}\r\n"
        )
        .unwrap();
        text
    }

    /// Exactly those differences were found.
    pub(crate) fn check(&self, document: &serde_json::Value) {
        let differences = document["bills"][0]["differences"].as_array().unwrap();
        for kind in KINDS {
            let found = differences
                .iter()
                .filter(|difference| difference["kind"] == kind)
                .count();
            assert_eq!(u64::try_from(found).unwrap(), self.differences, "{kind}");
        }
        assert_eq!(u64::try_from(differences.len()).unwrap(), 5 * self.differences);
    }
}

fn yuan(fen: u64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}
