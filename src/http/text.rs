//! The languages of what a person reads: Chinese by default, English where it is preferred.

use reqwest::header::{ACCEPT_LANGUAGE, HeaderMap};

pub(crate) use crate::text::{Language, Text};

impl Language {
    /// The language that `Accept-Language` prefers among the two; Chinese when it names neither.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(accepted) = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()) else {
            return Self::default();
        };
        let mut best = (0, Self::default());
        for range in accepted.split(',').take(32) {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let language = match tag
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
                .as_str()
            {
                "zh" => Self::Chinese,
                "en" => Self::English,
                _ => continue,
            };
            let weight = weight(parameters);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }
}

/// `q=0.8` in thousandths; without one it is 1.
fn weight(parameters: &str) -> u32 {
    let Some(text) = parameters.trim().strip_prefix("q=") else {
        return 1000;
    };
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole.parse::<u32>(), thousandths.parse::<u32>()) {
        (Ok(whole), Ok(thousandths)) => whole.saturating_mul(1000).saturating_add(thousandths).min(1000),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_of_the_two_is_spoken_and_chinese_otherwise() {
        for (accepted, expected) in [
            ("", Language::Chinese),
            ("en", Language::English),
            ("en-US,en;q=0.9", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en;q=0.8, zh;q=0.9", Language::Chinese),
            ("fr, en;q=0.5", Language::English),
            ("fr", Language::Chinese),
            ("*", Language::Chinese),
            ("en;q=0", Language::Chinese),
            ("EN-gb", Language::English),
            ("en;q=x", Language::Chinese),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, accepted.parse().unwrap());
            assert_eq!(Language::of(&headers), expected, "{accepted:?}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::Chinese);
    }
}
