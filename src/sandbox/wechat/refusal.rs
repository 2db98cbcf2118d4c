//! WeChat Pay's way of saying no: a status, a constant, a number in the `Request-ID` and sometimes a detail.

use serde_json::{Value, json};

/// An answer that is not 2xx.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) number: u32,
    pub(crate) detail: Option<Value>,
    pub(crate) signed: bool,
}

/// An undefined member, in the numbering of `Request-ID`.
pub(crate) const EXTRA_MEMBER: u32 = 270_924_358;
/// The payer is missing.
pub(crate) const OPENID_MISSING: u32 = 268_501_013;
/// A value out of its range.
pub(crate) const OUT_OF_RANGE: u32 = 268_435_464;

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            code: code.to_owned(),
            message,
            number: number_of(code),
            detail: None,
            signed: true,
        }
    }

    /// 401, never signed, with what the server itself would have signed.
    pub(crate) fn sign_error(message: impl Into<String>, sign_information: &Value) -> Self {
        let detail = json!({"location": "authorization", "sign_information": sign_information});
        Self {
            detail: Some(detail),
            ..Self::new(401, "SIGN_ERROR", message)
        }
        .unsigned()
    }

    /// A member of the body that is not what it should be.
    pub(crate) fn member(pointer: &str, value: &Value, issue: &str) -> Self {
        let detail = json!({"field": pointer, "value": value, "issue": issue, "location": "body"});
        Self {
            detail: Some(detail),
            ..Self::new(
                400,
                "PARAM_ERROR",
                format!("输入源“/body{pointer}”映射到字段规则校验失败：{issue}"),
            )
        }
    }

    /// A member of the body that this endpoint does not know.
    pub(crate) fn extra(pointer: &str, value: &Value) -> Self {
        let issue = "undefined member";
        let detail = json!({"field": pointer, "value": value, "issue": issue, "location": "body"});
        Self {
            detail: Some(detail),
            number: EXTRA_MEMBER,
            ..Self::new(400, "INVALID_REQUEST", format!("非法的额外参数：{pointer}"))
        }
    }

    /// A part of the address that is not what it should be.
    pub(crate) fn address(location: &str, field: &str, value: &str, issue: &str) -> Self {
        let detail = json!({"field": field, "value": value, "issue": issue, "location": location});
        Self {
            detail: Some(detail),
            ..Self::new(400, "PARAM_ERROR", format!("参数错误：{field} {issue}"))
        }
    }

    pub(crate) fn invalid(message: &str) -> Self {
        Self::new(400, "INVALID_REQUEST", message)
    }

    pub(crate) fn numbered(self, number: u32) -> Self {
        Self { number, ..self }
    }

    pub(crate) fn unsigned(self) -> Self {
        Self { signed: false, ..self }
    }

    pub(crate) fn body(&self) -> Value {
        match &self.detail {
            Some(detail) => json!({"code": self.code, "message": self.message, "detail": detail}),
            None => json!({"code": self.code, "message": self.message}),
        }
    }
}

/// The numeric code that goes with a constant; a general one where none is published.
fn number_of(code: &str) -> u32 {
    match code {
        "ORDER_NOT_EXIST" => 268_512_771,
        "FREQUENCY_LIMITED" => 268_447_840,
        "PARAM_ERROR" => 268_435_461,
        "ORDERPAID" => 268_449_538,
        "ORDER_CLOSED" => 268_447_914,
        "OUT_TRADE_NO_USED" => 268_498_688,
        "SIGN_ERROR" => 268_443_699,
        "APPID_MCHID_NOT_MATCH" => 268_445_527,
        _ => 268_435_456,
    }
}
