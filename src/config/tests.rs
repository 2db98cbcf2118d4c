//! What a start accepts, and what it says of what it does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::source::Source;
use super::*;
use crate::wechat::tests_support::{pem_of, real_certificate};

fn pairs() -> Vec<(&'static str, String)> {
    let public = include_str!("../../tests/vectors/doc_test_platform_public_key.pem");
    vec![
        ("appId", "wx2421b1c4370ec43b".to_owned()),
        ("merchantId", "1900007291".to_owned()),
        (
            "merchantSerialNumber",
            "408b07e79b8269fec3d5d3e6ab8ed163a6a380db".to_owned(),
        ),
        ("apiV3Key", "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb".to_owned()),
        (
            "privateKey",
            pem_of("doc_test_merchant_private_key").replace('\n', "\\n"),
        ),
        ("wxPayPublicKey", public.replace('\n', " ")),
        (
            "wxPayPublicKeyId",
            "PUB_KEY_ID_0119000072912026112300000000000000".to_owned(),
        ),
        ("notifyURLPayURL", "https://pay.example.com/wechatpay/order".to_owned()),
        (
            "notifyURLRefundsURL",
            "https://pay.example.com/wechatpay/refund".to_owned(),
        ),
    ]
}

pub(crate) fn read_with(more: &[(&'static str, &str)]) -> Result<Config, Problems> {
    let mut all = pairs();
    for (name, value) in more {
        all.retain(|(known, _)| known != name);
        all.push((name, (*value).to_owned()));
    }
    Config::read(&Source::of_pairs(all).unwrap())
}

/// The names of the settings that are refused.
fn refused(more: &[(&'static str, &str)]) -> Vec<&'static str> {
    read_with(more).err().map_or_else(Vec::new, |problems| {
        problems.0.iter().map(|problem| problem.setting).collect()
    })
}

#[test]
fn what_the_platform_injects_is_enough() {
    let config = read_with(&[]).unwrap();
    assert_eq!((config.port, config.trust_platform_headers), (3000, false));
    assert_eq!(config.merchant_serial, "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB");
    assert_eq!(config.refund_policy, RefundPolicy::Owner);
    assert_eq!(config.close_unpaid_after, Some(Duration::from_mins(10)));
    assert_eq!(config.wechat_base.as_str(), "https://api.mch.weixin.qq.com/");
    assert!(config.wechat_backup.is_some());
    assert!(
        config
            .warnings()
            .iter()
            .any(|warning| warning.contains("buyers can refund"))
    );
}

#[test]
fn the_platform_changes_the_port_trusts_its_headers_and_refuses_a_store_on_its_disk() {
    for name in ["TENCENTCLOUD_RUNENV", "SCF_RUNTIME"] {
        assert_eq!(refused(&[(name, "SCF")]), ["DATABASE_URL"]);
        let config = read_with(&[(name, "SCF"), ("DATABASE_URL", "postgres://u:p@db/pay")]).unwrap();
        assert_eq!((config.port, config.trust_platform_headers), (9000, true));
        let config = read_with(&[(name, "SCF"), ("allowEphemeralStore", "true"), ("PORT", "8080")]).unwrap();
        assert_eq!(config.port, 8080);
        let config = read_with(&[
            (name, "SCF"),
            ("allowEphemeralStore", "true"),
            ("trustPlatformHeaders", "false"),
        ])
        .unwrap();
        assert!(!config.trust_platform_headers);
    }
}

#[test]
fn every_malformed_setting_is_named() {
    for (name, value) in [
        ("signMode", "none"),
        ("appId", "1234"),
        ("appId", "wx bad"),
        ("service_app_id", "x"),
        ("merchantId", "mch"),
        ("merchantSerialNumber", "408B"),
        ("apiV3Key", "short"),
        ("privateKey", "nonsense"),
        ("wxPayPublicKey", "nonsense"),
        ("wxPayPublicKeyId", "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"),
        ("platformCertificates", "sometimes"),
        ("wxPayRootCertificate", "nonsense"),
        ("notifyURLPayURL", "/wechatpay/order"),
        ("notifyURLPayURL", "http://pay.example.com/wechatpay/order"),
        ("notifyURLRefundsURL", "https://pay.example.com/wechatpay/refund?x=1"),
        ("PORT", "70000"),
        ("bindAddress", "localhost"),
        ("DATABASE_URL", "mysql://db/pay"),
        ("DATABASE_URL", "sqlite::memory:"),
        ("allowEphemeralStore", "perhaps"),
        ("wechatPayBaseUrl", "http://api.mch.weixin.qq.com"),
        ("wechatPayBaseUrl", "https://api.mch.weixin.qq.com/v3"),
        ("wechatPayTimeoutMs", "soon"),
        ("operatorKeys", "op_the_key_itself"),
        ("trustPlatformHeaders", "maybe"),
        ("callbackConfirm", "sometimes"),
        ("refundPolicy", "everybody"),
        ("corsAllowOrigin", "shop.example.com"),
        ("corsAllowOrigin", "https://a.example, https://b.example/pay"),
        ("corsAllowOrigin", "*, https://a.example"),
        ("corsAllowOrigin", ","),
        ("closeUnpaidAfter", "-1"),
        ("sweepInterval", "-5"),
        ("logLevel", "loud"),
        ("logFormat", "xml"),
        ("authJwksUrl", "http://env.example.com/jwks"),
        ("authJwksUrl", "ftp://env.example.com/jwks"),
        ("authJwksUrl", "https://user:word@env.example.com/jwks"),
        ("authJwksUrl", "/jwks"),
        ("orderTicketSecret", "a secret of fewer bytes than 32"),
        ("orderTicketSecret", "0123456789abcdef0123456789abcdef, short"),
        ("requireOrderTicket", "sometimes"),
    ] {
        assert_eq!(refused(&[(name, value)]), [name], "{name}={value}");
    }
}

#[test]
fn what_is_missing_is_listed_whole() {
    let problems = Config::read(&Source::of_pairs::<&str, &str>([]).unwrap()).unwrap_err();
    let text = problems.to_string();
    let required: Vec<&str> = pairs()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("wxPayPublicKey"))
        .collect();
    for name in &required {
        assert!(
            text.contains(&format!("\n  {name}: is missing / 未设置")),
            "{name}: {text}"
        );
    }
    assert_eq!(problems.0.len(), required.len());
}

#[test]
fn the_public_key_and_its_id_belong_together_and_certificates_take_their_place() {
    assert_eq!(refused(&[("wxPayPublicKey", "")]), ["wxPayPublicKey"]);
    assert_eq!(refused(&[("wxPayPublicKeyId", "")]), ["wxPayPublicKeyId"]);
    let text = read_with(&[("wxPayPublicKeyId", "")]).unwrap_err().to_string();
    assert!(text.contains("is missing") && text.contains("未设置"), "{text}");

    let without = [("wxPayPublicKey", ""), ("wxPayPublicKeyId", "")];
    let config = read_with(&without).unwrap();
    assert!(config.wechat_key.is_none() && config.platform_certificates);
    assert!(!read_with(&[]).unwrap().platform_certificates);
    let config = read_with(&[("platformCertificates", "true")]).unwrap();
    assert!(
        config.wechat_key.is_some() && config.platform_certificates,
        "both at once"
    );
    let [key, id] = without;
    assert_eq!(
        refused(&[key, id, ("platformCertificates", "false")]),
        ["platformCertificates"]
    );
}

#[test]
fn a_root_is_read_as_a_web_form_left_it_and_has_to_be_one() {
    let root = include_str!("../../tests/vectors/sdk_java_platform_certificate.pem").replace('\n', "\\n");
    assert!(
        read_with(&[("wxPayRootCertificate", root.as_str())])
            .unwrap()
            .wechat_root
            .is_some()
    );
    assert!(read_with(&[]).unwrap().wechat_root.is_none());
    let issued = real_certificate();
    let problems = read_with(&[("wxPayRootCertificate", issued.as_str())]).unwrap_err();
    assert!(problems.to_string().contains("certification authority"), "{problems}");
}

#[test]
fn believing_a_forward_needs_an_id_to_believe() {
    assert_eq!(refused(&[("callbackConfirm", "never")]), ["integrationId"]);
    let config = read_with(&[("callbackConfirm", "never"), ("integrationId", "int-1")]).unwrap();
    assert!(
        config
            .warnings()
            .iter()
            .any(|warning| warning.contains("callbackConfirm=never"))
    );
}

#[test]
fn where_nobody_can_call_the_tick_it_is_said() {
    let warns = |more: &[(&'static str, &str)]| {
        let store = ("DATABASE_URL", "postgres://db.example/pay");
        let more: Vec<_> = more.iter().copied().chain([store]).collect();
        let warnings = read_with(&more).unwrap().warnings();
        warnings.iter().any(|warning| warning.contains("operatorKeys"))
    };
    let key = (
        "operatorKeys",
        "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
    );
    assert!(warns(&[("serverless", "true")]) && warns(&[("SCF_RUNTIME", "Go1")]));
    assert!(!warns(&[("serverless", "true"), key]) && !warns(&[]));
}

#[test]
fn a_first_attempt_ends_before_a_callback_has_to() {
    assert_eq!(
        read_with(&[]).unwrap().webhook_first_attempt,
        Duration::from_millis(1500)
    );
    for (said, is) in [("0", 0), ("4000", 4000)] {
        let config = read_with(&[("webhookFirstAttemptMs", said)]).unwrap();
        assert_eq!(config.webhook_first_attempt, Duration::from_millis(is));
    }
    assert_eq!(refused(&[("webhookFirstAttemptMs", "4001")]), ["webhookFirstAttemptMs"]);
}

#[test]
fn the_origins_of_pages_are_listed_or_all_or_none() {
    assert_eq!(read_with(&[]).unwrap().cors, Cors::Off);
    assert_eq!(read_with(&[("corsAllowOrigin", "*")]).unwrap().cors, Cors::Any);
    let config = read_with(&[("corsAllowOrigin", "https://a.example, http://localhost:5173,")]).unwrap();
    assert!(config.cors.allows("https://a.example") && config.cors.allows("http://localhost:5173"));
    assert!(!config.cors.allows("https://b.example"));
}

#[test]
fn tokens_are_verified_or_it_is_said_that_they_are_not() {
    let warns = |more: &[(&'static str, &str)], of: &str| {
        let warnings = read_with(more).unwrap().warnings();
        warnings.iter().any(|warning| warning.contains(of))
    };
    let url = ("authJwksUrl", "https://env.example.com/auth/v1/jwks?v=1");
    assert!(warns(&[], "decoded, not verified"));
    assert!(!warns(&[url], "decoded, not verified") && warns(&[url], "without envId"));
    assert!(!warns(&[url, ("envId", "env")], "envId"));
    assert_eq!(read_with(&[url]).unwrap().auth_jwks_url.unwrap().as_str(), url.1);
    assert!(read_with(&[("authJwksUrl", "http://127.0.0.1:9/jwks")]).is_ok());
}

#[test]
fn whoever_is_told_of_events_has_an_address_and_secrets_of_24_to_64_bytes() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7_u8; bytes]));
    let url = ("webhookUrl", "https://shop.example/hook");
    let told = |secrets: &str| read_with(&[url, ("webhookSecret", secrets)]);
    assert!(read_with(&[]).unwrap().webhook.is_none());
    assert_eq!(refused(&[url]), ["webhookSecret"]);
    assert_eq!(refused(&[("webhookSecret", &of(24))]), ["webhookUrl"]);
    for good in [of(24), of(64), format!("{}, {},", of(32), of(24))] {
        assert!(told(&good).is_ok_and(|config| config.webhook.is_some()), "{good}");
    }
    let two = told(&format!("{},{}", of(32), of(24))).unwrap().webhook.unwrap();
    let lengths: Vec<usize> = two.secrets().map(<[u8]>::len).collect();
    assert_eq!(lengths, [32, 24], "in the order in which they are named");
    let prefix_lost = STANDARD.encode([7_u8; 24]);
    for bad in [
        of(23),
        of(65),
        prefix_lost,
        "whsec_".to_owned(),
        "whsec_not base64".to_owned(),
        format!("{},{}", of(32), of(8)),
        ",".to_owned(),
    ] {
        assert_eq!(refused(&[url, ("webhookSecret", &bad)]), ["webhookSecret"], "{bad}");
    }
    for bad in [
        "http://shop.example/hook",
        "ftp://shop.example/hook",
        "/hook",
        "https://shop.example/hook#top",
    ] {
        assert_eq!(
            refused(&[("webhookUrl", bad), ("webhookSecret", &of(24))]),
            ["webhookUrl"],
            "{bad}"
        );
    }
    for good in [
        "http://127.0.0.1:8080/hook",
        "http://[::1]/",
        "http://localhost/hook?shop=1",
    ] {
        assert_eq!(
            refused(&[("webhookUrl", good), ("webhookSecret", &of(24))]),
            [""; 0],
            "{good}"
        );
    }
}

#[test]
fn a_ticket_needs_a_secret_and_a_secret_asks_for_tickets() {
    let secrets = (
        "orderTicketSecret",
        "0123456789abcdef0123456789abcdef, fedcba9876543210fedcba9876543210",
    );
    assert_eq!(refused(&[("requireOrderTicket", "true")]), ["orderTicketSecret"]);
    let optional = read_with(&[secrets]).unwrap();
    assert_eq!(optional.order_tickets.secrets().count(), 2);
    assert!(
        optional
            .warnings()
            .iter()
            .any(|warning| warning.contains("requireOrderTicket"))
    );
    let required = read_with(&[secrets, ("requireOrderTicket", "true")]).unwrap();
    assert!(required.order_tickets.required);
    assert!(
        !required
            .warnings()
            .iter()
            .any(|warning| warning.contains("requireOrderTicket"))
    );
    assert!(
        !read_with(&[])
            .unwrap()
            .warnings()
            .iter()
            .any(|warning| warning.contains("Ticket"))
    );
}

#[test]
fn two_names_of_one_setting_may_not_disagree() {
    assert_eq!(
        refused(&[
            ("service_app_id", "wx1111111111111111"),
            ("jsapiAppId", "wx2222222222222222")
        ]),
        ["jsapiAppId"]
    );
    let config = read_with(&[("jsapiAppId", "wx2222222222222222")]).unwrap();
    assert_eq!(config.service_app_id.unwrap().as_str(), "wx2222222222222222");
}

#[test]
fn further_apps_are_a_list_of_app_ids() {
    let listed = |value: &str| {
        let config = read_with(&[("appIds", value)]).unwrap();
        let more: Vec<String> = config.more_app_ids.iter().map(|app| app.as_str().to_owned()).collect();
        (more, config.apps().count())
    };
    assert_eq!(listed(""), (vec![], 1));
    let two = vec!["wx1111111111111111".to_owned(), "wx2222222222222222".to_owned()];
    assert_eq!(listed(" wx1111111111111111 ,, wx2222222222222222,"), (two, 3));
    for bad in [
        "1111111111111111",
        "wx11/11",
        "wx1111111111111111;wx2222222222222222",
        "*",
    ] {
        assert_eq!(refused(&[("appIds", bad)]), ["appIds"], "{bad}");
    }
}

#[test]
fn who_may_pay_out_is_decided_and_said() {
    assert_eq!(read_with(&[]).unwrap().transfer_policy, TransferPolicy::Operator);
    let keys = ("authJwksUrl", "https://env.example.com/auth/v1/jwks");
    let open = read_with(&[("transferPolicy", "any"), keys]).unwrap();
    assert_eq!(open.transfer_policy, TransferPolicy::Any);
    let warned = |config: &Config| {
        config
            .warnings()
            .iter()
            .any(|warning| warning.contains("transferPolicy"))
    };
    assert!(warned(&open) && !warned(&read_with(&[]).unwrap()));
    assert_eq!(refused(&[("transferPolicy", "owner")]), ["transferPolicy"]);
    assert_eq!(
        refused(&[("transferNotifyUrl", "http://pay.example.com/t")]),
        ["transferNotifyUrl"]
    );
    assert!(
        read_with(&[("transferNotifyUrl", "")])
            .unwrap()
            .notify_transfer
            .is_none()
    );
}

#[test]
fn tokens_that_are_not_verified_and_may_be_paid_are_said_loudest() {
    let any = ("transferPolicy", "any");
    let told = |more: &[(&'static str, &str)]| read_with(more).unwrap().warnings().join("\n");
    let worst = "whoever reaches the port can write a token";
    assert!(told(&[any]).contains(worst) && told(&[any]).contains("自造令牌"));
    assert!(told(&[any, ("trustPlatformHeaders", "true")]).contains(worst));
    let keys = ("authJwksUrl", "https://env.example.com/auth/v1/jwks");
    assert!(!told(&[any, keys]).contains(worst) && told(&[any, keys]).contains("transferPolicy=any"));
    assert!(!told(&[]).contains("transferPolicy"));
}

#[cfg(unix)]
#[test]
fn a_settings_file_that_others_can_read_is_told_of_in_both_languages() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("pay-common-config-{}", crate::domain::ids::new_id()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("settings.toml");
    let settings: toml::Table = pairs()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), toml::Value::String(value)))
        .collect();
    std::fs::write(&file, settings.to_string()).unwrap();
    for (mode, told) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let warnings = Config::read(&Source::of_process(Some(&file)).unwrap())
            .unwrap()
            .warnings();
        let of_file = |warning: &str| {
            warning.contains("settings.toml") && warning.contains("others can read") && warning.contains("其他用户")
        };
        assert_eq!(warnings.iter().any(|warning| of_file(warning)), told, "{mode:o}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// One bad value after the other for every setting that holds a secret, in every form in which it may be wrong.
#[test]
fn no_refusal_quotes_the_value_that_it_refuses() {
    let key = pem_of("doc_test_merchant_private_key").replace('\n', "");
    let body = key
        .replace("-----BEGIN PRIVATE KEY-----", "")
        .replace("-----END PRIVATE KEY-----", "");
    let dashes_lost = format!("-----BEGIN {body}-----x-----END {body}-----");
    let cut_off = key.replace("-----END PRIVATE KEY-----", "");
    let damaged = key.replace("MII", "hidden#hidden");
    let renamed = key.replace("PRIVATE KEY", "hidden-hidden");
    let values = [
        ("privateKey", dashes_lost.as_str()),
        ("privateKey", cut_off.as_str()),
        ("privateKey", damaged.as_str()),
        ("privateKey", renamed.as_str()),
        ("privateKey", "hidden"),
        ("wxPayPublicKey", dashes_lost.as_str()),
        ("wxPayPublicKey", key.as_str()),
        ("wxPayRootCertificate", dashes_lost.as_str()),
        ("wxPayRootCertificate", key.as_str()),
        ("apiV3Key", "hidden"),
        ("apiV3Key", "hidden-hidden-hidden-hidden-密"),
        ("webhookSecret", "hidden"),
        ("webhookSecret", "whsec_aGlkZGVu"),
        ("webhookUrl", "http://user:hidden@shop.example/hook"),
        ("orderTicketSecret", "hidden"),
        ("offiaccountAppSecret", "hidden"),
        ("orderTicketSecret", "hidden-hidden-hidden-hidden-hidden, hidden"),
        ("operatorKeys", "op_hidden"),
        ("operatorKeys", "hidden,hidden"),
        ("DATABASE_URL", "mysql://user:hidden@db/pay"),
        ("DATABASE_URL", "hidden"),
    ];
    let parts: Vec<String> = body
        .as_bytes()
        .chunks(40)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    for (name, value) in values {
        let problems = read_with(&[(name, value)]).unwrap_err();
        let told = format!("{problems} {problems:?}");
        assert!(told.contains(name), "{told}");
        let quoted = std::iter::once("hidden")
            .chain(parts.iter().map(String::as_str))
            .find(|part| told.contains(part));
        assert_eq!(quoted, None, "{name}: {told}");
    }
}

#[test]
fn no_secret_is_shown() {
    let config = read_with(&[
        ("DATABASE_URL", "postgres://user:hidden-password@db/pay"),
        ("integrationId", "hidden-integration"),
        ("orderTicketSecret", "hidden-hidden-hidden-hidden-hidden"),
        ("offiaccountAppSecret", "hidden0123456789abcdef0123456789"),
        ("webhookUrl", "https://user:hidden@shop.example/hook?key=hidden"),
        (
            "webhookSecret",
            "whsec_aGlkZGVuLWhpZGRlbi1oaWRkZW4taGlkZGVuLWhpZGRlbg==",
        ),
        (
            "operatorKeys",
            "feedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeed",
        ),
    ])
    .unwrap();
    let shown = format!("{config:?} {config:#?}");
    for secret in ["a7cde1ZJ", "hidden", "aGlkZGVu", "MII", "feed"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[test]
fn web_authorization_is_one_of_the_apps_and_knows_its_pages() {
    let secret = ("offiaccountAppSecret", "0123456789abcdef0123456789abcdef");
    assert!(read_with(&[]).unwrap().web_authorization.is_none());
    let config = read_with(&[
        secret,
        ("service_app_id", "wxaaaaaaaaaaaaaaaa"),
        ("oauthReturnOrigins", "https://shop.example.com, HTTPS://Two.Example"),
        ("publicUrl", "https://pay.example.com/fn"),
        ("merchantName", "商店"),
    ])
    .unwrap();
    let settings = config.web_authorization.unwrap();
    assert_eq!(settings.app_id.as_str(), "wxaaaaaaaaaaaaaaaa");
    assert_eq!(
        settings.return_origins,
        ["https://shop.example.com", "https://two.example"]
    );
    assert_eq!(config.merchant_name.as_deref(), Some("商店"));
    for (name, value) in [
        ("offiaccountAppId", "wxbbbbbbbbbbbbbbbb"),
        ("oauthReturnOrigins", "shop.example.com"),
        ("publicUrl", "http://pay.example.com"),
        ("publicUrl", "https://pay.example.com/?x"),
        ("wechatOpenBaseUrl", "http://open.example"),
        ("wechatApiBaseUrl", "https://api.example/path"),
        ("sessionTime", "59"),
        ("merchantName", "a\u{7}b"),
    ] {
        let problems = read_with(&[secret, (name, value)]).unwrap_err();
        assert_eq!(
            problems.0.iter().map(|problem| problem.setting).collect::<Vec<_>>(),
            [name],
            "{value}"
        );
    }
}

/// The table against what is read: whoever adds a setting says everything of it.
#[test]
fn every_setting_is_explained_in_both_languages_and_stands_once() {
    let mut names: Vec<&str> = settings::all().map(|setting| setting.name).collect();
    for setting in settings::all() {
        let name = setting.name;
        assert!(setting.english.len() > 10 && setting.english.is_ascii(), "{name}");
        assert!(
            setting.chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)),
            "{name}"
        );
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
}

#[test]
fn what_the_table_calls_required_is_what_a_start_misses() {
    let Problems(problems) = Config::read(&Source::of_pairs::<&str, &str>([]).unwrap()).unwrap_err();
    let mut missed: Vec<&str> = problems.iter().map(|problem| problem.setting).collect();
    let required = |setting: &&settings::Setting| matches!(setting.without, settings::Without::Required);
    let mut required: Vec<&str> = settings::all().filter(required).map(|setting| setting.name).collect();
    missed.sort_unstable();
    required.sort_unstable();
    assert_eq!(missed, required);
}

#[test]
fn the_file_of_defaults_holds_what_the_table_says_and_nothing_else() {
    let file: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let mut held: Vec<&str> = file.keys().map(String::as_str).collect();
    let with_default = |setting: &&settings::Setting| matches!(setting.without, settings::Without::Default);
    let mut named: Vec<&str> = settings::all()
        .filter(with_default)
        .map(|setting| setting.name)
        .collect();
    held.sort_unstable();
    named.sort_unstable();
    assert_eq!(held, named);
}

#[test]
fn the_words_and_bounds_of_the_table_are_those_that_are_taken() {
    for setting in settings::all() {
        let name = setting.name;
        let taken = |value: &str| !refused(&[(name, value)]).contains(&name);
        match setting.form {
            settings::Form::Choice(words) => {
                let problems = read_with(&[(name, "none of them")]).unwrap_err().to_string();
                let said = format!("{name}: must be one of: {} /", words.join(", "));
                assert!(problems.contains(&said), "{said} in {problems}");
            }
            settings::Form::Number { from, to, .. } => {
                assert!(taken(&from.to_string()) && taken(&to.to_string()), "{name}");
                let beyond = [from.checked_sub(1), Some(to + 1)];
                for beyond in beyond.into_iter().flatten() {
                    assert!(!taken(&beyond.to_string()), "{name}={beyond}");
                }
            }
            settings::Form::Text(..) => {}
        }
    }
}
