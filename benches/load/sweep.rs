//! One sweep over a few open orders, in a store that holds nothing else and in one of many settled orders. What differs is what the
//! history costs; most of the rest is WeChat's answers, which the simulator signs in this very process.

use std::time::{Duration, Instant};

use pay_common::boot::Service;
use pay_common::clock::Clock;
use pay_common::config::Config;
use pay_common::config::source::Source;
use pay_common::sandbox::World;
use sqlx::{AnyConnection, Connection as _};

use super::store::Store;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A `PostgreSQL` server; without it, a SQLite file that is thrown away
    #[arg(long)]
    database_url: Option<String>,
    /// Settled orders in the store
    #[arg(long, default_value_t = 1_000_000)]
    settled: i64,
    /// Open orders that are due
    #[arg(long, default_value_t = 100)]
    open: i64,
    /// Sweeps
    #[arg(long, default_value_t = 20)]
    times: u32,
}

/// Orders of one state, numbered from `from`.
async fn fill(conn: &mut AnyConnection, app_id: &str, (from, count): (i64, i64), state: &str, ask_at: Option<i64>) {
    let series = match conn.backend_name() {
        "SQLite" => "WITH RECURSIVE series(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM series WHERE n < $2)",
        _ => "WITH series AS (SELECT generate_series($1::bigint, $2::bigint) AS n)",
    };
    let statement = format!(
        "{series} INSERT INTO orders (out_trade_no, kind, app_id, total, owner_sub, owner_openid, request, state, prepay, prepay_at,
                             created_at, accepted_at, ask_at, asked, transaction_id, paid_at)
         SELECT 'LOAD_' || n, 'JSAPI', $3, 20, 'load', 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '{{}}', $4, 'wx' || n, 1, 1, 1, $5, 0,
                CASE WHEN $4 = 'SUCCESS' THEN 'T' || n END, CASE WHEN $4 = 'SUCCESS' THEN 1 END
           FROM series"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(from)
        .bind(from + count - 1)
        .bind(app_id)
        .bind(state)
        .bind(ask_at)
        .execute(conn)
        .await
        .unwrap();
}

pub(crate) async fn run(arguments: &Arguments) {
    let store = Store::fresh(arguments.database_url.as_deref()).await;
    let world = World::start(pay_common::sandbox::Options::default()).await.unwrap();
    let mut settings = world.settings();
    settings.extend([
        ("bindAddress", "127.0.0.1".to_owned()),
        ("PORT", "0".to_owned()),
        ("DATABASE_URL", store.url.clone()),
        ("sweepInterval", "0".to_owned()),
    ]);
    let clock = Clock::movable();
    let config = Config::read(&Source::of_pairs(settings).unwrap()).unwrap();
    let service = Service::start(config, clock.clone()).await.unwrap();
    let app_id = world.keys().appid().to_owned();
    let mut conn = AnyConnection::connect(&store.url).await.unwrap();
    let Arguments {
        settled, open, times, ..
    } = arguments;
    // The first sweep has to find nothing, so they are due an hour from now.
    let due = jiff::Timestamp::now().as_millisecond() + 3_600_000;
    fill(&mut conn, &app_id, (settled + 1, *open), "NOTPAY", Some(due)).await;
    for history in [0, *settled] {
        if history > 0 {
            fill(&mut conn, &app_id, (1, history), "SUCCESS", None).await;
        }
        sqlx::query("ANALYZE").execute(&mut conn).await.unwrap();
        let (mut idle, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..*times {
            let began = Instant::now();
            assert_eq!(service.sweep().await.unwrap().orders, 0, "nothing is due");
            idle.push(began.elapsed());
            clock.advance(2 * 3_600_000);
            let began = Instant::now();
            let orders = service.sweep().await.unwrap().orders;
            busy.push(began.elapsed());
            assert_eq!(
                i64::try_from(orders).unwrap(),
                *open,
                "all that is open, and nothing else"
            );
        }
        println!(
            "sweep: {open} open orders beside {history} settled ones on {}: {} with WeChat's answers, {} when nothing is due",
            conn.backend_name(),
            shown(busy),
            shown(idle)
        );
    }
    conn.close().await.unwrap();
    service.stop().await;
    store.drop().await;
}

fn shown(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "p50 {:.1} ms (max {:.1})",
        ms(took[took.len() / 2]),
        ms(took[took.len() - 1])
    )
}
