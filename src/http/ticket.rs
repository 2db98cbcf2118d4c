//! The order ticket: what the merchant's backend has signed of an order, so that a page cannot choose it.
//!
//! A compact JWS (RFC 7515) with HS256, whose claims are members of the order's body. What it says replaces what the body says, before
//! anything of it is read, so every rule of an order holds for a ticket too. It names one `out_trade_no`: a number is one order for
//! ever, and so is a ticket.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::failure::Failure;
use super::form::{Form, Rule};
use super::json::Strict;
use super::text::Text;
use crate::app::App;
use crate::auth::jws;
use crate::config::OrderTickets;
use crate::domain::caller::Authority;
use crate::domain::ids::Openid;

/// The member of the body that holds it.
const MEMBER: &str = "order_ticket";

/// Longer than any order that WeChat takes, in characters.
const LONGEST: usize = 16 * 1024;

/// How far `exp` may be away, in seconds. A price is made for somebody who is about to pay; what holds for longer was a mistake, and
/// would be one for as long.
const LONGEST_LIFE_S: i64 = 24 * 3600;

/// How far the backend's clock may be ahead of ours, in seconds.
const LEEWAY_S: i64 = 60;

/// What makes it a ticket: without one of these the page would choose after all.
const NEEDED: [&str; 3] = ["out_trade_no", "description", "amount"];

/// What it may say besides.
const OPTIONAL: [&str; 9] = [
    "attach",
    "goods_tag",
    "time_expire",
    "detail",
    "support_fapiao",
    "settle_info",
    "scene_info",
    "payer",
    "appid",
];

/// About the ticket itself (RFC 7519). `iss`, `aud` and `jti` are the backend's own business: the number is what makes it single.
const CLAIMS: [&str; 7] = ["exp", "iat", "nbf", "sub", "iss", "aud", "jti"];

/// What only the ticket may say where there is one. `attach` comes back in the callback, and who delivers by it would deliver what a
/// page wrote; `goods_tag` and `detail` choose discounts; `settle_info` freezes the merchant's money; `time_expire` keeps an old
/// price open; `support_fapiao` offers an invoice. Who pays, in which app and from where remains the page's to say.
const ONLY_TICKETS: [&str; 6] = [
    "attach",
    "goods_tag",
    "time_expire",
    "detail",
    "support_fapiao",
    "settle_info",
];

/// Why a ticket is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum BadTicket {
    /// No secret is set, so none can be genuine.
    NotTaken,
    /// Not signed with HS256 and one of the secrets, or not a JWS at all.
    NotSigned,
    /// A claim is missing.
    Missing(&'static str),
    /// Claims that have no meaning here.
    Unknown(String),
    /// `exp` is no time, or one too far away.
    Lifetime,
    /// Its time has not come.
    NotYet,
    /// Its time is over.
    Expired,
    /// It is for another number than the body's.
    OtherNumber,
    /// It is for another caller.
    OtherCaller,
}

impl BadTicket {
    /// For the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::NotTaken => "no secret is set",
            Self::NotSigned => "not signed",
            Self::Missing(_) => "a claim is missing",
            Self::Unknown(_) => "unknown claims",
            Self::Lifetime => "lifetime",
            Self::NotYet => "not valid yet",
            Self::Expired => "expired",
            Self::OtherNumber => "for another number",
            Self::OtherCaller => "for another caller",
        }
    }

    pub(crate) fn text(&self) -> Text {
        match self {
            Self::NotTaken => Text::new(
                "本服务不接受 order_ticket：未设置 orderTicketSecret",
                "no order_ticket is taken here: orderTicketSecret is not set",
            ),
            Self::NotSigned => Text::new(
                "order_ticket 的签名无效：必须由商户后端用 orderTicketSecret 以 HS256 签名（JWS 紧凑格式）",
                "the signature of order_ticket is wrong: the merchant's backend signs it with HS256 and orderTicketSecret, as a compact JWS",
            ),
            Self::Missing(claim) => Text::new(
                format!("order_ticket 缺少 {claim}"),
                format!("order_ticket has no {claim}"),
            ),
            Self::Unknown(claims) => Text::new(
                format!("order_ticket 包含不可接受的成员：{claims}"),
                format!("order_ticket holds what is not accepted there: {claims}"),
            ),
            Self::Lifetime => Text::new(
                "order_ticket 的 exp 必须是 24 小时之内的 Unix 秒数",
                "exp of order_ticket must be a time in Unix seconds, at most 24 hours away",
            ),
            Self::NotYet => Text::new(
                "order_ticket 尚未生效（nbf 或 iat）：请检查商户后端的时钟",
                "order_ticket is not valid yet (nbf or iat): look at the clock of the merchant's backend",
            ),
            Self::Expired => Text::new(
                "order_ticket 已过期：请向商户后端重新获取",
                "order_ticket has expired: ask the merchant's backend for a new one",
            ),
            Self::OtherNumber => Text::new(
                "order_ticket 属于另一个 out_trade_no",
                "order_ticket is for another out_trade_no",
            ),
            Self::OtherCaller => Text::new(
                "order_ticket 属于另一个用户（sub 或 payer）",
                "order_ticket is for another user (sub or payer)",
            ),
        }
    }
}

