//! The console as its visitors meet it; `tests/browser` opens it in Chromium.

mod books;
mod deeds;
mod door;
