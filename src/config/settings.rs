//! Every setting once: its name, what it takes, whether it is a secret, and what it is for, in both languages.
//!
//! A name that is not here is read from nowhere. The readers take their bounds from here, and `docs/settings.md` is made of this table and
//! of `config/default.toml`, which holds the defaults with their reasons.

use std::ops::RangeInclusive;

/// Settings that belong together, under a title in both languages.
#[derive(Debug)]
pub struct Group {
    /// The title.
    pub english: &'static str,
    /// The same in Chinese.
    pub chinese: &'static str,
    /// In the order in which they are explained.
    pub settings: &'static [Setting],
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in a settings file, and that of the environment variable.
    pub name: &'static str,
    /// What it takes.
    pub form: Form,
    /// What holds where it is not set.
    pub without: Without,
    /// Whether its value opens something: a file that holds it is nobody else's to read.
    pub is_secret: bool,
    /// What it is for.
    pub english: &'static str,
    /// The same in Chinese.
    pub chinese: &'static str,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A whole number within bounds, both included.
    Number {
        /// The least.
        from: u64,
        /// The most.
        to: u64,
        /// Of what.
        unit: Unit,
    },
    /// One of these words, in upper or lower case.
    Choice(&'static [&'static str]),
    /// What this says, in English and in Chinese.
    Text(&'static str, &'static str),
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// So many in a second; 0 is no limit.
    PerSecond,
    /// Pieces.
    Pieces,
}

/// What holds where a setting is not set.
#[derive(Clone, Copy, Debug)]
pub enum Without {
    /// Nothing: the service does not start.
    Required,
    /// The default in `config/default.toml`.
    Default,
    /// What this says, in English and in Chinese.
    Says(&'static str, &'static str),
}

/// A truth value, in words or as a number.
const TRUTH: Form = Form::Choice(&["true", "false", "1", "0"]);

/// The id of an app.
const APP_ID: Form = Form::Text(
    "an AppID: `wx` and letters and digits, 32 at most",
    "AppID：wx 开头的字母和数字，最多 32 个字符",
);

/// Where WeChat Pay sends something.
const NOTIFY_URL: Form = Form::Text(
    "an `https` address with a path, without query, 255 characters at most",
    "有路径、不带查询串的 https 地址，最多 255 个字符",
);

/// An address of WeChat's.
const BASE_URL: Form = Form::Text(
    "an `https` address without a path (`http` for loopback)",
    "不带路径的 https 地址（回环地址可用 http）",
);

/// Pages.
const ORIGINS: Form = Form::Text(
    "origins like `https://shop.example.com`, comma-separated",
    "以逗号分隔的源，如 https://shop.example.com",
);

/// The whole of a PEM file.
const PEM: Form = Form::Text(
    "the whole PEM; what a web form did to its line breaks is repaired",
    "PEM 完整内容；网页表单破坏的换行会自动修复",
);

/// Nothing of the kind.
const NOTHING: Without = Without::Says("–", "–");

const fn plain(
    name: &'static str,
    form: Form,
    without: Without,
    english: &'static str,
    chinese: &'static str,
) -> Setting {
    Setting {
        name,
        form,
        without,
        is_secret: false,
        english,
        chinese,
    }
}

const fn secret(
    name: &'static str,
    form: Form,
    without: Without,
    english: &'static str,
    chinese: &'static str,
) -> Setting {
    Setting {
        is_secret: true,
        ..plain(name, form, without, english, chinese)
    }
}

/// A number that has a default.
const fn number(name: &'static str, bounds: (u64, u64, Unit), english: &'static str, chinese: &'static str) -> Setting {
    let (from, to, unit) = bounds;
    plain(
        name,
        Form::Number { from, to, unit },
        Without::Default,
        english,
        chinese,
    )
}