/// Puts what a ticket says in the place of what the body says.
///
/// # Errors
/// There is no ticket where one is needed, or it cannot be used.
pub(crate) fn apply(app: &App, caller: &Caller, mut form: Form) -> Result<Form, Failure> {
    let tickets = &app.config.order_tickets;
    let members = form.members();
    let Some(ticket) = members.remove(MEMBER).filter(|ticket| !ticket.is_null()) else {
        return if tickets.required {
            Err(Failure::TicketRequired)
        } else {
            Ok(form)
        };
    };
    let claims = open(tickets, &ticket, app.clock.now().as_second()).map_err(Failure::BadTicket)?;
    if let Some(openid) = &caller.session_openid
        && !may_be_paid_by(&claims, openid)
    {
        return Err(Failure::BadTicket(BadTicket::OtherCaller));
    }
    let claims = for_this_caller(claims, &caller.authority).map_err(Failure::BadTicket)?;
    replace(form, claims).map_err(Failure::BadTicket)
}

/// The description of an order's form as somebody with a ticket fills it in: only the ticket is needed, and what only a ticket may say
/// is left out.
pub(crate) fn describe(mut form: Value) -> Value {
    if let Some(schema) = form.as_object_mut() {
        schema.insert("required".to_owned(), json!([MEMBER]));
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|member, _| !ONLY_TICKETS.contains(&member.as_str()));
            properties.insert(
                MEMBER.to_owned(),
                json!({"type": "string", "minLength": 1, "maxLength": LONGEST}),
            );
        }
    }
    form
}

/// The claims of a genuine ticket whose time it is.
fn open(tickets: &OrderTickets, ticket: &Value, now_s: i64) -> Result<Map<String, Value>, BadTicket> {
    if tickets.secrets().next().is_none() {
        return Err(BadTicket::NotTaken);
    }
    let text = ticket
        .as_str()
        .filter(|text| text.len() <= LONGEST)
        .ok_or(BadTicket::NotSigned)?;
    let signed = tickets.secrets().find_map(|secret| {
        let key = DecodingKey::from_secret(secret);
        jws::signed::<Strict>(text, Algorithm::HS256, &key).ok()
    });
    let Some(Strict(Value::Object(claims))) = signed else {
        return Err(BadTicket::NotSigned);
    };
    let exp = claims.get("exp").ok_or(BadTicket::Missing("exp"))?;
    let exp = jws::seconds(exp).ok_or(BadTicket::Lifetime)?;
    if exp <= now_s {
        return Err(BadTicket::Expired);
    }
    let soonest = now_s.saturating_add(LEEWAY_S);
    if exp > soonest.saturating_add(LONGEST_LIFE_S) {
        return Err(BadTicket::Lifetime);
    }
    for begins in ["nbf", "iat"].iter().filter_map(|claim| claims.get(*claim)) {
        if !begins.is_null() && jws::seconds(begins).is_none_or(|begins| begins > soonest) {
            return Err(BadTicket::NotYet);
        }
    }
    if let Some(missing) = NEEDED
        .iter()
        .find(|claim| claims.get(**claim).is_none_or(Value::is_null))
    {
        return Err(BadTicket::Missing(missing));
    }
    let known = |claim: &str| NEEDED.contains(&claim) || OPTIONAL.contains(&claim) || CLAIMS.contains(&claim);
    let unknown: Vec<&str> = claims
        .keys()
        .map(String::as_str)
        .filter(|claim| !known(claim))
        .take(8)
        .collect();
    if unknown.is_empty() {
        Ok(claims)
    } else {
        // Names out of a request go into an answer: short, and without anything that could act there.
        let shown = unknown.join(", ");
        Err(BadTicket::Unknown(
            shown.chars().filter(|c| !c.is_control()).take(256).collect(),
        ))
    }
}

