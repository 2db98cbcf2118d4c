//! Every page and every deed of the console, and the way back to a page.

use url::form_urlencoded;

/// A page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Page {
    /// Today's figures, and what is open.
    Overview,
    /// What a number names.
    Search,
    /// The newest orders.
    Orders,
    /// One order with all that happened.
    Order,
    /// One transfer with all that happened.
    Transfer,
    /// What does not fit.
    Anomalies,
    /// What the business side is told.
    Webhooks,
}

impl Page {
    /// Every page.
    pub(super) const ALL: [Self; 7] = [
        Self::Overview,
        Self::Search,
        Self::Orders,
        Self::Order,
        Self::Transfer,
        Self::Anomalies,
        Self::Webhooks,
    ];

    /// Its path in the router.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/console",
            Self::Search => "/console/search",
            Self::Orders => "/console/orders",
            Self::Order => "/console/order",
            Self::Transfer => "/console/transfer",
            Self::Anomalies => "/console/anomalies",
            Self::Webhooks => "/console/webhooks",
        }
    }

    /// Its name below the console's own path; empty for the first.
    fn name(self) -> &'static str {
        self.path().trim_start_matches("/console").trim_start_matches('/')
    }
}

/// Something that is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    SignIn,
    SignOut,
    /// An anomaly has been seen to.
    Resolve,
    /// An event is to be told anew.
    Replay,
}

impl Deed {
    /// Every deed.
    pub(super) const ALL: [Self; 4] = [Self::SignIn, Self::SignOut, Self::Resolve, Self::Replay];

    /// Its path in the router.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::SignIn => "/console/sign-in",
            Self::SignOut => "/console/sign-out",
            Self::Resolve => "/console/resolve",
            Self::Replay => "/console/replay",
        }
    }
}

/// From where a relative address is read: the service may stand below a path that it does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum From {
    /// `/console`
    Top,
    /// `/console/...`
    Below,
}

impl From {
    /// The address of a page, with its query.
    pub(super) fn to(self, page: Page, query: &[(&str, &str)]) -> String {
        let path = match (self, page) {
            (Self::Top, Page::Overview) => "console".to_owned(),
            (Self::Below, Page::Overview) => "../console".to_owned(),
            (Self::Top, page) => format!("console/{}", page.name()),
            (Self::Below, page) => page.name().to_owned(),
        };
        with_query(path, query)
    }

    /// The address that a form is sent to.
    pub(super) fn deed(self, deed: Deed) -> String {
        self.file(deed.path())
    }

    /// The address of what stands at that path of the service.
    pub(super) fn file(self, path: &str) -> String {
        match self {
            Self::Top => path.trim_start_matches('/').to_owned(),
            Self::Below => match path.strip_prefix("/console/") {
                Some(name) => name.to_owned(),
                None => format!("..{path}"),
            },
        }
    }
}

fn with_query(path: String, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path;
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{path}?{query}")
}

/// Longest way back that is taken, in bytes: a page with a number and its place in a list.
const LONGEST: usize = 512;

/// A page with its query, as a form carries it through a sign-in or a deed. It names a page of the console and can name nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Way {
    page: Page,
    query: Vec<(String, String)>,
}

impl Way {
    /// What is looked at now. What was said on it is said once.
    pub(super) fn of(page: Page, query: &[(String, String)]) -> Self {
        let kept = query.iter().filter(|(name, _)| name != "said" && name != "lang");
        Self {
            page,
            query: kept.cloned().collect(),
        }
    }

    /// The way that a text says; `None` when it leads to no page of the console.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        let page = Page::ALL.into_iter().find(|page| page.name() == name)?;
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Some(Self::of(page, &query))
    }

    /// The first page.
    pub(super) fn top() -> Self {
        Self::of(Page::Overview, &[])
    }

    /// As a form carries it.
    pub(super) fn text(&self) -> String {
        with_query(self.page.name().to_owned(), &self.pairs(None))
    }

    /// Its address, with something to say there.
    pub(super) fn address(&self, from: From, said: Option<&str>) -> String {
        from.to(self.page, &self.pairs(said))
    }

    fn pairs<'a>(&'a self, said: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let kept = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        kept.chain(said.map(|said| ("said", said))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_relative_to_where_they_stand() {
        for (from, page, expected) in [
            (From::Top, Page::Overview, "console"),
            (From::Below, Page::Overview, "../console"),
            (From::Top, Page::Anomalies, "console/anomalies"),
            (From::Below, Page::Anomalies, "anomalies"),
        ] {
            assert_eq!(from.to(page, &[]), expected);
        }
        assert_eq!(
            From::Below.to(Page::Order, &[("no", "a|*&=#")]),
            "order?no=a%7C*%26%3D%23"
        );
        assert_eq!(From::Top.deed(Deed::Resolve), "console/resolve");
        assert_eq!(From::Below.deed(Deed::Resolve), "resolve");
        assert_eq!(From::Below.file("/pay/icon.svg"), "../pay/icon.svg");
    }

    #[test]
    fn a_way_leads_to_a_page_of_the_console_and_nowhere_else() {
        for (text, expected) in [
            ("", Some("../console")),
            ("order?no=ORDER_1", Some("order?no=ORDER_1")),
            ("anomalies?which=all&said=resolved&lang=en", Some("anomalies?which=all")),
            (
                "?next=https://evil.example",
                Some("../console?next=https%3A%2F%2Fevil.example"),
            ),
            ("https://evil.example/", None),
            ("//evil.example", None),
            ("/order", None),
            ("../pay", None),
            ("order/../../x", None),
            ("order\r\nset-cookie: a=b", None),
            ("javascript:alert(1)", None),
            ("resolve", None),
            (
                "order?no=\r\nset-cookie: a=b",
                Some("order?no=%0D%0Aset-cookie%3A+a%3Db"),
            ),
        ] {
            let way = Way::parse(text).map(|way| way.address(From::Below, None));
            assert_eq!(way.as_deref(), expected, "{text:?}");
        }
        assert_eq!(Way::parse(&format!("order?no={}", "x".repeat(LONGEST))), None);
        let way = Way::parse("order?no=ORDER_1").unwrap();
        assert_eq!(Way::parse(&way.text()), Some(way.clone()));
        assert_eq!(
            way.address(From::Below, Some("replayed")),
            "order?no=ORDER_1&said=replayed"
        );
    }
}
