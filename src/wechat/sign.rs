//! What the merchant's key signs: requests to WeChat Pay, and the parameters a page hands to WeChat.
//!
//! One key does both; WeChat's documentation gives the strings (APIv3, "how to build the signature").

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use super::keys::{self, KeyError};
use super::verify::WechatKey;
use crate::domain::ids::{AppId, MchId, new_nonce};

/// The merchant's private key. Its `Debug` says no more than that.
pub struct MerchantKey(KeyPair);

impl MerchantKey {
    /// Reads `apiclient_key.pem`, however a web form has damaged it.
    ///
    /// # Errors
    /// What is wrong with it, never what it holds.
    pub fn read(damaged_pem: &str) -> Result<Self, KeyError> {
        let der = keys::private_key(damaged_pem)?;
        KeyPair::from_pkcs8(&der).map(Self).map_err(|_| KeyError::NotRsa)
    }

    /// Whether this public key is the other half.
    pub(crate) fn is_half_of(&self, key: &WechatKey) -> bool {
        let own = self.0.public_key();
        key.has_modulus(own.modulus().big_endian_without_leading_zero())
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256, in base64: 344 characters.
    ///
    /// # Panics
    /// Never: a key that was read signs every message.
    pub fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a key that was accepted at the start signs every message: PKCS#1 v1.5 has no other input");
        STANDARD.encode(signature)
    }
}

impl fmt::Debug for MerchantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MerchantKey([REDACTED])")
    }
}

/// Signs in the merchant's name.
#[derive(Debug)]
pub struct Signer {
    /// The merchant.
    pub mchid: MchId,
    /// Serial of the certificate that belongs to the key.
    pub serial: String,
    /// The key.
    pub key: Arc<MerchantKey>,
}

/// What `WeixinJSBridge.invoke('getBrandWCPayRequest', ...)` and `wx.requestPayment` take.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct BridgeParams {
    /// The app that the order was placed for.
    #[serde(rename = "appId")]
    pub app_id: String,
    /// For the page's own records; the bridge does not take it.
    pub prepay_id: String,
    /// Unix seconds, as text: a number is refused by some phones.
    #[serde(rename = "timeStamp")]
    pub time_stamp: String,
    /// Random.
    #[serde(rename = "nonceStr")]
    pub nonce_str: String,
    /// `prepay_id=` and the id.
    pub package: String,
    /// `RSA`.
    #[serde(rename = "signType")]
    pub sign_type: &'static str,
    /// The signature over the four lines appId, timeStamp, nonceStr, package.
    #[serde(rename = "paySign")]
    pub pay_sign: String,
}

/// What the OpenSDK of a mobile app takes (`PayReq`). The names are the ones that are signed; iOS and Android spell some of them otherwise.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AppParams {
    /// The app that the order was placed for.
    pub appid: String,
    /// The merchant.
    pub partnerid: String,
    /// The id, without a prefix.
    pub prepayid: String,
    /// `Sign=WXPay`.
    pub package: &'static str,
    /// Random.
    pub noncestr: String,
    /// Unix seconds, as text.
    pub timestamp: String,
    /// The signature over the four lines appid, timestamp, noncestr, prepayid.
    pub sign: String,
}

impl Signer {
    /// The `Authorization` header of one attempt at one request. `target` is path and query exactly as they go on the request line.
    pub fn authorization(&self, method: &str, target: &str, body: &[u8], now: Timestamp) -> String {
        self.authorization_with(method, target, body, now.as_second(), &new_nonce())
    }

