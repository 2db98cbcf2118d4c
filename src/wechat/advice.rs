//! What WeChat's refusals mean for the merchant who reads them, and what to do: told by `doctor` and in the log.
//!
//! Codes, numbers and messages are those of APIv3's error tables, of the Official Accounts platform, and of what the page's bridge shows.
//! A message changes without notice, so a part of it only tells apart what one code is used for; no decision about money is made here.

use super::error::Refusal;

/// A cause and its cure, in both languages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Advice {
    pub(crate) english: &'static str,
    pub(crate) chinese: &'static str,
}

/// What one kind of refusal is known by.
struct Known {
    /// `code`, in one of its spellings.
    codes: &'static [&'static str],
    /// The last part of `Request-ID`, or a number of the Official Accounts platform.
    numbers: &'static [u64],
    /// Parts of the message, lower-case. Where there are codes or numbers, one of these has to be there as well; empty: any message.
    says: &'static [&'static str],
    advice: Advice,
}

const fn known(
    codes: &'static [&'static str],
    numbers: &'static [u64],
    says: &'static [&'static str],
    english: &'static str,
    chinese: &'static str,
) -> Known {
    Known {
        codes,
        numbers,
        says,
        advice: Advice { english, chinese },
    }
}

/// The first that fits counts, so the narrower stand before the wider.
const TABLE: &[Known] = &[
    known(
        &["SIGN_ERROR"],
        &[],
        &["序列号", "serial"],
        "merchantSerialNumber is not the serial of a valid API certificate of this merchantId: copy it from the merchant platform (Account Center, API Security); serial and privateKey change together",
        "merchantSerialNumber 不是该商户号有效 API 证书的序列号：请从商户平台（账户中心 → API 安全）复制；序列号与 privateKey 须同时更换",
    ),
    known(
        &["SIGN_ERROR"],
        &[],
        &["签名错误", "签名验证"],
        "privateKey does not belong to merchantSerialNumber: use apiclient_key.pem from the same package as the certificate",
        "privateKey 与 merchantSerialNumber 不是同一张证书：请使用与该证书同一压缩包内的 apiclient_key.pem",
    ),
    known(
        &["SIGN_ERROR"],
        &[],
        &["商户号", "mchid"],
        "merchantId is not known to WeChat Pay: it is the number of the merchant platform's account page",
        "merchantId 不存在：请填写商户平台账户页显示的商户号",
    ),
    known(
        &["SIGN_ERROR"],
        &[],
        &["timestamp", "时间戳", "expired", "过期"],
        "this machine's clock is more than 5 minutes off: turn on NTP",
        "本机时钟误差超过 5 分钟：请启用 NTP 校时",
    ),
    known(
        &["SIGN_ERROR"],
        &[],
        &["apiv3", "api v3"],
        "the APIv3 key is not set in the merchant platform (Account Center, API Security): set it, and apiV3Key to the same",
        "商户平台未设置 APIv3 密钥（账户中心 → API 安全）：请先设置，并使 apiV3Key 与之一致",
    ),
    known(
        &["SIGN_ERROR"],
        &[268_443_699],
        &[],
        "privateKey does not belong to merchantSerialNumber: use apiclient_key.pem from the same package as the certificate",
        "privateKey 与 merchantSerialNumber 不是同一张证书：请使用与该证书同一压缩包内的 apiclient_key.pem",
    ),
    known(
        &["APPID_MCHID_NOT_MATCH"],
        &[268_445_527],
        &[],
        "the appid is not bound to merchantId: merchant platform, Product Center, AppID accounts, add it; the account's administrator confirms; minutes later it counts",
        "appid 未与 merchantId 绑定：商户平台 → 产品中心 → AppID 账号管理 → 关联，由公众号/小程序管理员确认，数分钟后生效",
    ),
    known(
        &["MCH_NOT_EXISTS"],
        &[268_443_715],
        &[],
        "merchantId is not known to WeChat Pay, or was cancelled: compare it with the merchant platform's account page",
        "merchantId 不存在或已注销：请与商户平台账户页核对",
    ),
    known(
        &["OPENID_MISMATCH"],
        &[],
        &[],
        "the openid is of another app: take it with the appid that the order is placed for (page: web authorization of the Official Account; Mini Program: wx.login)",
        "openid 属于其他应用：请用下单的 appid 获取 openid（网页：公众号网页授权；小程序：wx.login）",
    ),
    known(
        &["PARAM_ERROR", "INVALID_REQUEST"],
        &[],
        &["openid"],
        "the openid is missing, or of another app: take it with the appid that the order is placed for (page: web authorization of the Official Account; Mini Program: wx.login)",
        "openid 缺失或属于其他应用：请用下单的 appid 获取 openid（网页：公众号网页授权；小程序：wx.login）",
    ),
    known(
        &["INVALID_REQUEST"],
        &[270_924_358],
        &["额外参数", "extra"],
        "the request has a member that WeChat Pay does not define: leave it out",
        "请求含有微信支付未定义的参数：请去掉",
    ),
    known(
        &["INVALID_REQUEST"],
        &[268_498_688],
        &["重入", "参数不一致", "已存在"],
        "the number was used with other parameters: repeat exactly what was sent, or close the order and use a new number",
        "该单号已用不同参数提交过：请以完全相同的参数重试，或关闭订单后换用新单号",
    ),
    known(
        &["PARAM_ERROR"],
        &[268_435_461, 268_435_464],
        &[],
        "a parameter is malformed or out of range; `detail.field` in the answer names it",
        "参数格式错误或超出范围；应答中的 detail.field 指明是哪一个",
    ),
    known(
        &["INVALID_REQUEST"],
        &[],
        &[],
        "a rule of WeChat Pay's is broken; its message says which one",
        "违反微信支付的业务规则，具体见其提示",
    ),
    known(
        &["NO_AUTH"],
        &[268_448_010],
        &["受限", "风险", "restricted"],
        "the merchant number is restricted by WeChat Pay: the merchant platform's message centre says why and how to appeal",
        "商户号被限制：请在商户平台消息中心查看原因并申诉",
    ),
    known(
        &["NO_AUTH"],
        &[],
        &[],
        "the product is not enabled for this merchant number, or this server's address is not on its list: merchant platform, Product Center",
        "该商户号未开通此产品，或服务器 IP 不在白名单：商户平台 → 产品中心",
    ),
    known(
        &["OUT_TRADE_NO_USED"],
        &[],
        &[],
        "out_trade_no was used with other parameters or in another channel: numbers are unique for ever; close that order and use a new number",
        "out_trade_no 已用于不同参数或其他支付方式：单号永久唯一，请关闭原订单后换用新单号",
    ),
    known(
        &["ORDER_CLOSED"],
        &[268_447_914],
        &[],
        "the order is closed and its number cannot be used again: place it anew with another out_trade_no",
        "订单已关闭，单号不可再用：请换用新的 out_trade_no 下单",
    ),
    known(
        &["ORDER_PAID"],
        &[268_449_538, 268_498_689],
        &[],
        "the order is paid: query it, and refund instead of closing it",
        "订单已支付：请查询订单；如需取消请退款，而不是关单",
    ),
    known(
        &["ORDER_NOT_EXIST"],
        &[268_512_771],
        &[],
        "WeChat Pay knows no such order of this merchant: compare out_trade_no and merchantId; perhaps placing it failed",
        "该商户号下没有此订单：请核对 out_trade_no 与 merchantId；可能下单并未成功",
    ),
    known(
        &["TRADE_OVERDUE"],
        &[],
        &[],
        "the order is older than 365 days and cannot be refunded here: pay the customer back in another way",
        "订单已超过 365 天，无法原路退款：请以其他方式退还",
    ),
    known(
        &["REFUND_FEE_MISMATCH"],
        &[],
        &[],
        "out_refund_no was used with another amount: repeat it with the same amount, or use a new number for another refund",
        "out_refund_no 已用于其他金额：请以相同金额重试，或为另一笔退款使用新单号",
    ),
    known(
        &["NOT_ENOUGH"],
        &[],
        &[],
        "the merchant's balance is too small: top it up and repeat with the same number",
        "商户余额不足：请充值后以相同单号重试",
    ),
    known(
        &["USER_ACCOUNT_ABNORMAL"],
        &[],
        &[],
        "the user's account is closed or frozen: refund in another way, see the merchant platform",
        "用户账户已注销或异常：请在商户平台以其他方式退款",
    ),
    known(
        &["USER_ERROR"],
        &[],
        &[],
        "the receiver's account cannot receive: it has to be verified or unfrozen by its owner",
        "收款用户账户无法收款：需由用户完成实名或解除限制",
    ),
    known(
        &["ACCOUNT_ERROR"],
        &[],
        &[],
        "the buyer's or the merchant's account is not in order: the buyer should pay from another account or card",
        "买家或商户账户异常：请买家更换账户或银行卡",
    ),
    known(
        &["RESOURCE_NOT_EXISTS", "NOT_FOUND"],
        &[],
        &["平台证书"],
        "this merchant has no platform certificates, only the WeChat Pay public key: set wxPayPublicKey and wxPayPublicKeyId, and leave platformCertificates out",
        "该商户没有平台证书，只有微信支付公钥：请设置 wxPayPublicKey 与 wxPayPublicKeyId，不要设置 platformCertificates",
    ),
    known(
        &["RESOURCE_NOT_EXISTS", "NOT_FOUND"],
        &[],
        &[],
        "WeChat Pay knows no refund or transfer of this number: repeat it with the same number and parameters",
        "微信支付没有此退款单或转账单：请以相同单号和参数重试",
    ),
    known(
        &["ALREADY_EXISTS"],
        &[],
        &[],
        "the transfer's number was used with other parameters: query it, the first one counts",
        "该转账单号已用不同参数提交：请查询，以首次提交为准",
    ),
    known(
        &["NO_STATEMENT_EXIST"],
        &[],
        &[],
        "there is no bill of that day: nothing was traded, or it is not made yet (bills are there from 10:00 of the next day)",
        "该日没有账单：当天无交易，或账单尚未生成（次日 10:00 后可取）",
    ),
    known(
        &["RULE_LIMIT"],
        &[],
        &[],
        "a rule or risk limit of WeChat Pay's refuses this payment: tell the buyer, and do not repeat it by machine",
        "触发微信支付的规则或风控限制：请告知买家，不要自动重试",
    ),
    known(
        &[
            "FREQUENCY_LIMITED",
            "FREQUENCY_LIMIT_EXCEED",
            "FREQUENCY_LIMIT",
            "RATELIMIT_EXCEEDED",
        ],
        &[268_447_840],
        &[],
        "requests come too fast: wait and repeat with the same number and parameters",
        "请求过于频繁：请稍候以相同单号和参数重试",
    ),
    known(
        &["SYSTEM_ERROR", "BANK_ERROR"],
        &[],
        &[],
        "WeChat Pay, or the bank, has a failure: repeat with the same number and parameters",
        "微信支付或银行系统异常：请以相同单号和参数重试",
    ),
    known(
        &["TRADE_ERROR", "INVALID_TRANSACTIONID"],
        &[],
        &[],
        "the transaction does not allow this: query the order, its state says what is possible",
        "交易状态不允许此操作：请查询订单，以其状态为准",
    ),
    known(
        &[],
        &[],
        &["merchant does not exist", "商户号不存在", "商户不存在"],
        "merchantId is not known to WeChat Pay, or the appid is not bound to it: compare it with the merchant platform's account page, and look at Product Center, AppID accounts",
        "merchantId 不存在，或 appid 未与其绑定：请与商户平台账户页核对，并查看 产品中心 → AppID 账号管理",
    ),
    known(
        &[],
        &[],
        &[
            "appid and openid mismatch",
            "appid和openid不匹配",
            "appid与openid不匹配",
        ],
        "three appids have to be the same Official Account's: the order's, the one that the openid was taken with, and appId in getBrandWCPayRequest (take the parameters as they come)",
        "三处 appid 必须是同一公众号：下单的、换取 openid 的、getBrandWCPayRequest 入参的 appId（请原样使用接口返回的参数）",
    ),
    known(
        &[],
        &[],
        &[
            "pay authorization directory",
            "支付授权目录",
            "url未注册",
            "url 未注册",
            "not registered",
        ],
        "the page's address is not in the pay authorization directory: merchant platform, Product Center, JSAPI Pay, add the page's directory with its closing slash; minutes later it counts",
        "页面地址不在支付授权目录内：商户平台 → 产品中心 → JSAPI 支付 → 添加授权目录（填页面所在目录，以 / 结尾），约 5 分钟后生效",
    ),
    known(
        &[],
        &[10_003],
        &["no code received", "redirect_uri"],
        "redirect_uri's domain is not the Official Account's web authorization domain: Official Accounts platform, Settings, Function Settings, Web Authorization Domain; its verification file has to be online",
        "redirect_uri 的域名不是公众号的网页授权域名：公众平台 → 设置与开发 → 功能设置 → 网页授权域名，并确保校验文件可访问",
    ),
    known(
        &[],
        &[],
        &["weixinjsbridge is not defined", "weixinjsbridge"],
        "the page is not open in WeChat's own browser, which alone can pay by JSAPI: elsewhere use an H5 or Native order; a changed User-Agent does not help",
        "页面不在微信内置浏览器中打开，JSAPI 支付只能在微信内使用：其他浏览器请用 H5 或 Native 下单；修改 User-Agent 无效",
    ),
    known(
        &[],
        &[],
        &["wx.config", "jssdk"],
        "paying by getBrandWCPayRequest needs no wx.config; only other abilities of the JSSDK do",
        "getBrandWCPayRequest 不需要 wx.config；仅其他 JSSDK 能力需要",
    ),
    known(
        &[],
        &[],
        &["mini program", "小程序", "reuse"],
        "one installation serves several apps: appId is the one by default, service_app_id the one that useServiceAccount chooses, appIds further ones that `appid` chooses",
        "同一部署可服务多个应用：appId 为默认，useServiceAccount 选用 service_app_id，appid 参数可选用 appIds 中的其他应用",
    ),
    known(
        &[],
        &[40_029, 40_163, 41_008],
        &["invalid code", "code been used"],
        "the code of web authorization is used or older than 5 minutes: send the browser to authorize again; each code counts once",
        "网页授权 code 已使用或超过 5 分钟：请重新发起授权，每个 code 只能使用一次",
    ),
    known(
        &[],
        &[40_013, 40_125],
        &["invalid appsecret", "invalid appid"],
        "offiaccountAppSecret is not the AppSecret of offiaccountAppId: Official Accounts platform, Basic Configuration; a secret that was reset is void at once",
        "offiaccountAppSecret 与 offiaccountAppId 不匹配：公众平台 → 基本配置；重置后旧 AppSecret 立即失效",
    ),
    known(
        &[],
        &[40_164],
        &["not in whitelist"],
        "this server's address is not on the Official Account's IP list: Official Accounts platform, Basic Configuration",
        "本服务器 IP 不在公众号 IP 白名单：公众平台 → 基本配置",
    ),
];