/// A word that has a default.
const fn choice(
    name: &'static str,
    words: &'static [&'static str],
    english: &'static str,
    chinese: &'static str,
) -> Setting {
    plain(name, Form::Choice(words), Without::Default, english, chinese)
}

/// All of them.
pub const GROUPS: &[Group] = &[
    Group {
        english: "The merchant",
        chinese: "商户",
        settings: MERCHANT,
    },
    Group {
        english: "WeChat Pay",
        chinese: "微信支付",
        settings: WECHAT,
    },
    Group {
        english: "Callbacks",
        chinese: "回调",
        settings: CALLBACKS,
    },
    Group {
        english: "Who calls, and what they may",
        chinese: "调用方与权限",
        settings: CALLERS,
    },
    Group {
        english: "Web authorization and the cashier",
        chinese: "网页授权与收银台",
        settings: BROWSERS,
    },
    Group {
        english: "The store, and what is done by itself",
        chinese: "存储与后台处理",
        settings: STORE,
    },
    Group {
        english: "Telling the business system",
        chinese: "通知业务系统",
        settings: WEBHOOKS,
    },
    Group {
        english: "How much at a time, and how long",
        chinese: "上限与时限",
        settings: LIMITS,
    },
    Group {
        english: "The process",
        chinese: "进程",
        settings: PROCESS,
    },
];

const MERCHANT: &[Setting] = &[
    plain(
        "appId",
        APP_ID,
        Without::Required,
        "the app that orders are placed for: the Official Account's, or the Mini Program's",
        "下单所用的应用：公众号或小程序的 AppID",
    ),
    plain(
        "service_app_id",
        APP_ID,
        NOTHING,
        "the other app, chosen by `useServiceAccount: true` or by `appid`",
        "另一个应用，由 `useServiceAccount: true` 或 `appid` 选用",
    ),
    plain(
        "jsapiAppId",
        APP_ID,
        NOTHING,
        "another name of `service_app_id`; where both are set they have to be equal",
        "`service_app_id` 的别名；同时设置时必须相同",
    ),
    plain(
        "appIds",
        Form::Text("AppIDs, comma-separated", "以逗号分隔的 AppID"),
        NOTHING,
        "further apps of the merchant, chosen by `appid` or by the platform's `x-wx-appid`",
        "商户的其他应用，由 `appid` 或平台请求头 `x-wx-appid` 选用",
    ),
    plain(
        "merchantId",
        Form::Text("8 to 32 digits", "8 到 32 位数字"),
        Without::Required,
        "the merchant number",
        "商户号",
    ),
    plain(
        "merchantSerialNumber",
        Form::Text("40 hex digits, leading zeros included", "40 位十六进制数字，含前导零"),
        Without::Required,
        "serial of the merchant API certificate; it changes together with `privateKey`",
        "商户 API 证书序列号；须与 `privateKey` 同时更换",
    ),
    secret(
        "privateKey",
        PEM,
        Without::Required,
        "`apiclient_key.pem` of the merchant API certificate: signs what is asked of WeChat Pay",
        "商户 API 证书的 `apiclient_key.pem`：为发往微信支付的请求签名",
    ),
    secret(
        "apiV3Key",
        Form::Text("exactly 32 ASCII characters", "正好 32 个 ASCII 字符"),
        Without::Required,
        "opens what WeChat Pay encrypts: callbacks and platform certificates",
        "解密微信支付的回调与平台证书",
    ),
    plain(
        "merchantName",
        Form::Text(
            "at most 64 characters without control characters",
            "最多 64 个字符，不含控制字符",
        ),
        NOTHING,
        "whom a buyer reads on the cashier to be paying",
        "收银台上显示的收款方",
    ),
];

