//! Keys as they arrive from a web form: repaired, then read strictly.
//!
//! A console stores a PEM in an environment variable and damages it on the way: line breaks become `\n` in two characters, or
//! spaces, or CRLF; quotes are put around it; the armour is lost. All of that can be undone, because the base64 between the
//! armour has no meaning in its white space. What cannot be read after that is refused, and never quoted.

use base64::Engine as _;
use base64::decoded_len_estimate;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// What a PEM turned out to hold, DER inside.
pub struct Der {
    /// The label of its armour; `None` when only the base64 body arrived.
    pub label: Option<String>,
    /// The bytes; wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Why a PEM cannot be read. Never says what it holds.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemError {
    /// There is nothing between the armour.
    #[error("it is empty")]
    Empty,
    /// It begins and does not end: cut off when it was pasted.
    #[error("it has a BEGIN line and no matching END line: it was cut off")]
    CutOff,
    /// The body is not base64.
    #[error("its body is not base64: characters are missing or wrong")]
    NotBase64,
}

/// Undoes what a web form does to a PEM and reads it.
///
/// # Errors
/// Says which part is wrong, never what it holds.
pub fn read(damaged: &str) -> Result<Der, PemError> {
    let text = unescape(damaged);
    let text = unquoted(&text);
    let (label, body) = match text.split_once("-----BEGIN ") {
        Some((_, rest)) => {
            let (label, rest) = rest.split_once("-----").ok_or(PemError::CutOff)?;
            let end = format!("-----END {label}-----");
            let (body, _) = rest.split_once(end.as_str()).ok_or(PemError::CutOff)?;
            (Some(label.trim().to_owned()), body)
        }
        None => (None, text),
    };
    // As long as the text from the start: what grows leaves what it held behind.
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    base64.extend(body.chars().filter(|c| !c.is_whitespace()));
    if base64.is_empty() {
        return Err(PemError::Empty);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(decoded_len_estimate(base64.len())));
    STANDARD
        .decode_vec(base64.as_bytes(), &mut bytes)
        .map_err(|_| PemError::NotBase64)?;
    Ok(Der { label, bytes })
}

/// Line breaks and quotes that were written with backslashes, once or over and over. No part of a PEM has a backslash of its own.
fn unescape(damaged: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(damaged.len()));
    let mut backslashes = 0_usize;
    for character in damaged.chars() {
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        let escaped = std::mem::take(&mut backslashes);
        match character {
            'n' | 'r' | '\n' | '\r' if escaped > 0 => text.push('\n'),
            '"' | '\'' => text.push(character),
            _ => {
                text.extend(std::iter::repeat_n('\\', escaped));
                text.push(character);
            }
        }
    }
    text.extend(std::iter::repeat_n('\\', backslashes));
    text
}

/// Without the quotes around the whole, one kind or both, once or several times.
fn unquoted(text: &str) -> &str {
    let mut text = text;
    loop {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let inner = ['"', '\'']
            .into_iter()
            .find_map(|quote| trimmed.strip_prefix(quote)?.strip_suffix(quote));
        match inner {
            Some(inner) => text = inner,
            None => return trimmed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DER: &[u8] = &[
        0x30, 0x82, 0x01, 0x0a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50,
    ];

    fn body() -> String {
        STANDARD.encode(DER)
    }

    /// The body in lines of 64, as files have it.
    fn wrapped(body: &str) -> String {
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        lines.join("\n")
    }

    fn sound() -> String {
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            wrapped(&body())
        )
    }

    #[test]
    fn every_damage_of_a_web_form_is_undone() {
        let sound = sound();
        let damaged = [
            sound.clone(),
            sound.trim_end().to_owned(),
            sound.replace('\n', "\\n"),
            sound.replace('\n', "\\r\\n"),
            sound.replace('\n', "\r\n"),
            sound.replace('\n', " "),
            sound.replace('\n', ""),
            sound.replace('\n', "\\n\n"),
            sound.replace('\n', "\\\\n"),
            sound.replace('\n', "\\\\\\\\n"),
            sound.replace('\n', "\\\\r\\\\n"),
            sound.replace('\n', "\\\n"),
            format!("\\\\\"{}\\\\\"", sound.replace('\n', "\\\\n")),
            format!("\u{feff} \"{sound}\""),
            format!("\"{sound}\""),
            format!("'{}'", sound.trim_end()),
            format!("\"{}\"", sound.replace('\n', "\\n")),
            format!("\\\"{}\\\"", sound.replace('\n', "\\n")),
            format!("\"'{}'\"", sound.replace('\n', " ")),
            format!("\u{feff}{sound}"),
            format!("  \n{sound}\n\n"),
        ];
        for text in damaged {
            let der = read(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
            assert_eq!(der.bytes.as_slice(), DER, "{text:?}");
            assert_eq!(der.label.as_deref(), Some("PRIVATE KEY"), "{text:?}");
        }
    }

    #[test]
    fn the_body_alone_is_enough() {
        for text in [body(), wrapped(&body()), format!("\"{}\"", body())] {
            let der = read(&text).unwrap();
            assert_eq!((der.bytes.as_slice(), der.label), (DER, None));
        }
    }

    #[test]
    fn what_cannot_be_undone_is_refused_without_its_content() {
        let sound = sound();
        assert_eq!(read("").err(), Some(PemError::Empty));
        assert_eq!(
            read("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----").err(),
            Some(PemError::Empty)
        );
        assert_eq!(
            read(&sound.replace("-----END PRIVATE KEY-----", "")).err(),
            Some(PemError::CutOff)
        );
        assert_eq!(read(&sound.replace("MII", "M#I")).err(), Some(PemError::NotBase64));
        assert_eq!(read("this is not a key!").err(), Some(PemError::NotBase64));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            drop(read(&text));
        }

        #[test]
        fn white_space_anywhere_in_the_body_changes_nothing(at in 1usize..80, blank in "[ \t\r\n]{1,3}") {
            let mut text = body();
            let at = at.min(text.len());
            text.insert_str(at, &blank);
            let read_back = read(&format!("-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----")).unwrap();
            prop_assert_eq!(read_back.bytes.as_slice(), DER);
        }
    }
}
