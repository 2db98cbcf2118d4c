//! The members of a request, taken one by one; every fault of all of them in one refusal.
//!
//! Whatever nobody has taken at the end is a member that does not belong there, and is refused by its name: WeChat would refuse it too.
//!
//! The same readers describe the form: over a [`Form::draft`] they write down what they would take instead of taking it.

mod draft;
mod rule;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use self::draft::Draft;
pub(crate) use self::rule::{Fault, Rule};
use crate::domain::ids::Malformed;
use crate::domain::money::Fen;

/// The largest amount in fen that every JSON reader reads exactly.
const MOST_FEN: i64 = 9_007_199_254_740_991;

/// What a text consists of, for a program: no control characters but line breaks and tabs.
pub(crate) const NO_CONTROL: &str = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$";

/// A form that is being read.
#[derive(Debug)]
pub(crate) struct Form {
    prefix: String,
    members: Map<String, Value>,
    faults: Vec<Fault>,
    draft: Option<Draft>,
}

impl Form {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self {
            prefix: String::new(),
            members,
            faults: Vec::new(),
            draft: None,
        }
    }

    /// A form that is only described: every reader writes down what it would take, and gives nothing.
    pub(crate) fn draft() -> Self {
        Self {
            draft: Some(Draft::default()),
            ..Self::new(Map::new())
        }
    }

    /// What the readers wrote down, as a JSON Schema; `None` for a form that was really read.
    pub(crate) fn drafted(self) -> Option<Value> {
        self.draft.map(Draft::schema)
    }

    /// Whether this form is only described; then this member is noted.
    fn notes(&mut self, member: &str, schema: impl FnOnce() -> Value) -> bool {
        let Some(draft) = &mut self.draft else { return false };
        draft.note(member, schema());
        true
    }

    /// Adds a fault that the members together have.
    pub(crate) fn fault(&mut self, member: &str, rule: Rule) {
        let member = format!("{}{member}", self.prefix);
        self.faults.push(Fault { member, rule });
    }

    /// Whether a member is there.
    pub(crate) fn has(&self, member: &str) -> bool {
        self.members.get(member).is_some_and(|value| !value.is_null())
    }

    /// All that has not been taken yet, for a ticket to replace.
    pub(crate) fn members(&mut self) -> &mut Map<String, Value> {
        &mut self.members
    }

    fn value(&mut self, member: &str) -> Option<Value> {
        self.members.remove(member).filter(|value| !value.is_null())
    }

    /// A member that has to be there.
    pub(crate) fn required<T>(&mut self, member: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if let Some(draft) = &mut self.draft {
            draft.require(member);
            return read(self, member);
        }
        if !self.has(member) {
            self.members.remove(member);
            self.fault(member, Rule::Missing);
            return None;
        }
        read(self, member)
    }

    /// A text of so many characters.
    pub(crate) fn text(&mut self, member: &str, length: RangeInclusive<usize>) -> Option<String> {
        if self.notes(member, || {
            json!({
                "type": "string", "minLength": length.start(), "maxLength": length.end(), "pattern": NO_CONTROL,
            })
        }) {
            return None;
        }
        let value = self.value(member)?;
        let text = match value {
            Value::String(text) if length.contains(&text.chars().count()) => text,
            _ => {
                self.fault(member, Rule::Length(*length.start(), *length.end()));
                return None;
            }
        };
        // Neither WeChat nor every database takes them; line breaks and tabs are text.
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fault(member, Rule::NoControl);
            return None;
        }
        Some(text)
    }

    /// A number or name with a form of its own.
    pub(crate) fn id<T: FromStr<Err = Malformed>>(&mut self, member: &str) -> Option<T> {
        if self.notes(member, || draft::id::<T>()) {
            return None;
        }
        let value = self.value(member)?;
        // A value that is no text has the same fault as a malformed one; the empty text names the rule.
        match value.as_str().unwrap_or_default().parse() {
            Ok(id) => Some(id),
            Err(malformed) => {
                self.fault(member, Rule::Id(malformed));
                None
            }
        }
    }

    /// An integer within bounds; no fraction and no text.
    pub(crate) fn integer(&mut self, member: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        if self.notes(
            member,
            || json!({"type": "integer", "minimum": bounds.start(), "maximum": bounds.end()}),
        ) {
            return None;
        }
        let value = self.value(member)?;
        let number = value.as_i64().filter(|number| bounds.contains(number));
        if number.is_none() {
            self.fault(member, Rule::Integer(*bounds.start(), *bounds.end()));
        }
        number
    }

    /// An amount of at least 1 fen.
    pub(crate) fn fen(&mut self, member: &str) -> Option<Fen> {
        self.integer(member, 1..=MOST_FEN).and_then(Fen::positive)
    }

    /// An amount that may be 0.
    pub(crate) fn fen_or_zero(&mut self, member: &str) -> Option<Fen> {
        self.integer(member, 0..=MOST_FEN).and_then(Fen::not_negative)
    }

    /// True or false.
    pub(crate) fn truth(&mut self, member: &str) -> Option<bool> {
        if self.notes(member, || json!({"type": "boolean"})) {
            return None;
        }
        let value = self.value(member)?;
        if !value.is_boolean() {
            self.fault(member, Rule::Truth);
        }
        value.as_bool()
    }

    /// A time with offset, kept as it came.
    pub(crate) fn time(&mut self, member: &str) -> Option<String> {
        if self.notes(member, || json!({"type": "string", "format": "date-time"})) {
            return None;
        }
        let value = self.value(member)?;
        match value.as_str() {
            Some(text) if is_rfc3339(text) && text.parse::<jiff::Timestamp>().is_ok() => Some(text.to_owned()),
            _ => {
                self.fault(member, Rule::Time);
                None
            }
        }
    }

    /// An IP address, kept as it came.
    pub(crate) fn address(&mut self, member: &str) -> Option<String> {
        if self.notes(
            member,
            || json!({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
        ) {
            return None;
        }
        let value = self.value(member)?;
        match value.as_str() {
            Some(text) if text.parse::<IpAddr>().is_ok() => Some(text.to_owned()),
            _ => {
                self.fault(member, Rule::Address);
                None
            }
        }
    }

    /// Two members of which at least one has to be there; `false` when neither is.
    pub(crate) fn either(&mut self, one: &str, other: &str) -> bool {
        if let Some(draft) = &mut self.draft {
            draft.require_either(one, other);
            return true;
        }
        let there = self.has(one) || self.has(other);
        if !there {
            self.fault(one, Rule::Missing);
        }
        there
    }

    /// A text out of a few.
    pub(crate) fn one_of(&mut self, member: &str, choices: &[&str]) -> Option<String> {
        if self.notes(member, || json!({"type": "string", "enum": choices})) {
            return None;
        }
        let value = self.value(member)?;
        let chosen = value.as_str().filter(|text| choices.contains(text)).map(str::to_owned);
        if chosen.is_none() {
            self.fault(member, Rule::OneOf(choices.join(", ")));
        }
        chosen
    }

    /// An id out of the configured ones. The description names none of them: it is the same for every merchant.
    pub(crate) fn configured<T: FromStr<Err = Malformed>>(&mut self, member: &str, ids: &[&str]) -> Option<String> {
        if self.notes(member, || draft::id::<T>()) {
            return None;
        }
        self.one_of(member, ids)
    }

    /// A member that the service decides: it may repeat the configured value and nothing else. `setting` names that.
    pub(crate) fn fixed(&mut self, member: &str, configured: &str, setting: &'static str) {
        let schema = || json!({"type": "string", "description": format!("may only repeat the setting {setting}")});
        if self.notes(member, schema) {
            return;
        }
        if let Some(value) = self.value(member)
            && value.as_str() != Some(configured)
        {
            self.fault(member, Rule::Equal(setting));
        }
    }

    /// The members of an object inside; its faults and what nobody takes of it are this form's.
    pub(crate) fn object<T>(&mut self, member: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if let Some(draft) = &mut self.draft {
            draft.note(member, draft::of(read));
            return None;
        }
        match self.value(member)? {
            Value::Object(members) => {
                let prefix = format!("{}{member}.", self.prefix);
                self.inside(prefix, members, read)
            }
            _ => {
                self.fault(member, Rule::Object);
                None
            }
        }
    }

    /// The objects of a list inside.
    pub(crate) fn list<T>(&mut self, member: &str, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        if let Some(draft) = &mut self.draft {
            draft.note(
                member,
                json!({"type": "array", "minItems": 1, "items": draft::of(read)}),
            );
            return None;
        }
        let Value::Array(items) = self.value(member)? else {
            self.fault(member, Rule::List);
            return None;
        };
        if items.is_empty() {
            self.fault(member, Rule::NotEmpty);
            return None;
        }
        let mut list = Some(Vec::with_capacity(items.len()));
        for (index, item) in items.into_iter().enumerate() {
            let name = format!("{member}[{index}]");
            let read = if let Value::Object(members) = item {
                let prefix = format!("{}{name}.", self.prefix);
                self.inside(prefix, members, &mut read)
            } else {
                self.fault(&name, Rule::Object);
                None
            };
            list = list.zip(read).map(|(mut list, item)| {
                list.push(item);
                list
            });
        }
        list
    }

    fn inside<T>(
        &mut self,
        prefix: String,
        members: Map<String, Value>,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut inner = Self {
            prefix,
            members,
            faults: Vec::new(),
            draft: None,
        };
        let result = read(&mut inner);
        inner.refuse_the_rest();
        let sound = inner.faults.is_empty();
        self.faults.append(&mut inner.faults);
        result.filter(|_| sound)
    }

    fn refuse_the_rest(&mut self) {
        let rest: Vec<String> = std::mem::take(&mut self.members)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        // Enough to mend a form by; a body made of nothing else is no form.
        for name in rest.into_iter().take(32) {
            // A name out of a request goes into an answer: short, and without anything that could act there.
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.fault(&shown, Rule::Unknown);
        }
    }

    /// What was read, if there was no fault in any of it and nothing was left over.
    pub(crate) fn complete<T>(mut self, read: Option<T>) -> Result<T, Vec<Fault>> {
        self.refuse_the_rest();
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(self.faults),
        }
    }
}