    fn authorization_with(&self, method: &str, target: &str, body: &[u8], timestamp: i64, nonce: &str) -> String {
        let mut message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n").into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        let (mchid, serial, signature) = (&self.mchid, &self.serial, self.key.sign(&message));
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{mchid}\",nonce_str=\"{nonce}\",signature=\"{signature}\",timestamp=\"{timestamp}\",serial_no=\"{serial}\""
        )
    }

    /// The parameters with which a page or a Mini Program pays `prepay_id`; made fresh for every call.
    pub fn bridge_params(&self, app_id: &AppId, prepay_id: &str, now: Timestamp) -> BridgeParams {
        self.bridge_params_with(app_id.as_str(), prepay_id, now.as_second(), new_nonce())
    }

    /// The parameters with which a mobile app pays `prepay_id`; made fresh for every call.
    pub fn app_params(&self, app_id: &AppId, prepay_id: &str, now: Timestamp) -> AppParams {
        self.app_params_with(app_id.as_str(), prepay_id, now.as_second(), new_nonce())
    }

    fn app_params_with(&self, app_id: &str, prepay_id: &str, timestamp: i64, nonce: String) -> AppParams {
        let sign = self
            .key
            .sign(format!("{app_id}\n{timestamp}\n{nonce}\n{prepay_id}\n").as_bytes());
        AppParams {
            appid: app_id.to_owned(),
            partnerid: self.mchid.as_str().to_owned(),
            prepayid: prepay_id.to_owned(),
            package: "Sign=WXPay",
            noncestr: nonce,
            timestamp: timestamp.to_string(),
            sign,
        }
    }

    fn bridge_params_with(&self, app_id: &str, prepay_id: &str, timestamp: i64, nonce: String) -> BridgeParams {
        let package = format!("prepay_id={prepay_id}");
        let pay_sign = self
            .key
            .sign(format!("{app_id}\n{timestamp}\n{nonce}\n{package}\n").as_bytes());
        BridgeParams {
            app_id: app_id.to_owned(),
            prepay_id: prepay_id.to_owned(),
            time_stamp: timestamp.to_string(),
            nonce_str: nonce,
            package,
            sign_type: "RSA",
            pay_sign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::tests_support::{pem_of, vectors};
    use rsa::pkcs1v15::SigningKey;
    use rsa::pkcs8::DecodePrivateKey as _;
    use rsa::signature::{SignatureEncoding as _, Signer as _};

    fn signer() -> Signer {
        Signer {
            mchid: MchId::parse("1900007291").unwrap(),
            serial: "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".to_owned(),
            key: Arc::new(MerchantKey::read(&pem_of("doc_test_merchant_private_key")).unwrap()),
        }
    }

    #[test]
    fn every_known_request_is_signed_as_wechat_signs_it() {
        let cases = vectors("request_signatures.json");
        let cases = cases["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let header = signer().authorization_with(
                text("method"),
                text("target"),
                text("body").as_bytes(),
                text("timestamp").parse().unwrap(),
                text("nonce"),
            );
            assert!(
                header.contains(&format!("signature=\"{}\"", text("expected_signature"))),
                "{}",
                text("target")
            );
            // The order of the members is free; these are the same ones, in the same form.
            let members = |header: &str| {
                let (scheme, rest) = header.split_once(' ').unwrap();
                let mut members: Vec<String> = rest.split(',').map(str::to_owned).collect();
                members.sort();
                (scheme.to_owned(), members)
            };
            assert_eq!(members(&header), members(text("authorization")));
        }
    }

    #[test]
    fn the_bridge_parameters_are_the_documented_ones() {
        let cases = vectors("client_pay_sign.json");
        let case = &cases["cases"][0];
        let text = |name: &str| case[name].as_str().unwrap();
        let params = signer().bridge_params_with(
            text("appId"),
            text("prepay_id"),
            text("timeStamp").parse().unwrap(),
            text("nonceStr").to_owned(),
        );
        assert_eq!(params.pay_sign, text("expected_signature"));
        assert_eq!(params.package, text("package"));
        assert_eq!(params.time_stamp, text("timeStamp"));
    }

    #[test]
    fn the_parameters_of_an_app_are_the_documented_ones() {
        let cases = vectors("client_pay_sign.json");
        let case = &cases["cases"][1];
        let text = |name: &str| case[name].as_str().unwrap();
        assert_eq!(text("kind"), "APP");
        let params = signer().app_params_with(
            text("appId"),
            text("prepay_id"),
            text("timeStamp").parse().unwrap(),
            text("nonceStr").to_owned(),
        );
        assert_eq!(params.sign, text("expected_signature"));
        // The id is signed without a prefix; what is signed is what is handed over.
        let said = serde_json::to_value(&params).unwrap();
        let expected = serde_json::json!({
            "appid": text("appId"), "partnerid": "1900007291", "prepayid": text("prepay_id"), "package": "Sign=WXPay",
            "noncestr": text("nonceStr"), "timestamp": text("timeStamp"), "sign": text("expected_signature"),
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn the_signatures_of_two_independent_libraries_are_the_same() {
        let pem = pem_of("doc_test_merchant_private_key");
        let other = SigningKey::<rsa::sha2::Sha256>::new(rsa::PrivateKey::from_pkcs8_pem(&pem).unwrap());
        for message in [b"".as_slice(), b"source", "订单\n".as_bytes(), &[0xff; 5000]] {
            assert_eq!(
                signer().key.sign(message),
                STANDARD.encode(other.sign(message).to_bytes())
            );
        }
    }

    #[test]
    fn the_sdk_signature_is_reproduced() {
        let cases = vectors("raw_signatures.json");
        let case = &cases["cases"][0];
        let key = MerchantKey::read(&pem_of("sdk_go_platform_private_key")).unwrap();
        assert_eq!(
            key.sign(case["message"].as_str().unwrap().as_bytes()),
            case["signature"].as_str().unwrap()
        );
    }

    #[test]
    fn a_key_loads_in_both_forms_and_the_rest_is_refused_by_name() {
        use rsa::pkcs1::EncodeRsaPrivateKey as _;
        let pem = pem_of("doc_test_merchant_private_key");
        let key = rsa::PrivateKey::from_pkcs8_pem(&pem).unwrap();
        let pkcs1 = key.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).unwrap();
        let signatures: Vec<String> = [pem.as_str(), pkcs1.as_str()]
            .into_iter()
            .flat_map(|pem| {
                let body = pem
                    .lines()
                    .filter(|line| !line.starts_with("-----"))
                    .collect::<String>();
                [pem.to_owned(), pem.replace('\n', "\\n"), body]
            })
            .map(|pem| MerchantKey::read(&pem).unwrap().sign(b"x"))
            .collect();
        assert!(signatures.windows(2).all(|pair| pair[0] == pair[1]) && signatures.len() == 6);

        let certificate = include_str!("../../tests/vectors/sdk_java_platform_certificate.pem");
        assert!(matches!(
            MerchantKey::read(certificate),
            Err(KeyError::WrongKind { .. })
        ));
        assert_eq!(
            MerchantKey::read(&pem.replace("MII", "MIJ")).err(),
            Some(KeyError::NotRsa)
        );
        assert!(!format!("{:?}", signer()).contains("MII"));
    }
}
