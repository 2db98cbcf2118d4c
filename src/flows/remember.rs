//! What was asked for is written down for people: who asked for which change, what became of it, and how often.
//!
//! It moves no money and nothing depends on it, so it happens beside the answer, and what cannot be written is a line in the log.

use std::sync::Arc;

use crate::app::App;
use crate::store::requests::{self, Request};

/// Writes a request down, without anybody waiting for it, unless the process is frozen once the answer is given. When more wait to be
/// written than `App::notes` allows, this one is let go.
pub(crate) async fn request(app: &App, request: Request) {
    let Ok(place) = Arc::clone(&app.notes).try_acquire_owned() else {
        tracing::warn!(
            action = request.action,
            outcome = request.outcome,
            "too many requests wait to be written down; this one is in the log only"
        );
        return;
    };
    let (within, now) = (app.clone(), app.clock.now_ms());
    let writing = async move {
        let _place = place;
        if let Err(error) = requests::record(&within.db, &request, now).await {
            tracing::warn!(action = request.action, outcome = request.outcome, %error, "a request was not written down");
        }
    };
    if app.config.serverless {
        writing.await;
    } else {
        app.tasks.spawn(writing);
    }
}