const WECHAT: &[Setting] = &[
    plain(
        "wxPayPublicKey",
        PEM,
        Without::Says("platform certificates", "使用平台证书"),
        "WeChat Pay's public key, which verifies what it signs; together with `wxPayPublicKeyId`, or neither",
        "微信支付公钥，用于验签；与 `wxPayPublicKeyId` 同时设置，或都不设置",
    ),
    plain(
        "wxPayPublicKeyId",
        Form::Text("`PUB_KEY_ID_` and letters or digits", "PUB_KEY_ID_ 加字母或数字"),
        Without::Says("platform certificates", "使用平台证书"),
        "the id of that key",
        "该公钥的 ID",
    ),
    choice(
        "platformCertificates",
        &["auto", "true", "false"],
        "whether platform certificates are downloaded, renewed and believed: `auto` when there is no public key; `true` also beside it, while a merchant changes over; `false` never",
        "是否下载、更新并采信平台证书：`auto` 未设置公钥时；`true` 与公钥并用（迁移期间）；`false` 从不",
    ),
    plain(
        "wxPayRootCertificate",
        PEM,
        NOTHING,
        "the root that has to have issued the platform certificates. Without it they are proven by `apiV3Key`, which has to open them, and by the signature of the answer that brings them",
        "签发平台证书的根证书。未设置时以 `apiV3Key` 能解密、且应答签名有效为证",
    ),
    plain(
        "wechatPayBaseUrl",
        BASE_URL,
        Without::Default,
        "where WeChat Pay is; another only for the simulator. With WeChat Pay's own, its second address is tried when the first cannot be connected",
        "微信支付地址；仅模拟器时改动。使用默认地址时，无法连接会改用备用域名",
    ),
    number(
        "wechatPayConnectTimeoutMs",
        (50, 60_000, Unit::Milliseconds),
        "longest wait for a connection to WeChat Pay",
        "连接微信支付的最长等待",
    ),
    number(
        "wechatPayTimeoutMs",
        (100, 14_000, Unit::Milliseconds),
        "longest wait for WeChat Pay in one call, repeats included",
        "单次调用微信支付的最长等待，含重试",
    ),
    number(
        "maxUpstreamCalls",
        (1, 100_000, Unit::Pieces),
        "questions to WeChat Pay under way at a time; beyond them the answer is 503",
        "同时进行的微信支付调用数；超出返回 503",
    ),
    number(
        "maxConfirmationsPerSecond",
        (0, 1_000_000, Unit::PerSecond),
        "questions to WeChat Pay that only a callback without a proof asks for",
        "仅因未证明的回调而发起的查询",
    ),
];

const CALLBACKS: &[Setting] = &[
    choice(
        "signMode",
        &["gateway", "sdk"],
        "where callbacks come from: `gateway` is the Integration Center, `sdk` is WeChat Pay itself. Either has to prove itself, so both are taken in both modes",
        "回调来源：`gateway` 集成中心，`sdk` 微信支付直连。两者都须自证，因此两种模式下都接受",
    ),
    plain(
        "notifyURLPayURL",
        NOTIFY_URL,
        Without::Required,
        "where WeChat Pay sends payments; it goes with each order",
        "支付回调地址，随每笔订单提交",
    ),
    plain(
        "notifyURLRefundsURL",
        NOTIFY_URL,
        Without::Required,
        "where WeChat Pay sends refunds; it goes with each refund",
        "退款回调地址，随每笔退款提交",
    ),
    plain(
        "transferNotifyUrl",
        NOTIFY_URL,
        Without::Says("transfers are only asked about", "转账只通过查询得知结果"),
        "where WeChat Pay sends transfers",
        "转账回调地址",
    ),
    secret(
        "integrationId",
        Form::Text("any text", "任意文本"),
        Without::Says("not looked at", "不检查"),
        "what a forward of the Integration Center has to carry in `x-tcb-integration-id`",
        "集成中心转发须携带的 `x-tcb-integration-id`",
    ),
    choice(
        "callbackConfirm",
        &["always", "never"],
        "what becomes of a forward that proves nothing by itself: `always` asks WeChat Pay; `never` believes it by its `integrationId` alone, so whoever knows that can mark orders paid",
        "不能自证的转发：`always` 向微信支付查询；`never` 仅凭 `integrationId` 采信，知道者即可标记已支付",
    ),
];

