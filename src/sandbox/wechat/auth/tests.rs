use axum::http::HeaderValue;
use rsa::pkcs8::DecodePublicKey;

use super::*;

const VECTORS: &str = include_str!("../../../../tests/vectors/request_signatures.json");
const MERCHANT_PEM: &str = include_str!("../../../../tests/vectors/doc_test_merchant_public_key.pem");

/// One request of the published vectors and the answer of the check.
struct Attempt {
    authorization: String,
    method: String,
    target: String,
    body: String,
    now: i64,
}

impl Attempt {
    fn all() -> Vec<Self> {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let text = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
        let cases = vectors["cases"].as_array().unwrap();
        cases
            .iter()
            .map(|case| Self {
                authorization: text(case, "authorization"),
                method: text(case, "method"),
                target: text(case, "target"),
                body: text(case, "body"),
                now: text(case, "timestamp").parse().unwrap(),
            })
            .collect()
    }

    fn official() -> Self {
        Self::all().swap_remove(0)
    }

    fn spelled(mut self, from: &str, to: &str) -> Self {
        assert!(self.authorization.contains(from), "{from}");
        self.authorization = self.authorization.replacen(from, to, 1);
        self
    }

    fn check(&self) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_str(&self.authorization).unwrap(),
        );
        let key = PublicKey::from_public_key_pem(MERCHANT_PEM).unwrap();
        let serial_no = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB";
        let merchant = Merchant {
            mchid: "1900007291",
            serial_no,
            public_key: &key,
        };
        let request = Signed {
            method: &self.method,
            target: &self.target,
            body: self.body.as_bytes(),
        };
        authenticate(&headers, &request, &merchant, self.now)
    }

    fn refusal(&self) -> String {
        let refusal = self.check().unwrap_err();
        assert_eq!(
            (refusal.status, refusal.code.as_str(), refusal.signed),
            (401, "SIGN_ERROR", false)
        );
        assert_eq!(refusal.detail.unwrap()["location"], "authorization");
        refusal.message
    }
}

#[test]
fn every_published_request_is_accepted() {
    let all = Attempt::all();
    assert_eq!(all.len(), 7);
    for attempt in all {
        assert_eq!(attempt.check(), Ok(()), "{}", attempt.target);
    }
}

#[test]
fn a_changed_body_address_method_or_time_is_refused() {
    let official = Attempt::official;
    let changed: [Attempt; 5] = [
        Attempt {
            body: official().body.replace("100", "101"),
            ..official()
        },
        Attempt {
            body: official().body + "\n",
            ..official()
        },
        Attempt {
            target: official().target + "?",
            ..official()
        },
        Attempt {
            method: "PUT".to_owned(),
            ..official()
        },
        official().spelled("1554208460", "1554208461"),
    ];
    for attempt in changed {
        assert!(attempt.refusal().starts_with("签名错误"));
    }
}

#[test]
fn another_spelling_of_the_same_path_is_refused() {
    let escaped = Attempt::all().into_iter().find(|a| a.target.contains("%2A")).unwrap();
    let unescaped = Attempt {
        target: escaped.target.replace("%2A", "*"),
        ..escaped
    };
    assert!(unescaped.refusal().starts_with("签名错误"));
}

#[test]
fn a_header_that_is_not_exactly_right_is_refused_with_the_reason() {
    let mut unclosed = Attempt::official();
    unclosed.authorization.pop();
    let cases = [
        (
            Attempt::official().spelled("WECHATPAY2-SHA256-RSA2048 ", ""),
            "认证类型",
        ),
        (
            Attempt::official().spelled("WECHATPAY2-SHA256-RSA2048", "Bearer"),
            "认证类型",
        ),
        (Attempt::official().spelled("RSA2048 ", "RSA2048  "), "未知"),
        (
            Attempt::official().spelled("mchid=\"1900007291\"", "mchid=1900007291"),
            "key=\"value\"",
        ),
        (Attempt::official().spelled(",nonce_str", ", nonce_str"), "未知"),
        (Attempt::official().spelled("nonce_str=", "nonce="), "未知"),
        (Attempt::official().spelled("mchid=\"1900007291\",", ""), "缺少mchid"),
        (
            Attempt::official().spelled("mchid=\"1900007291\",", "mchid=\"1900007291\",mchid=\"1900007291\","),
            "重复",
        ),
        (Attempt::official().spelled("1900007291", "1900007292"), "商户号不存在"),
        (Attempt::official().spelled("408B07E7", "408b07e7"), "40位大写"),
        (Attempt::official().spelled("408B07E7", "508B07E7"), "序列号有误"),
        (Attempt::official().spelled("1554208460", "1554208460000"), "以秒计"),
        (unclosed, "key=\"value\""),
    ];
    for (attempt, reason) in cases {
        let message = attempt.refusal();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn five_minutes_are_in_time_and_one_second_more_is_not() {
    let official = Attempt::official();
    for skew in [-300, 300] {
        let attempt = Attempt {
            now: official.now + skew,
            ..Attempt::official()
        };
        assert_eq!(attempt.check(), Ok(()));
    }
    for skew in [-301, 301] {
        let attempt = Attempt {
            now: official.now + skew,
            ..Attempt::official()
        };
        assert!(attempt.refusal().contains("过期"));
    }
}

#[test]
fn the_refusal_shows_what_should_have_been_signed() {
    let tampered = Attempt {
        method: "PUT".to_owned(),
        ..Attempt::official()
    };
    let detail = tampered.check().unwrap_err().detail.unwrap();
    let told = &detail["sign_information"];
    assert_eq!(told["method"], "PUT");
    assert_eq!(told["url"], "/v3/pay/transactions/jsapi");
    assert!(
        told["truncated_sign_message"]
            .as_str()
            .unwrap()
            .starts_with("PUT\n/v3/pay/transactions/jsapi\n1554208460\n")
    );
    assert!(told["sign_message_length"].as_u64().unwrap() > 300);
}
