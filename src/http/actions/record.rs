//! What is kept of a request for a change: its action, its caller by a shortened name, and its outcome.

use crate::app::App;
use crate::domain::ids::{Openid, ends};
use crate::domain::order::Owner;
use crate::flows::remember;
use crate::http::action::Action;
use crate::http::caller::Caller;
use crate::http::failure::Failure;
use crate::store::requests::{About, Request};

/// Keeps what became of a request. `subject` is a refund's number, or empty.
pub(super) fn request<T>(
    app: &App,
    caller: &Caller,
    action: Action,
    (about, subject): (About, &str),
    outcome: &Result<T, Failure>,
) -> impl Future<Output = ()> + Send {
    let outcome = match outcome {
        Ok(_) => Some("OK"),
        // Nothing can be written to a store that just failed.
        Err(Failure::Store(_)) => None,
        Err(failure) => Some(failure.constant()),
    };
    let request = outcome.map(|outcome| Request {
        about,
        action: action.as_str(),
        subject: subject.to_owned(),
        who: who(caller),
        outcome,
    });
    let app = app.clone();
    async move {
        if let Some(request) = request {
            remember::request(&app, request).await;
        }
    }
}

/// The kind of caller, and the ends of the name by which the order would be theirs.
fn who(caller: &Caller) -> String {
    match caller.owner() {
        None => caller.kind().to_owned(),
        Some(Owner { sub, openid }) => {
            let name = sub.as_deref().or_else(|| openid.as_ref().map(Openid::as_str));
            format!("{} {}", caller.kind(), ends(name.unwrap_or_default()))
        }
    }
}
