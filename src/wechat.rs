//! WeChat Pay APIv3 as its client sees it: signed requests, verified answers, opened notifications.
//!
//! The protocol's rules stand here and nowhere else. Nothing here knows the store or an HTTP status of this service.

pub(crate) mod advice;
pub mod bills;
pub mod certificates;
pub mod cipher;
pub mod client;
pub mod error;
pub mod keyring;
pub mod keys;
pub mod notification;
pub mod orders;
pub mod pem;
pub mod refunds;
pub mod sensitive;
pub mod sign;
pub mod transfers;
pub mod verify;
pub mod x509;

#[cfg(test)]
pub(crate) mod tests_support {
    //! Reads the known-answer vectors of `tests/vectors`.

    use reqwest::header::{HeaderMap, HeaderName};
    use serde_json::Value;

    pub(crate) fn vectors(file: &str) -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/vectors")
            .join(file);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// A published test key, in the armour that files have.
    pub(crate) fn pem_of(key: &str) -> String {
        let keys = vectors("private_keys.json");
        let body = keys["keys"][key]["der_base64"].as_str().unwrap().as_bytes();
        let lines: Vec<&str> = body.chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        )
    }

    /// A certificate that Tenpay has issued.
    pub(crate) fn real_certificate() -> String {
        vectors("certificates.json")["cases"][0]["decrypted_certificate_pem"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The same certificate with other bytes in one place; both are given in hex.
    pub(crate) fn damaged(pem: &str, from: &str, to: &str) -> String {
        let bytes = |hex: &str| -> Vec<u8> {
            let digits = hex.as_bytes().chunks(2);
            digits
                .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
                .collect()
        };
        let (from, to) = (bytes(from), bytes(to));
        let mut der = pem::parse(pem).unwrap().into_contents();
        let at = der.windows(from.len()).position(|window| window == from).unwrap();
        der[at..at + to.len()].copy_from_slice(&to);
        pem::encode(&pem::Pem::new("CERTIFICATE", der))
    }

    pub(crate) fn headers_of(headers: &Value) -> HeaderMap {
        let pairs = headers.as_object().unwrap().iter();
        pairs
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    value.as_str().unwrap().parse().unwrap(),
                )
            })
            .collect()
    }
}