/// Without what the spellings of a code differ in.
fn plain(code: &str) -> String {
    code.chars()
        .filter(|c| *c != '_')
        .collect::<String>()
        .to_ascii_uppercase()
}

impl Known {
    fn fits(&self, code: &str, number: Option<u64>, message: &str) -> bool {
        let code_fits = self.codes.iter().any(|known| plain(known) == plain(code));
        let number_fits = number.is_some_and(|number| self.numbers.contains(&number));
        let says = self.says.is_empty() || self.says.iter().any(|part| message.contains(part));
        number_fits || (code_fits && says)
    }
}

/// What this refusal means, if it is known.
pub(crate) fn of(refusal: &Refusal) -> Option<Advice> {
    let number = refusal.request_id.as_deref().and_then(embedded_number);
    of_parts(&refusal.code, number, &refusal.message)
}

/// The same of a number of the Official Accounts platform and its message.
pub(crate) fn of_number(number: u64) -> Option<Advice> {
    of_parts("", Some(number), "")
}

fn of_parts(code: &str, number: Option<u64>, message: &str) -> Option<Advice> {
    let message = message.to_lowercase();
    // A message that is known tells more than a number that stands for many.
    let by_code = TABLE
        .iter()
        .find(|known| !known.codes.is_empty() && known.fits(code, None, &message));
    let by_number = || TABLE.iter().find(|known| known.fits("", number, &message));
    by_code.or_else(by_number).map(|known| known.advice)
}

