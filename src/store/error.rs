//! Why the books could not be read or written.

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is locked, is full, or refuses. Nothing was changed.
    #[error("the store is not available: {0}")]
    Unavailable(#[from] sqlx::Error),
    /// The migrations cannot be applied.
    #[error("the store cannot be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds what this version did not write.
    #[error("the store holds something unreadable in {table}.{column} of {key}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        key: String,
    },
    /// The directory of the SQLite file cannot be made.
    #[error("the directory of the SQLite store cannot be made: {0}")]
    Directory(std::io::Error),
    /// There is no SQLite file of that name, and whoever only looks at a store does not make one.
    #[error(
        "there is no store at {0}: check DATABASE_URL and the working directory, or make it with `pay-common migrate` / 存储不存在：请检查 DATABASE_URL 与工作目录，或用 `pay-common migrate` 建立"
    )]
    Absent(String),
    /// The store has other migrations than this binary.
    #[error(
        "the store is at version {found} and this binary at {expected}: {} / 存储版本 {found} 与本程序版本 {expected} 不一致",
        if found < expected { "run `pay-common migrate`" } else { "use the newer binary" }
    )]
    OtherVersion {
        /// The last migration of the store; 0 for none.
        found: i64,
        /// The last migration of this binary.
        expected: i64,
    },
}