/// Whether a ticket leaves open who pays, or names this openid.
fn may_be_paid_by(claims: &Map<String, Value>, openid: &Openid) -> bool {
    let named = claims.get("payer").and_then(|payer| payer.get("openid"));
    named.is_none_or(|named| named.is_null() || named.as_str() == Some(openid.as_str()))
}

/// The order's members, when the ticket is for whoever calls. `sub` is the uid of a login; who has none is named by `payer`.
fn for_this_caller(mut claims: Map<String, Value>, authority: &Authority) -> Result<Map<String, Value>, BadTicket> {
    if let (Some(sub), Authority::Person(person)) = (claims.get("sub"), authority) {
        // What is no text is nobody's name, also not that of somebody without one.
        let is_the_callers = sub.as_str().is_some_and(|sub| person.sub.as_deref() == Some(sub));
        if !is_the_callers {
            return Err(BadTicket::OtherCaller);
        }
    }
    claims.retain(|claim, value| !CLAIMS.contains(&claim.as_str()) && !value.is_null());
    Ok(claims)
}

/// The members of the ticket instead of the body's. A page may say them too; what it says of them is not looked at, but for the number
/// (then it has the ticket of another order) and for what only the ticket may say (then it wants something that it will not get).
fn replace(mut form: Form, claims: Map<String, Value>) -> Result<Form, BadTicket> {
    let members = form.members();
    let differs = |members: &Map<String, Value>, member: &str| {
        let said = members.get(member).filter(|value| !value.is_null());
        said.is_some_and(|said| claims.get(member) != Some(said))
    };
    if differs(members, "out_trade_no") {
        return Err(BadTicket::OtherNumber);
    }
    let chosen = ONLY_TICKETS.map(|member| (member, differs(members, member)));
    for member in ONLY_TICKETS {
        members.remove(member);
    }
    members.extend(claims);
    // A backend may write the amount as a plain number of fen.
    if let Some(total) = members.get("amount").filter(|amount| amount.is_i64()).cloned() {
        members.insert("amount".to_owned(), json!({"total": total}));
    }
    for (member, _) in chosen.into_iter().filter(|(_, differs)| *differs) {
        form.fault(member, Rule::TicketAlone);
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::order::Owner;

    const NOW: i64 = 1_800_000_000;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn claims() -> Value {
        json!({
            "out_trade_no": "ORDER_1",
            "description": "Test product",
            "amount": {"total": 20, "currency": "CNY"},
            "exp": NOW + 600,
        })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[member] = value;
        claims
    }

    fn opened(claims: &Value) -> Result<Map<String, Value>, BadTicket> {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let ticket = encode(&Header::default(), claims, &key).unwrap();
        open(&OrderTickets::of(&[SECRET]), &json!(ticket), NOW)
    }

    fn replaced(body: &Value, ticket: &Value) -> Result<Map<String, Value>, BadTicket> {
        let members = |value: &Value| value.as_object().unwrap().clone();
        let claims = for_this_caller(members(ticket), &Authority::Operator)?;
        let mut form = replace(Form::new(members(body)), claims)?;
        Ok(form.members().clone())
    }

    #[test]
    fn a_ticket_lives_until_exp_and_never_for_more_than_a_day() {
        for (member, value, expected) in [
            ("exp", json!(NOW + 1), None),
            ("exp", json!(NOW + 24 * 3600), None),
            ("exp", json!(1_800_000_600.5), None),
            ("exp", json!(NOW), Some(BadTicket::Expired)),
            ("exp", json!(NOW - 1), Some(BadTicket::Expired)),
            ("exp", json!(-1), Some(BadTicket::Expired)),
            ("exp", json!(NOW + LEEWAY_S + LONGEST_LIFE_S), None),
            (
                "exp",
                json!(NOW + LEEWAY_S + LONGEST_LIFE_S + 1),
                Some(BadTicket::Lifetime),
            ),
            ("exp", json!(NOW + 25 * 3600), Some(BadTicket::Lifetime)),
            ("exp", json!(NOW * 1000), Some(BadTicket::Lifetime)),
            ("exp", json!(format!("{}", NOW + 600)), Some(BadTicket::Lifetime)),
            ("exp", Value::Null, Some(BadTicket::Lifetime)),
            ("nbf", json!(NOW + 60), None),
            ("nbf", json!(NOW + 61), Some(BadTicket::NotYet)),
            ("iat", json!(NOW + 61), Some(BadTicket::NotYet)),
            ("iat", json!("today"), Some(BadTicket::NotYet)),
            ("iat", Value::Null, None),
        ] {
            assert_eq!(opened(&with(member, value.clone())).err(), expected, "{member} {value}");
        }
    }

    #[test]
    fn a_ticket_says_all_that_a_page_could_cheat_with_and_nothing_that_nobody_reads() {
        for member in NEEDED {
            assert_eq!(opened(&with(member, Value::Null)), Err(BadTicket::Missing(member)));
        }
        for member in OPTIONAL.iter().chain(&["iss", "aud", "jti", "sub"]) {
            assert!(opened(&with(member, json!("x"))).is_ok(), "{member}");
        }
        for member in [
            "total",
            "openid",
            "mchid",
            "notify_url",
            "useServiceAccount",
            "_action",
            "Attach",
        ] {
            let refused = BadTicket::Unknown(member.to_owned());
            assert_eq!(opened(&with(member, json!("x"))), Err(refused));
        }
    }

    #[test]
    fn what_is_no_object_or_says_something_twice_is_no_ticket() {
        let tickets = OrderTickets::of(&[SECRET]);
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        for ticket in [json!(5), json!({}), json!(""), json!("x".repeat(LONGEST + 1))] {
            assert_eq!(open(&tickets, &ticket, NOW), Err(BadTicket::NotSigned), "{ticket}");
        }
        for claims in [
            r#"["exp"]"#.to_owned(),
            claims().to_string().replacen('{', r#"{"amount":{"total":1},"#, 1),
        ] {
            let claims = serde_json::value::RawValue::from_string(claims).unwrap();
            let ticket = encode(&Header::default(), &claims, &key).unwrap();
            assert_eq!(
                open(&tickets, &json!(ticket), NOW),
                Err(BadTicket::NotSigned),
                "{claims}"
            );
        }
    }

    #[test]
    fn a_ticket_of_somebody_is_nobody_elses() {
        let person = |sub: Option<&str>| {
            Authority::Person(Owner {
                sub: sub.map(str::to_owned),
                openid: None,
            })
        };
        for (sub, caller, is_theirs) in [
            (json!("alice"), person(Some("alice")), true),
            (json!("alice"), Authority::Operator, true),
            (json!("alice"), person(Some("mallory")), false),
            (json!("alice"), person(None), false),
            (json!(5), person(None), false),
            (Value::Null, person(None), false),
            (json!(""), person(None), false),
        ] {
            let claims = with("sub", sub.clone()).as_object().unwrap().clone();
            let read = for_this_caller(claims, &caller);
            assert_eq!(read.is_ok(), is_theirs, "{sub} {caller:?}");
        }
        assert!(for_this_caller(claims().as_object().unwrap().clone(), &person(None)).is_ok());
    }

    proptest! {
        /// Whatever a page sends, an order is what its ticket says.
        #[test]
        fn the_ticket_wins(
            names in prop::collection::vec(prop::sample::select([NEEDED.as_slice(), &OPTIONAL, &["sub", "exp", "x"]].concat()), 0..8),
            signed in prop::collection::vec(prop::sample::select(OPTIONAL.to_vec()), 0..4),
            theirs in prop::sample::select(vec![json!(1), json!("a"), json!({"total": 1}), Value::Null]),
        ) {
            let body: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), theirs.clone())).collect();
            let mut ticket = claims();
            for name in signed {
                ticket[name] = json!("signed");
            }
            match replaced(&Value::Object(body.clone()), &ticket) {
                Ok(members) => {
                    for name in NEEDED.iter().chain(&OPTIONAL) {
                        match ticket.get(*name) {
                            Some(signed) => prop_assert_eq!(members.get(*name), Some(signed)),
                            None if ONLY_TICKETS.contains(name) => prop_assert_eq!(members.get(*name), None),
                            None => prop_assert_eq!(members.get(*name), body.get(*name)),
                        }
                    }
                }
                Err(error) => {
                    prop_assert_eq!(error, BadTicket::OtherNumber);
                    prop_assert!(body.get("out_trade_no").is_some_and(|number| number != "ORDER_1"));
                }
            }
        }
    }
}
