//! The buyer's page: what the guide's page sends through the gateway, and what it makes of the answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::stage::{OPERATOR_KEY, ORIGIN};

/// A page that is logged in.
pub(super) struct Page {
    http: reqwest::Client,
    function_url: String,
    token: String,
}

/// What came back.
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Came {
    /// Whether the call succeeded, as the guide's page sees it.
    pub(super) fn is_success(&self) -> bool {
        self.status == 200 && self.body["code"] == 0
    }

    /// `body.data && body.data.data ? body.data.data : body.data`
    pub(super) fn content(&self) -> &Value {
        let data = &self.body["data"];
        if data["data"].is_null() { data } else { &data["data"] }
    }

    /// For a person: long texts cut short.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.status, shown(&self.body))
    }
}

/// JSON for a person: texts longer than a number of an order are cut.
pub(super) fn shown(value: &Value) -> String {
    fn cut(value: &Value) -> Value {
        match value {
            Value::String(text) if text.chars().count() > 44 => {
                Value::String(text.chars().take(41).chain("...".chars()).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(cut).collect()),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), cut(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    cut(value).to_string()
}

impl Page {
    pub(super) fn open(function_url: String, token: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self {
            http,
            function_url,
            token,
        })
    }

    /// No page at all: the merchant's own server, straight at the service.
    pub(super) fn of_operator(service: SocketAddr) -> anyhow::Result<Self> {
        Self::open(format!("http://{service}/"), OPERATOR_KEY.to_owned())
    }

    /// Posts to the gateway, as the guide's page does.
    pub(super) async fn call(&self, body: &Value) -> anyhow::Result<Came> {
        let request = self.http.post(&self.function_url).bearer_auth(&self.token);
        let request = request.header("origin", ORIGIN).json(body);
        let answer = request.send().await.context("the gateway does not answer")?;
        let status = answer.status().as_u16();
        Ok(Came {
            status,
            body: answer.json().await.context("the gateway's answer is not JSON")?,
        })
    }
}
