//! A store that is made for one measurement and dropped after it.

use sqlx::{AnyConnection, Connection as _};

const DATABASE: &str = "pay_common_load";

pub(crate) struct Store {
    pub(crate) url: String,
    server: Option<String>,
    folder: Option<std::path::PathBuf>,
}

impl Store {
    /// A database of its own on that server; without one, a file.
    pub(crate) async fn fresh(server: Option<&str>) -> Self {
        sqlx::any::install_default_drivers();
        if let Some(server) = server {
            let mut conn = AnyConnection::connect(server).await.unwrap();
            for statement in [
                "DROP DATABASE IF EXISTS pay_common_load WITH (FORCE)",
                "CREATE DATABASE pay_common_load",
            ] {
                sqlx::query(statement).execute(&mut conn).await.unwrap();
            }
            let mut own = url::Url::parse(server).unwrap();
            own.set_path(DATABASE);
            return Self {
                url: own.to_string(),
                server: Some(server.to_owned()),
                folder: None,
            };
        }
        let folder = std::env::temp_dir().join(format!("pay-common-load-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            url: format!("sqlite://{}", folder.join("store.db").display()),
            server: None,
            folder: Some(folder),
        }
    }

    pub(crate) async fn drop(self) {
        if let Some(server) = self.server {
            let mut conn = AnyConnection::connect(&server).await.unwrap();
            sqlx::query("DROP DATABASE IF EXISTS pay_common_load WITH (FORCE)")
                .execute(&mut conn)
                .await
                .unwrap();
        }
        if let Some(folder) = self.folder {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
