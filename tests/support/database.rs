//! A fresh store for every test, and every test on both databases.

use std::path::PathBuf;

use sqlx::Connection as _;

/// Stamps each test on both databases. Those that need PostgreSQL are listed as ignored when no server is named.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(super::Store::Sqlite).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[cfg_attr(not(with_postgres), ignore = "TEST_POSTGRES_URL names no PostgreSQL server")]
                async fn $name() {
                    super::$name(super::Store::Postgres).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_stores;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// A store of one test; it is gone when this is dropped.
pub struct Database {
    pub url: String,
    folder: Option<PathBuf>,
    /// The server and the database on it.
    server: Option<(String, String)>,
}

impl Database {
    pub async fn fresh(store: Store) -> Self {
        let name = format!("pay_common_test_{}", uuid::Uuid::new_v4().simple());
        match store {
            Store::Sqlite => {
                let folder = std::env::temp_dir().join(&name);
                Self {
                    url: format!("sqlite://{}/store.db", folder.display()),
                    folder: Some(folder),
                    server: None,
                }
            }
            Store::Postgres => {
                let server = std::env::var_os("TEST_POSTGRES_URL").unwrap().into_string().unwrap();
                run(&server, &format!("CREATE DATABASE {name}")).await;
                let mut url = url::Url::parse(&server).unwrap();
                url.set_path(&name);
                Self {
                    url: url.into(),
                    folder: None,
                    server: Some((server, name)),
                }
            }
        }
    }
}

/// Runs a statement that no transaction may hold; the names in it are made here.
async fn run(server: &str, statement: &str) {
    let mut conn = sqlx::PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            drop(std::fs::remove_dir_all(folder));
        }
        if let Some((server, name)) = self.server.take() {
            // A runtime of its own: a test's runtime may be on its way down.
            let dropping = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(run(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
            });
            dropping.join().unwrap();
        }
    }
}
