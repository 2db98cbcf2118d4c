//! The cashier: the page on which a buyer sees what is paid to whom, and pays. Its files are part of the binary, and are all that it
//! loads: no other host, no framework, no build step. A merchant who serves a page of their own copies the same files; docs/cashier.md.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use super::published::Published;
use crate::app::App;

/// Each file: its path, what it is, and its text. The first is the page; it names the others relative to itself, so that the service may
/// stand below a path.
pub(crate) const FILES: [(&str, &str, &str); 6] = [
    ("/pay", "text/html; charset=utf-8", include_str!("cashier/index.html")),
    (
        "/pay/cashier.css",
        "text/css; charset=utf-8",
        include_str!("cashier/cashier.css"),
    ),
    (
        "/pay/cashier.js",
        "text/javascript; charset=utf-8",
        include_str!("cashier/cashier.js"),
    ),
    (
        "/pay/view.js",
        "text/javascript; charset=utf-8",
        include_str!("cashier/view.js"),
    ),
    (
        "/pay/texts.js",
        "text/javascript; charset=utf-8",
        include_str!("cashier/texts.js"),
    ),
    ("/pay/icon.svg", "image/svg+xml", include_str!("cashier/icon.svg")),
];

/// What the page may do. `weixin:` is how some versions of WeChat hear a page: their bridge opens a frame of that scheme, which loads
/// nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src weixin:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// The cashier as this process serves it: made once, when first asked for.
#[derive(Default)]
pub(crate) struct Cashier(OnceLock<Vec<Published>>);

impl std::fmt::Debug for Cashier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cashier")
    }
}

/// The routes of all files.
pub(crate) fn routes() -> [(&'static str, MethodRouter<App>); FILES.len()] {
    std::array::from_fn(|place| {
        let file = move |State(app): State<App>, headers: HeaderMap| async move { answer(&app, &headers, place) };
        (FILES.get(place).map_or("", |(path, _, _)| path), get(file))
    })
}

fn answer(app: &App, headers: &HeaderMap, place: usize) -> Response {
    let published = app.cashier.0.get_or_init(|| publish(&policy(app)));
    let file = published.get(place).expect("there is a route for each file only");
    file.answer(headers)
}

fn publish(policy: &str) -> Vec<Published> {
    let file =
        |(_, content_type, text): &(&str, &'static str, &'static str)| Published::new(content_type, *text, policy);
    FILES.iter().map(file).collect()
}

/// The pages that may be returned to may also show the cashier in a frame, and hand it the order.
fn policy(app: &App) -> String {
    let origins = app
        .browsers
        .iter()
        .flat_map(|browsers| &browsers.settings.return_origins);
    origins.fold(POLICY.to_owned(), |policy, origin| policy + " " + origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_its_own_files_and_nothing_else() {
        let (_, _, page) = FILES[0];
        let named = |text: &str| -> Vec<String> {
            ["src=\"", "href=\""]
                .iter()
                .flat_map(|name| text.split(name).skip(1).filter_map(|rest| rest.split('"').next()))
                .map(str::to_owned)
                .collect()
        };
        let paths: Vec<&str> = FILES.iter().map(|(path, _, _)| *path).collect();
        for target in named(page) {
            assert!(paths.contains(&format!("/{target}").as_str()), "{target}");
        }
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick"));
        for (path, _, text) in FILES {
            let hosts = text
                .replace("http://www.w3.org/2000/svg", "")
                .replace("https://shop.example.com", "");
            assert!(!hosts.contains("http://") && !hosts.contains("https://"), "{path}");
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path}");
        }
    }

    #[test]
    fn the_first_view_is_under_30_kilobytes_over_the_wire() {
        let files = publish(POLICY);
        let (packed, whole) = files
            .iter()
            .map(Published::bytes)
            .fold((0, 0), |(packed, whole), (p, w)| (packed + p, whole + w));
        // Half of it is left for headers, and for the way there.
        assert!(packed < 15_000, "{packed}");
        assert!(whole < 35_000, "{whole}");
    }
}
