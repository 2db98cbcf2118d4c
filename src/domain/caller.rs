//! Who asks, as far as an order is concerned.

use super::order::Owner;

/// By what right somebody asks.
#[derive(Clone, Debug)]
pub enum Authority {
    /// The merchant's own server or operator; every order is theirs.
    Operator,
    /// A person, known by what the platform vouches for.
    Person(Owner),
}

impl Authority {
    /// Whether an order of this owner may be seen and changed.
    pub fn may_touch(&self, owner: &Owner) -> bool {
        match self {
            Self::Operator => true,
            Self::Person(person) => {
                let same_sub = person.sub.is_some() && person.sub == owner.sub;
                let same_openid = person.openid.is_some() && person.openid == owner.openid;
                same_sub || same_openid
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Openid;

    fn owner(sub: Option<&str>, openid: Option<&str>) -> Owner {
        Owner {
            sub: sub.map(str::to_owned),
            openid: openid.map(|openid| Openid::parse(openid).unwrap()),
        }
    }

    #[test]
    fn an_order_is_known_again_by_either_name_and_never_by_none() {
        let person = Authority::Person(owner(Some("u1"), Some("o1")));
        assert!(person.may_touch(&owner(Some("u1"), None)));
        assert!(person.may_touch(&owner(None, Some("o1"))));
        assert!(person.may_touch(&owner(Some("u2"), Some("o1"))));
        assert!(!person.may_touch(&owner(Some("o1"), Some("u1"))), "a sub is no openid");
        assert!(!person.may_touch(&owner(None, None)));
        assert!(!Authority::Person(owner(None, None)).may_touch(&owner(None, None)));
        assert!(Authority::Operator.may_touch(&owner(None, None)));
    }
}
