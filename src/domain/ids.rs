//! The numbers and names by which money is known. Each is parsed once, at the edge; inside, an [`OutTradeNo`] is one.
//!
//! The character rules matter twice: they are WeChat's, and these values become part of URLs.

use serde::Serialize;

/// Why a text is not the id it should be; says what would be right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be {min} to {max} characters of {allowed}")]
pub struct Malformed {
    /// Fewest characters.
    pub min: usize,
    /// Most characters.
    pub max: usize,
    /// The characters that may stand in it, for a person.
    pub allowed: &'static str,
    /// The same as the inside of a regular expression's brackets, for a program.
    pub class: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $min:literal..=$max:literal, $allowed:literal, $class:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What this id has to look like.
            pub const RULE: Malformed = Malformed { min: $min, max: $max, allowed: $allowed, class: $class };

            /// Reads the id, or says what it should look like.
            pub fn parse(text: impl Into<String>) -> Result<Self, Malformed> {
                let text = text.into();
                let is_allowed: fn(char) -> bool = $is_allowed;
                let length = text.chars().count();
                if (Self::RULE.min..=Self::RULE.max).contains(&length) && text.chars().all(is_allowed) {
                    Ok(Self(text))
                } else {
                    Err(Self::RULE)
                }
            }

            /// The id as it goes to WeChat and to the store.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::parse(text)
            }
        }
    };
}

macro_rules! plain_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

id!(
    /// The merchant's number of an order; unique for ever over all channels of one merchant.
    OutTradeNo, 6..=32, "A-Z a-z 0-9 _ - | *", "A-Za-z0-9_|*\\-",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '*')
);
id!(
    /// The merchant's number of a refund.
    OutRefundNo, 1..=64, "A-Z a-z 0-9 _ - | * @", "A-Za-z0-9_|*@\\-",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '*' | '@')
);
id!(
    /// WeChat's number of a payment; exists once an order is paid.
    TransactionId, 1..=32, "A-Z a-z 0-9 _ -", "A-Za-z0-9_\\-",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
);
id!(
    /// WeChat's number of a refund.
    RefundId, 1..=32, "A-Z a-z 0-9 _ -", "A-Za-z0-9_\\-",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
);
id!(
    /// The merchant's number of a transfer. Letters and digits only, unlike an order's.
    OutBillNo, 1..=32, "A-Z a-z 0-9", "A-Za-z0-9",
    |c| c.is_ascii_alphanumeric()
);
id!(
    /// WeChat's number of a transfer.
    TransferBillNo, 1..=64, "A-Z a-z 0-9 _ -", "A-Za-z0-9_\\-",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
);
id!(
    /// An app of the merchant: a service account, a mini program or a mobile app. They look alike and are not interchangeable.
    AppId, 3..=32, "A-Z a-z 0-9, beginning with wx", "A-Za-z0-9",
    |c| c.is_ascii_alphanumeric()
);
id!(
    /// The merchant. A string of digits, never a number.
    MchId, 8..=32, "0-9", "0-9",
    |c| c.is_ascii_digit()
);
id!(
    /// A payer under one app. Personal data: `Debug` and `Display` show a short prefix.
    Openid, 1..=128, "visible characters without spaces", "!-~",
    |c| c.is_ascii_graphic()
);

plain_debug!(
    OutTradeNo,
    OutRefundNo,
    TransactionId,
    RefundId,
    OutBillNo,
    TransferBillNo,
    AppId,
    MchId
);

impl std::fmt::Debug for Openid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&short(&self.0))
    }
}

impl std::fmt::Display for Openid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&short(&self.0))
    }
}

/// The first characters of something that a log may not hold whole.
pub(crate) fn short(personal: &str) -> String {
    personal.chars().take(4).chain("…".chars()).collect()
}

/// The ends of a personal name, by which two can be told apart and neither be used: the first 4 and the last 4 characters, of a short
/// one only the first 4.
pub(crate) fn ends(personal: &str) -> String {
    let count = personal.chars().count();
    if count < 13 {
        return short(personal);
    }
    let first = personal.chars().take(4);
    first
        .chain("…".chars())
        .chain(personal.chars().skip(count - 4))
        .collect()
}

/// A new id that sorts by the time it was made, as text, on both databases (UUID version 7).
#[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A new random text of 32 characters `0-9 A-F` for `nonce_str` and `nonceStr` (WeChat allows at most 32).
pub(crate) fn new_nonce() -> String {
    let mut buffer = uuid::Uuid::encode_buffer();
    uuid::Uuid::new_v4().simple().encode_upper(&mut buffer).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_number_has_6_to_32_of_the_allowed_characters() {
        for good in ["ORDER1", "a_b-c|d*", "12345678901234567890123456789012"] {
            assert!(OutTradeNo::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ORDE5",
            "123456789012345678901234567890123",
            "ORDER/1",
            "ORDER 1",
            "订单号码一二三",
            "ORDER\n1",
            "ORDER%2F",
            "../../x",
            "ORDER@1",
        ] {
            assert_eq!(OutTradeNo::parse(bad), Err(OutTradeNo::RULE), "{bad:?}");
        }
    }

    #[test]
    fn a_refund_number_may_hold_an_at_sign_but_nothing_that_changes_a_url() {
        assert!(OutRefundNo::parse("R@1|*_-").is_ok());
        for bad in ["", "a/b", "a?b", "a#b", "a%b", "a b", "a\\b", &"x".repeat(65)] {
            assert!(OutRefundNo::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn of_a_personal_name_only_the_ends_are_shown() {
        assert_eq!(ends("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"), "oUpF…eS6o");
        assert_eq!(ends("123456789012"), "1234…");
        assert_eq!(ends("1234567890123"), "1234…0123");
        assert_eq!(ends(""), "…");
    }

    #[test]
    fn an_openid_is_shown_by_a_short_prefix() {
        let openid = Openid::parse("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o").unwrap();
        assert_eq!(format!("{openid} {openid:?}"), "oUpF… oUpF…");
    }

    #[test]
    fn new_ids_sort_by_age_and_nonces_fit_wechat() {
        let ids: Vec<String> = (0..1000).map(|_| new_id()).collect();
        assert!(ids.is_sorted());
        let nonce = new_nonce();
        assert!(nonce.len() == 32 && nonce.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
