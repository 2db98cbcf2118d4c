//! Lists: a table on a wide screen, a card for each row on a narrow one, and the way to the next page.

use maud::{Markup, html};

use super::desk::Desk;
use super::places::Page;

/// Rows of a page. A page is taken up where the one before ended, by the key of its last row, so what is added meanwhile moves nothing.
pub(super) const ROWS: i64 = 50;

/// Cuts off the one row more that was read to know whether there is a next page; gives the key of the last row that stays, if so.
pub(super) fn cut<T>(rows: &mut Vec<T>, key: impl Fn(&T) -> &str) -> Option<String> {
    let most = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let is_more = rows.len() > most;
    rows.truncate(most);
    rows.last().filter(|_| is_more).map(|last| key(last).to_owned())
}

/// A table. Its roles are said, because a browser forgets them where a row becomes a card.
pub(super) fn table(caption: &str, names: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table role="table" {
            caption.unseen { (caption) }
            thead role="rowgroup" { tr role="row" { @for name in names { th role="columnheader" scope="col" { (name) } } } }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" { @for (name, cell) in names.iter().zip(row) { td role="cell" data-name=(name) { (cell) } } }
                }
            }
        }
    }
}

/// Links to the same list cut otherwise: `parameter` is what tells them apart, the first choice is the one without it.
pub(super) fn choices(desk: &Desk<'_>, page: Page, parameter: &str, about: &str, all: &[(&str, &str)]) -> Markup {
    let first = all.first().map_or("", |(value, _)| value);
    let now = desk.visit.asked(parameter).unwrap_or(first);
    html! {
        nav.choices aria-label=(about) { ul { @for (value, name) in all {
            @let query = [(parameter, *value)];
            @let query: &[(&str, &str)] = if *value == first { &[] } else { &query };
            li { a href=(desk.to(page, query)) aria-current=[(*value == now).then_some("true")] { (name) } }
        } } }
    }
}

/// The way to the next page, and from a later one to the first.
pub(super) fn pages(desk: &Desk<'_>, page: Page, next_after: Option<&str>) -> Markup {
    let kept: Vec<(&str, &str)> = desk
        .visit
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !matches!(*name, "after" | "said" | "lang"))
        .collect();
    let is_later = desk.visit.asked("after").is_some();
    html! {
        @if is_later || next_after.is_some() {
            nav.pages aria-label=(desk.say("翻页", "Pages of the list")) {
                @if is_later { a href=(desk.to(page, &kept)) { (desk.say("首页", "First page")) } }
                @if let Some(after) = next_after {
                    @let query = [kept.as_slice(), &[("after", after)]].concat();
                    a rel="next" href=(desk.to(page, &query)) { (desk.say("下一页", "Next page")) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_more_than_a_page_is_a_next_page() {
        let most = usize::try_from(ROWS).unwrap();
        let rows = |count: usize| -> Vec<String> { (1..=count).map(|n| n.to_string()).collect() };
        let mut all = rows(most + 1);
        assert_eq!(cut(&mut all, |row| row).as_deref(), Some("50"));
        assert_eq!(all.len(), most);
        for count in [0, 1, most] {
            let mut all = rows(count);
            assert_eq!(cut(&mut all, |row| row), None);
            assert_eq!(all.len(), count);
        }
    }
}
