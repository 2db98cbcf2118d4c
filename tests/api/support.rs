//! What the tests stand on.

pub mod app;
pub mod body;
pub mod database;

/// Stamps each test on both databases. Those that need PostgreSQL are listed as ignored when no server is named.
#[macro_export]
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::support::database::Store::Sqlite).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
                async fn $name() {
                    super::$name($crate::support::database::Store::Postgres).await;
                }
            )*
        }
    };
}
