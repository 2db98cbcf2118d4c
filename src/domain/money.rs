//! Money is a whole number of fen; there is no other kind.

use serde::Serialize;

/// An amount in fen (1 yuan = 100 fen), never negative.
///
/// There is no `+` and no conversion from a float: sums are checked, and an amount is parsed once, at the edge.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Fen(i64);

impl Fen {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of at least 1 fen, as WeChat asks of every order and refund; `None` for zero and below.
    pub const fn positive(fen: i64) -> Option<Self> {
        if fen >= 1 { Some(Self(fen)) } else { None }
    }

    /// An amount that may be zero (a coupon can pay all of an order); `None` below zero.
    pub const fn not_negative(fen: i64) -> Option<Self> {
        if fen >= 0 { Some(Self(fen)) } else { None }
    }

    /// The number of fen.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The amount in yuan with two decimals, for a person.
    pub fn yuan(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }

    /// The sum, or `None` when it does not fit.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left when `other` is taken away, or `None` when that is more than there is.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(left) => Self::not_negative(left),
            None => None,
        }
    }
}

impl std::fmt::Display for Fen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} fen", self.0)
    }
}

/// WeChat's fee in hundred-thousandths of a yuan (1 fen = 1000), the unit in which bills state it. Negative where it is given back with a
/// refund.
///
/// Not a [`Fen`]: most fees are no whole number of fen, and nobody pays one by itself.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fee(i64);

impl Fee {
    /// So many hundred-thousandths of a yuan.
    pub const fn hundred_thousandths(number: i64) -> Self {
        Self(number)
    }

    /// The number of hundred-thousandths of a yuan.
    pub const fn get(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_never_negative_and_an_order_is_never_free() {
        assert_eq!(Fen::positive(0), None);
        assert_eq!(Fen::positive(-1), None);
        assert_eq!(Fen::not_negative(-1), None);
        assert_eq!(Fen::not_negative(0).map(Fen::get), Some(0));
        assert_eq!(Fen::positive(1).map(Fen::get), Some(1));
    }

    #[test]
    fn yuan_are_written_to_the_fen() {
        let written = [0, 7, 20, 100, 123_456].map(|fen| Fen::not_negative(fen).unwrap().yuan());
        assert_eq!(written, ["0.00", "0.07", "0.20", "1.00", "1234.56"]);
        assert_eq!(Fen::positive(i64::MAX).unwrap().yuan(), "92233720368547758.07");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_no_sum() {
        let most = Fen::positive(i64::MAX).unwrap();
        assert_eq!(most.checked_add(Fen::positive(1).unwrap()), None);
        let three = Fen::positive(1).unwrap().checked_add(Fen::positive(2).unwrap());
        assert_eq!(three.map(Fen::get), Some(3));
    }

    #[test]
    fn no_more_can_be_taken_away_than_there_is() {
        let fen = |fen| Fen::not_negative(fen).unwrap();
        assert_eq!(fen(20).checked_sub(fen(20)), Some(fen(0)));
        assert_eq!(fen(20).checked_sub(fen(8)), Some(fen(12)));
        assert_eq!(fen(20).checked_sub(fen(21)), None);
    }

    #[test]
    fn an_amount_names_its_unit() {
        assert_eq!(Fen::positive(20).unwrap().to_string(), "20 fen");
    }
}