/// What somebody's text means: a line of a log, a code, a number, or what a phone has shown. All that is recognised in it, the
/// narrower first.
pub(crate) fn in_text(text: &str) -> Vec<Advice> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut found: Vec<Advice> = Vec::new();
    for word in &words {
        let number = word.parse().ok().filter(|_| word.len() >= 5);
        found.extend(of_parts(word, number, &lower));
    }
    let spoken = TABLE.iter().filter(|known| known.codes.is_empty());
    found.extend(
        spoken
            .filter(|known| known.says.iter().any(|part| lower.contains(part)))
            .map(|known| known.advice),
    );
    let mut once: Vec<Advice> = Vec::new();
    for advice in found {
        if !once.contains(&advice) {
            once.push(advice);
        }
    }
    once
}

/// WeChat's own number of an outcome: what follows the last `-` of `Request-ID`; 0 is a success.
fn embedded_number(request_id: &str) -> Option<u64> {
    let (_, number) = request_id.rsplit_once('-')?;
    number.parse().ok().filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, message: &str, request_id: Option<&str>) -> Refusal {
        Refusal {
            status: 400,
            code: code.to_owned(),
            message: message.to_owned(),
            body: None,
            request_id: request_id.map(str::to_owned),
            proven: false,
        }
    }

    /// The codes of APIv3's tables for orders, refunds, transfers and bills.
    #[test]
    fn every_frequent_code_is_known_in_all_its_spellings() {
        for code in [
            "PARAM_ERROR",
            "INVALID_REQUEST",
            "APPID_MCHID_NOT_MATCH",
            "MCH_NOT_EXISTS",
            "ORDER_CLOSED",
            "ORDERCLOSED",
            "ORDERPAID",
            "ORDER_PAID",
            "SIGN_ERROR",
            "NO_AUTH",
            "NOAUTH",
            "OUT_TRADE_NO_USED",
            "RULE_LIMIT",
            "RULELIMIT",
            "FREQUENCY_LIMITED",
            "RATELIMIT_EXCEEDED",
            "FREQUENCY_LIMIT_EXCEED",
            "SYSTEM_ERROR",
            "SYSTEMERROR",
            "BANKERROR",
            "BANK_ERROR",
            "TRADE_ERROR",
            "ACCOUNTERROR",
            "ACCOUNT_ERROR",
            "NOTENOUGH",
            "NOT_ENOUGH",
            "ORDERNOTEXIST",
            "ORDER_NOT_EXIST",
            "RESOURCE_NOT_EXISTS",
            "NOT_FOUND",
            "INVALID_TRANSACTIONID",
            "OPENID_MISMATCH",
            "USER_ACCOUNT_ABNORMAL",
            "REFUND_FEE_MISMATCH",
            "TRADE_OVERDUE",
            "ALREADY_EXISTS",
            "USER_ERROR",
            "NO_STATEMENT_EXIST",
        ] {
            assert!(of(&refusal(code, "", None)).is_some(), "{code}");
            assert_eq!(in_text(&format!("refused with 400 {code}: ...")).len(), 1, "{code}");
        }
        assert_eq!(of(&refusal("A_NEW_CODE", "openid", None)), None);
    }

    #[test]
    fn a_message_tells_apart_what_one_code_is_used_for() {
        let of = |message: &str| of(&refusal("SIGN_ERROR", message, None)).unwrap().english;
        assert!(of("商户证书序列号有误").contains("merchantSerialNumber is not"));
        assert!(of("timestamp已过期").contains("clock"));
        assert!(of("商户号不存在").contains("merchantId"));
        assert!(of("签名错误：时间戳与商户号各占一行").contains("privateKey does not belong"));
        assert!(of("anything").contains("privateKey does not belong"));
    }

    #[test]
    fn the_number_in_a_request_id_is_known_where_the_code_is_not() {
        let unbound = refusal("", "", Some("08E68E97CC0610DF0618-268445527"));
        assert!(of(&unbound).unwrap().english.contains("not bound"));
        assert_eq!(of(&refusal("", "", Some("08E68E97CC0610DF0618-0"))), None);
        assert_eq!(of(&refusal("", "", Some("08E68E97CC0610DF0618"))), None);
        assert!(of_number(40_125).unwrap().english.contains("AppSecret"));
    }

    /// The questions that merchants ask most, in the words in which they ask.
    #[test]
    fn what_a_page_or_a_phone_has_shown_is_known() {
        for (shown, cure) in [
            ("appid and openid mismatch", "three appids"),
            ("appid和openid不匹配", "three appids"),
            ("APPID_MCHID_NOT_MATCH", "not bound"),
            ("merchant does not exist", "Product Center"),
            ("Current URL is not in pay authorization directory", "closing slash"),
            ("当前页面的URL未注册：https://shop.example.com/", "closing slash"),
            (
                "No code received after web authorization redirect",
                "Web Authorization Domain",
            ),
            (
                "Uncaught ReferenceError: WeixinJSBridge is not defined",
                "WeChat's own browser",
            ),
            ("do I need wx.config?", "no wx.config"),
            ("can the Mini Program's integration be reused", "service_app_id"),
            ("{\"errcode\":40163,\"errmsg\":\"code been used\"}", "counts once"),
        ] {
            let advice = in_text(shown);
            assert!(
                advice.iter().any(|advice| advice.english.contains(cure)),
                "{shown}: {advice:?}"
            );
        }
        assert!(in_text("hello").is_empty());
    }

    #[test]
    fn each_is_said_in_both_languages() {
        for Known { advice, says, .. } in TABLE {
            assert!(advice.english.is_ascii(), "{}", advice.english);
            assert!(!advice.chinese.is_ascii(), "{}", advice.chinese);
            assert!(says.iter().all(|part| *part == part.to_lowercase()), "{says:?}");
        }
    }
}
