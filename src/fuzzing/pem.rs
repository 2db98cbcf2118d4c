//! The repair of a PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::wechat::keys;
use crate::wechat::pem::{Der, read};

/// A repaired PEM needs no repair, any damage to it is repaired to the same, and a key in it is the same key.
///
/// # Panics
/// When that does not hold.
pub fn pem(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(Der { label, bytes: der }) = read(text) else {
        return false;
    };
    let sound = written(label.as_deref(), &der, "\n");
    let mut damaged: Vec<String> = ["\r\n", " ", "", "\\n", "\\r\\n", "\\\\n", "\\\\\\\\n", "\t\n "]
        .into_iter()
        .map(|between| written(label.as_deref(), &der, between))
        .collect();
    damaged.push(format!("\"{sound}\""));
    damaged.push(format!("'{}'", sound.trim_end()));
    damaged.push(format!("\\\"{sound}\\\""));
    damaged.push(format!("\u{feff}  {sound}\n"));
    for again in std::iter::once(&sound).chain(&damaged) {
        let repaired = read(again).expect("what was repaired once can be repaired again");
        assert_eq!((&repaired.label, &repaired.bytes), (&label, &der), "{again:?}");
    }
    if let Ok(key) = keys::private_key(text) {
        assert_eq!(keys::private_key(&sound).as_ref(), Ok(&key));
        let rewritten = written(Some("PRIVATE KEY"), &key, "\\n");
        assert_eq!(keys::private_key(&rewritten).as_ref(), Ok(&key));
    }
    if let Ok(key) = keys::public_key(text) {
        assert_eq!(keys::public_key(&sound).as_ref(), Ok(&key));
        let der = keys::public_der(&key).expect("a key that was read can be written");
        let rewritten = written(Some("PUBLIC KEY"), &der, " ");
        assert_eq!(keys::public_key(&rewritten), Ok(key));
    }
    true
}

/// The PEM with this between its lines; the body alone where there was no armour.
fn written(label: Option<&str>, der: &[u8], between: &str) -> String {
    let base64: Vec<char> = STANDARD.encode(der).chars().collect();
    let lines: Vec<String> = base64.chunks(64).map(|line| line.iter().collect()).collect();
    let body = lines.join(between);
    match label {
        Some(label) => format!("-----BEGIN {label}-----{between}{body}{between}-----END {label}-----{between}"),
        None => body,
    }
}
