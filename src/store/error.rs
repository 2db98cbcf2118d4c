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
}