const CALLERS: &[Setting] = &[
    plain(
        "authJwksUrl",
        Form::Text(
            "an `https` address (`http` for loopback)",
            "https 地址（回环地址可用 http）",
        ),
        Without::Says("the gateway's word is taken", "采信网关"),
        "the environment's key set. With it every token is verified here (RS256); without it a token is only decoded, so only the gateway may reach the service",
        "环境的公钥集。设置后每个令牌都在此验签（RS256）；未设置时仅解码，只应让网关访问本服务",
    ),
    plain(
        "envId",
        Form::Text("any text", "任意文本"),
        Without::Says("not looked at", "不检查"),
        "the CloudBase environment that tokens have to be for",
        "令牌所属的云开发环境",
    ),
    choice(
        "trustPlatformHeaders",
        &["auto", "true", "false"],
        "whether `x-wx-openid` and its companions count: `auto` is on the cloud function platform only",
        "是否采信 `x-wx-openid` 等请求头：`auto` 仅在云函数平台上",
    ),
    secret(
        "operatorKeys",
        Form::Text(
            "the SHA-256 of each key as 64 hex digits, comma-separated",
            "每个密钥的 SHA-256（64 位十六进制），以逗号分隔",
        ),
        Without::Says("there are no operators", "没有运维身份"),
        "who is an operator: a server of the merchant that calls with `Authorization: Bearer op_...`",
        "运维身份：以 `Authorization: Bearer op_...` 调用的商户服务器",
    ),
    choice(
        "refundPolicy",
        &["owner", "operator", "any"],
        "who may refund: `owner` is whoever placed the order, and operators",
        "谁可退款：`owner` 为下单者与运维",
    ),
    choice(
        "transferPolicy",
        &["operator", "any"],
        "who may pay transfers out of the merchant's balance. With `any` set `authJwksUrl` too, or whoever reaches the port can write a token and be paid",
        "谁可从商户余额转账。设为 `any` 时须同时设置 `authJwksUrl`，否则能访问端口者即可自造令牌收款",
    ),
    secret(
        "orderTicketSecret",
        Form::Text(
            "at least 32 bytes; several comma-separated",
            "至少 32 字节；可用逗号分隔多个",
        ),
        Without::Says("no ticket is taken", "不接受票据"),
        "with what the merchant's backend signs [order tickets](order-tickets.md); several while one replaces another",
        "商户后端签署[订单票据](order-tickets.md)的密钥；轮换期间可有多个",
    ),
    plain(
        "requireOrderTicket",
        TRUTH,
        Without::Default,
        "whether an order of anybody but an operator needs a ticket; else the page says what it pays",
        "运维以外的下单是否必须带票据；否则金额由页面给出",
    ),
    plain(
        "corsAllowOrigin",
        Form::Text(
            "origins like `https://shop.example.com`, comma-separated, or `*` alone for every page",
            "以逗号分隔的源，如 https://shop.example.com；或单独一个 `*` 表示任何页面",
        ),
        Without::Says("no page of another origin", "不允许其他源的页面"),
        "pages that a browser lets call and read. Leave it out where the gateway answers browsers by itself. `wxpay_order_h5` is refused from any other page",
        "浏览器允许调用并读取的页面。网关已处理跨域时不要设置；其他页面不可使用 `wxpay_order_h5`",
    ),
];