/// The shape alone. The parser takes more than that, like a zone's name in brackets, and WeChat does not.
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => Some(fraction.trim_start_matches('0')).filter(|offset| offset.len() < fraction.len()),
        None => Some(rest),
    };
    matches!(offset, Some("Z" | "+00:00" | "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OutTradeNo;
    use serde_json::json;

    fn form(value: Value) -> Form {
        match value {
            Value::Object(members) => Form::new(members),
            other => panic!("{other}"),
        }
    }

    fn faults(faults: &[Fault]) -> Vec<(&str, Rule)> {
        faults
            .iter()
            .map(|fault| (fault.member.as_str(), fault.rule.clone()))
            .collect()
    }

    #[test]
    fn all_faults_come_at_once_and_by_name() {
        let mut form = form(json!({"out_trade_no": "x", "amount": {"total": "20", "tip": 1}, "color": "red"}));
        let number: Option<OutTradeNo> = form.required("out_trade_no", Form::id);
        let description = form.required("description", |form, member| form.text(member, 1..=127));
        let total = form.required("amount", |form, member| {
            form.object(member, |amount| amount.required("total", Form::fen))
        });
        let result = form.complete(number.zip(description).zip(total)).unwrap_err();
        assert_eq!(
            faults(&result),
            [
                ("out_trade_no", Rule::Id(OutTradeNo::RULE)),
                ("description", Rule::Missing),
                ("amount.total", Rule::Integer(1, MOST_FEN)),
                ("amount.tip", Rule::Unknown),
                ("color", Rule::Unknown),
            ]
        );
    }

    #[test]
    fn money_is_an_integer_and_nothing_else() {
        for (value, expected) in [
            (json!(1), Some(1)),
            (json!(20), Some(20)),
            (json!(0), None),
            (json!(-1), None),
            (json!(20.0), None),
            (json!(0.5), None),
            (json!("20"), None),
            (json!(true), None),
            (json!([20]), None),
            (json!(u64::MAX), None),
            (json!(9_007_199_254_740_992_i64), None),
            (serde_json::from_str("1e2").unwrap(), None),
            (serde_json::from_str("100000000000000000000000").unwrap(), None),
        ] {
            let mut form = form(json!({"total": value.clone()}));
            assert_eq!(form.fen("total").map(Fen::get), expected, "{value}");
        }
    }

    #[test]
    fn characters_are_counted_and_control_characters_are_not_text() {
        let read = |text: &str| form(json!({"d": text})).text("d", 1..=3);
        assert_eq!(read("支付宝").as_deref(), Some("支付宝"));
        assert_eq!(read("四个字符"), None);
        assert_eq!(read(""), None);
        assert_eq!(read("a\u{0}b"), None);
        assert_eq!(read("a\nb").as_deref(), Some("a\nb"));
    }

    #[test]
    fn a_time_has_the_form_that_wechat_reads() {
        for (text, good) in [
            ("2099-06-08T10:34:56+08:00", true),
            ("2099-06-08T10:34:56Z", true),
            ("2099-06-08T10:34:56.123-03:30", true),
            ("2099-06-08T10:34:56.+08:00", false),
            ("2099-06-08T10:34:56", false),
            ("2099-06-08T10:34:56+08", false),
            ("2099-06-08T10:34:56+08:00[Asia/Shanghai]", false),
            ("2099-06-08 10:34:56+08:00", false),
            ("20990608T103456Z", false),
            ("2099-02-30T10:34:56Z", false),
        ] {
            assert_eq!(form(json!({"t": text})).time("t").is_some(), good, "{text}");
        }
    }

    #[test]
    fn null_is_absent() {
        let mut form = form(json!({"attach": null, "description": null}));
        assert_eq!(form.text("attach", 0..=128), None);
        assert!(
            form.required("description", |form, member| form.text(member, 1..=127))
                .is_none()
        );
        assert_eq!(
            faults(&form.complete(Some(())).unwrap_err()),
            [("description", Rule::Missing)]
        );
    }

    #[test]
    fn lists_name_the_item_that_is_wrong() {
        let mut form = form(json!({"goods": [{"id": "a"}, {"id": 5, "x": 1}, 7]}));
        assert_eq!(
            form.list("goods", |item| item
                .required("id", |form, member| form.text(member, 1..=32))),
            None
        );
        let result = form.complete(Some(())).unwrap_err();
        assert_eq!(
            faults(&result),
            [
                ("goods[1].id", Rule::Length(1, 32)),
                ("goods[1].x", Rule::Unknown),
                ("goods[2]", Rule::Object)
            ]
        );
    }

    #[test]
    fn what_the_service_decides_may_only_be_repeated() {
        let mut form = form(json!({"mchid": "1900007291", "notify_url": "https://evil.example/"}));
        form.fixed("mchid", "1900007291", "merchantId");
        form.fixed("notify_url", "https://pay.example.com/", "notifyURLPayURL");
        assert_eq!(
            faults(&form.complete(Some(())).unwrap_err()),
            [("notify_url", Rule::Equal("notifyURLPayURL"))]
        );
    }
}
