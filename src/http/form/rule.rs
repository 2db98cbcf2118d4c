//! What a member has to be, and what is said of one that is not.

use crate::domain::ids::Malformed;
use crate::domain::money::Fen;
use crate::http::text::Text;

/// What is wrong with one member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// Its path, like `amount.total`.
    pub(crate) member: String,
    /// What would be right.
    pub(crate) rule: Rule,
}

/// What a member has to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    Missing,
    Unknown,
    Object,
    List,
    NotEmpty,
    Truth,
    Length(usize, usize),
    NoControl,
    Id(Malformed),
    Integer(i64, i64),
    OneOf(String),
    Equal(&'static str),
    Time,
    Address,
    Bytes(usize),
    Utf8(usize),
    Together(&'static str),
    TicketAlone,
    OrderTotal(Fen),
}

impl Rule {
    pub(crate) fn text(&self) -> Text {
        match self {
            Self::Missing => Text::new("必填", "is required"),
            Self::Unknown => Text::new("不是可接受的参数", "is not accepted here"),
            Self::Object => Text::new("必须是对象", "must be an object"),
            Self::List => Text::new("必须是数组", "must be a list"),
            Self::NotEmpty => Text::new("不能为空", "must not be empty"),
            Self::Truth => Text::new("必须是 true 或 false", "must be true or false"),
            Self::Length(min, max) => Text::new(
                format!("必须是 {min} 到 {max} 个字符的字符串"),
                format!("must be a text of {min} to {max} characters"),
            ),
            Self::NoControl => Text::new("不能包含控制字符", "must not hold control characters"),
            Self::Id(Malformed { min, max, allowed, .. }) => Text::new(
                format!("必须是 {min} 到 {max} 个字符的字符串，只能包含 {allowed}"),
                format!("must be a text of {min} to {max} characters of {allowed}"),
            ),
            Self::Integer(min, max) => Text::new(
                format!("必须是 {min} 到 {max} 的整数（不接受小数或字符串）"),
                format!("must be an integer from {min} to {max} (no fraction, no text)"),
            ),
            Self::OneOf(choices) => Text::new(format!("只能是：{choices}"), format!("must be one of: {choices}")),
            Self::Equal(what) => Text::new(
                format!("由服务端设置（{what}），请求不能另行指定"),
                format!("is set by the service ({what}) and cannot be chosen by a request"),
            ),
            Self::Time => Text::new(
                "必须是带时区的 RFC 3339 时间，例如 2026-11-23T16:00:00+08:00",
                "must be an RFC 3339 time with offset, like 2026-11-23T16:00:00+08:00",
            ),
            Self::Address => Text::new("必须是 IPv4 或 IPv6 地址", "must be an IPv4 or IPv6 address"),
            Self::Bytes(most) => Text::new(
                format!("作为 JSON 不能超过 {most} 字节"),
                format!("must be at most {most} bytes as JSON"),
            ),
            Self::Utf8(most) => Text::new(
                format!("不能超过 {most} 字节（UTF-8）"),
                format!("must be at most {most} bytes of UTF-8"),
            ),
            Self::TicketAlone => Text::new(
                "只能由 order_ticket 给出：请写入票据，或不要传",
                "comes from order_ticket alone: put it into the ticket, or leave it out",
            ),
            Self::OrderTotal(total) => Text::new(
                format!("必须等于订单总金额 {} 分", total.get()),
                format!("must equal the order's total, {total}"),
            ),
            Self::Together(other) => Text::new(
                format!("与 {other} 不一致"),
                format!("does not go together with {other}"),
            ),
        }
    }
}