const BROWSERS: &[Setting] = &[
    secret(
        "offiaccountAppSecret",
        Form::Text(
            "at least 16 characters without blanks; WeChat's have 32",
            "至少 16 个字符，不含空格；微信提供的为 32 位",
        ),
        Without::Says("no web authorization", "不启用网页授权"),
        "the Official Account's AppSecret; turns [web authorization and the cashier's sessions](cashier.md) on",
        "公众号 AppSecret；启用[网页授权与收银台会话](cashier.md)",
    ),
    plain(
        "offiaccountAppId",
        APP_ID,
        Without::Says("`service_app_id`, else `appId`", "`service_app_id`，否则 `appId`"),
        "the Official Account whose openids are learnt; one of the configured apps",
        "获取 openid 所用的公众号，须为已配置的应用之一",
    ),
    plain(
        "publicUrl",
        Form::Text(
            "an `https` address without query (`http` for loopback)",
            "不带查询串的 https 地址（回环地址可用 http）",
        ),
        Without::Says("what `Host` says", "以请求的 Host 为准"),
        "this service's address as browsers see it; its domain is the account's Web Authorization Domain",
        "浏览器看到的本服务地址；其域名即公众号的网页授权域名",
    ),
    plain(
        "oauthReturnOrigins",
        ORIGINS,
        Without::Says("this service's own pages", "仅本服务自己的页面"),
        "pages that a buyer may be sent back to, and that may show the cashier in a frame",
        "买家可返回的页面，也是可嵌入收银台的页面",
    ),
    number(
        "sessionTime",
        (60, 86_400, Unit::Seconds),
        "how long a browser's owner is known",
        "浏览器会话的有效时间",
    ),
    plain(
        "wechatOpenBaseUrl",
        BASE_URL,
        Without::Default,
        "where the browser is sent to be authorized",
        "网页授权的跳转地址",
    ),
    plain(
        "wechatApiBaseUrl",
        BASE_URL,
        Without::Default,
        "where its code is exchanged",
        "换取 openid 的接口地址",
    ),
];

const STORE: &[Setting] = &[
    secret(
        "DATABASE_URL",
        Form::Text(
            "`sqlite://FILE` or `postgres://USER:PASSWORD@HOST/NAME`",
            "sqlite://文件 或 postgres://用户:密码@主机/库名",
        ),
        Without::Default,
        "the books: SQLite for one instance, PostgreSQL for several",
        "账本：单实例用 SQLite，多实例用 PostgreSQL",
    ),
    plain(
        "allowEphemeralStore",
        TRUTH,
        Without::Default,
        "lets SQLite be used where the disk is thrown away with the instance, and orders with it",
        "允许在磁盘随实例销毁的环境使用 SQLite（订单会丢失）",
    ),
    choice(
        "serverless",
        &["auto", "true", "false", "1", "0"],
        "whether nothing runs beside the requests and [a timer calls `POST /internal/tick`](serverless.md); `auto` is on the cloud function platform",
        "是否不在请求之外运行任务，而由[定时器调用 `POST /internal/tick`](serverless.md)；`auto` 为在云函数平台上",
    ),
    number(
        "closeUnpaidAfter",
        (0, 604_800, Unit::Seconds),
        "when an unpaid order is closed that names no end of its own; 0 is never",
        "未指定失效时间的未支付订单多久后关闭；0 为从不",
    ),
    number(
        "sweepInterval",
        (0, 3_600, Unit::Seconds),
        "longest pause between two looks at what is open; 0 leaves that to another instance",
        "两次检查未决事项的最长间隔；0 表示交给其他实例",
    ),
];

const WEBHOOKS: &[Setting] = &[
    plain(
        "webhookUrl",
        Form::Text(
            "an `https` address (`http` for loopback)",
            "https 地址（回环地址可用 http）",
        ),
        Without::Says("nobody is told", "不通知"),
        "[who is told of events](webhooks.md); together with `webhookSecret`, or neither",
        "[事件通知](webhooks.md)的接收地址；与 `webhookSecret` 同时设置，或都不设置",
    ),
    secret(
        "webhookSecret",
        Form::Text(
            "`whsec_` and the base64 of 24 to 64 bytes; several comma-separated",
            "whsec_ 加 24 到 64 字节的 base64；可用逗号分隔多个",
        ),
        Without::Says("nobody is told", "不通知"),
        "what signs the events; several while one replaces another, the newest first",
        "事件通知的签名密钥；轮换期间可有多个，新的在前",
    ),
    // The time of a callback is 4.5 s, and the rest of the callback is some of it.
    number(
        "webhookFirstAttemptMs",
        (0, 4_000, Unit::Milliseconds),
        "with `serverless`: how long an answer waits for the first attempt at its events; below 750 there is none, and the tick tells",
        "函数模式下应答前等待首次通知的时限；低于 750 则不尝试，由定时器通知",
    ),
];

const LIMITS: &[Setting] = &[
    number(
        "maxBodyBytes",
        (65_536, 16_777_216, Unit::Bytes),
        "the longest body of a request",
        "请求体最大长度",
    ),
    // The parser itself stops at 128.
    number(
        "maxJsonDepth",
        (8, 120, Unit::Pieces),
        "how deep a body may nest",
        "JSON 最大嵌套层数",
    ),
    number(
        "headerTimeoutMs",
        (100, 120_000, Unit::Milliseconds),
        "for the headers of a request, and for an idle connection",
        "接收请求头的时限，也是空闲连接的时限",
    ),
    number(
        "bodyTimeoutMs",
        (100, 120_000, Unit::Milliseconds),
        "for its body",
        "接收请求体的时限",
    ),
    number(
        "requestTimeoutMs",
        (500, 300_000, Unit::Milliseconds),
        "from its headers to its answer",
        "从请求头到应答的时限",
    ),
    number(
        "maxConnections",
        (16, 1_000_000, Unit::Pieces),
        "connections at a time; the next ones wait",
        "同时连接数；超出者等待",
    ),
    number(
        "maxRequestsPerSecond",
        (0, 1_000_000, Unit::PerSecond),
        "actions of all callers together; ten seconds' worth may come at once, then the answer is 429. Callbacks are never counted",
        "所有调用方的操作速率；可一次用掉 10 秒的量，超出返回 429。回调不计",
    ),
    number(
        "maxCallerRequestsPerSecond",
        (0, 1_000_000, Unit::PerSecond),
        "the same of one caller; set it to about 5 where every buyer has a login of their own. Operators have no limit of their own",
        "单个调用方的速率；每个买家各自登录时建议设为 5。运维密钥不受此限",
    ),
    number(
        "stopTimeoutMs",
        (0, 600_000, Unit::Milliseconds),
        "how long a stop waits for what runs",
        "停止时等待进行中请求的时限",
    ),
];

const PROCESS: &[Setting] = &[
    plain(
        "bindAddress",
        Form::Text("an IP address", "IP 地址"),
        Without::Default,
        "where it listens",
        "监听地址",
    ),
    plain(
        "PORT",
        Form::Text("0 to 65535; 0 lets the system choose", "0 到 65535；0 由系统选择"),
        Without::Says("3000; 9000 on the cloud function platform", "3000；云函数平台为 9000"),
        "on which port",
        "监听端口",
    ),
    choice(
        "logLevel",
        &["error", "warn", "info", "debug", "trace"],
        "of this service's own log lines; libraries stay at `warn`",
        "本服务的日志级别；依赖库固定为 `warn`",
    ),
    choice(
        "logFormat",
        &["auto", "text", "json"],
        "of log lines, on the standard error output; `auto` is text on a terminal, otherwise JSON",
        "日志格式（标准错误输出）；`auto` 在终端为文本，否则为 JSON",
    ),
];

/// All settings, group by group.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

/// The bounds of a number.
pub(super) fn bounds(name: &str) -> Option<RangeInclusive<u64>> {
    match find(name)?.form {
        Form::Number { from, to, .. } => Some(from..=to),
        Form::Choice(_) | Form::Text(..) => None,
    }
}
