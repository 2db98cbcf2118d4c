//! A sentence about every member of every request and answer, in both languages.
//!
//! A row counts for the path in every schema, unless another one names the schema as well: `Refund/status` is not `Health/status`.

/// What is said of the member at this path of this schema.
pub(super) fn of(schema: &str, path: &str) -> Option<String> {
    let named = format!("{schema}/{path}");
    let row = |key: &str| MEMBERS.iter().find(|(member, ..)| *member == key);
    let (_, chinese, english) = row(&named).or_else(|| row(path))?;
    Some(format!("{chinese} / {english}"))
}

/// Path, 中文, English.
pub(super) const MEMBERS: &[(&str, &str, &str)] = &[
    // Requests.
    ("_action", "操作名", "the action's name"),
    (
        "mchid",
        "商户号；请求中只能重复服务端的设置",
        "merchant number; a request may only repeat the configured one",
    ),
    (
        "notify_url",
        "回调地址；只能重复服务端的设置",
        "address of callbacks; may only repeat the configured one",
    ),
    (
        "appid",
        "已配置的 AppID 之一；缺省为默认应用",
        "one of the configured apps; the default one when left out",
    ),
    (
        "useServiceAccount",
        "true 表示使用服务号的 AppID（service_app_id）",
        "true takes the app of the service account (service_app_id)",
    ),
    (
        "out_trade_no",
        "商户订单号，同一商户号下唯一",
        "the merchant's number of the order, unique for the merchant",
    ),
    (
        "description",
        "商品描述，展示给用户",
        "what is bought, shown to the buyer",
    ),
    ("amount", "金额", "amounts"),
    ("amount.total", "订单总金额，单位分", "the order's total, in fen"),
    ("amount.currency", "货币，只有 CNY", "currency, CNY only"),
    ("payer", "支付者", "who pays"),
    (
        "payer.openid",
        "支付者在该 AppID 下的 openid；下单时缺省为登录身份的 openid",
        "the payer's openid under the app; in an order the login's own when left out",
    ),
    ("time_expire", "支付截止时间", "until when it can be paid"),
    (
        "attach",
        "附加数据，在查询和回调中原样返回",
        "returned as it is in queries and callbacks",
    ),
    ("goods_tag", "订单优惠标记", "discount tag of the order"),
    (
        "support_fapiao",
        "是否在支付后展示开票入口",
        "whether an invoice is offered after the payment",
    ),
    (
        "detail",
        "优惠功能所需的单品信息，JSON 不超过 6144 字节",
        "goods, for discounts; at most 6144 bytes as JSON",
    ),
    (
        "detail.cost_price",
        "订单原价，单位分",
        "price before discounts, in fen",
    ),
    ("detail.invoice_id", "商家小票号", "number of the receipt"),
    ("detail.goods_detail", "单品列表", "the goods"),
    (
        "detail.goods_detail[].merchant_goods_id",
        "商户侧商品编码",
        "the merchant's code of the goods",
    ),
    (
        "detail.goods_detail[].wechatpay_goods_id",
        "微信支付商品编码",
        "WeChat Pay's code of the goods",
    ),
    ("detail.goods_detail[].goods_name", "商品名称", "name of the goods"),
    ("detail.goods_detail[].quantity", "数量", "how many"),
    (
        "detail.goods_detail[].unit_price",
        "单价，单位分",
        "price of one, in fen",
    ),
    ("scene_info", "支付场景", "where it is paid"),
    (
        "scene_info.payer_client_ip",
        "用户终端 IP；H5 下单未传时取连接的 IP",
        "the payer's address; an H5 order takes the connection's when left out",
    ),
    ("scene_info.device_id", "商户终端设备号", "the merchant's device"),
    ("scene_info.store_info", "门店", "the shop"),
    ("scene_info.store_info.id", "门店编号", "number of the shop"),
    ("scene_info.store_info.name", "门店名称", "name of the shop"),
    ("scene_info.store_info.area_code", "地区编码", "area code"),
    ("scene_info.store_info.address", "详细地址", "address"),
    ("scene_info.h5_info", "H5 场景", "the browser"),
    ("scene_info.h5_info.type", "场景类型", "kind of page or app"),
    ("scene_info.h5_info.app_name", "应用名称", "name of the app"),
    ("scene_info.h5_info.app_url", "网站地址", "address of the site"),
    ("scene_info.h5_info.bundle_id", "iOS 的 BundleID", "bundle id on iOS"),
    (
        "scene_info.h5_info.package_name",
        "Android 的包名",
        "package name on Android",
    ),
    ("settle_info", "结算", "settlement"),
    ("settle_info.profit_sharing", "是否指定分账", "whether profit is shared"),
    (
        "order_ticket",
        "商户后端签名的订单票据，以其内容为准",
        "the order as the merchant's backend has signed it; what it says wins",
    ),
    (
        "out_refund_no",
        "商户退款单号，同一商户号下唯一",
        "the merchant's number of the refund, unique for the merchant",
    ),
    (
        "transaction_id",
        "微信支付订单号，支付后才有",
        "WeChat's number of the order, there once it is paid",
    ),
    (
        "reason",
        "退款原因，展示给用户",
        "why it is refunded, shown to the buyer",
    ),
    ("amount.refund", "退款金额，单位分", "what is refunded, in fen"),
    (
        "out_bill_no",
        "商户转账单号，字母和数字",
        "the merchant's number of the transfer, letters and digits",
    ),
    ("transfer_bill_no", "微信转账单号", "WeChat's number of the transfer"),
    (
        "user_name",
        "收款人姓名，2000 元起必填；加密后发给微信支付",
        "the receiver's name, needed from 2000 yuan on; encrypted for WeChat Pay",
    ),
    ("transfer_amount", "转账金额，单位分", "what is transferred, in fen"),
    (
        "openid",
        "收款人在该 AppID 下的 openid",
        "the receiver's openid under the app",
    ),
    (
        "transfer_scene_id",
        "转账场景编号，如 1000（现金营销）",
        "number of the scene, like 1000 (a prize)",
    ),
    (
        "transfer_remark",
        "转账备注，展示给收款人",
        "remark, shown to the receiver",
    ),
    (
        "transfer_scene_report_infos",
        "转账场景要求的报备信息",
        "what the scene asks to be told",
    ),
    (
        "transfer_scene_report_infos[].info_type",
        "信息类型，由场景规定",
        "kind of information, set by the scene",
    ),
    (
        "transfer_scene_report_infos[].info_content",
        "信息内容",
        "the information",
    ),
    (
        "user_recv_perception",
        "收款人看到的用途，由场景规定",
        "the purpose that the receiver sees, set by the scene",
    ),
    ("user_recv_style", "收款样式", "how it is received"),
    (
        "user_recv_style.type",
        "CONFIRM_PAGE 确认页，RED_PACKET 红包",
        "a page to confirm on, or a red packet",
    ),
    // The envelope.
    ("code", "0 成功，-1 失败", "0 is success, -1 failure"),
    ("msg", "给人看的说明", "a sentence for a person"),
    ("error", "稳定的错误常量", "stable constant of the failure"),
    ("data", "结果", "the result"),
    ("data.status", "微信支付的 HTTP 状态码", "WeChat Pay's HTTP status"),
    (
        "data.data",
        "微信支付的应答，或支付参数",
        "WeChat Pay's answer, or what is paid with",
    ),
    ("data.data.code", "微信支付的错误码", "WeChat Pay's code"),
    ("data.data.message", "微信支付的错误描述", "WeChat Pay's words"),
    ("data.request_id", "微信支付的 Request-ID", "WeChat Pay's Request-ID"),
    ("data.error", "稳定的错误常量", "stable constant of the failure"),
    (
        "data.retryable",
        "是否可用相同单号重试",
        "whether the same call may be made again",
    ),
    // What an order is paid with.
    ("appId", "下单的 AppID", "the app that the order was placed for"),
    ("prepay_id", "预支付会话标识", "the prepay id"),
    ("timeStamp", "Unix 秒，字符串", "Unix seconds, as text"),
    ("nonceStr", "随机串", "random"),
    ("package", "原样交给支付接口", "handed on as it is"),
    ("signType", "签名方式", "how it is signed"),
    ("paySign", "签名", "the signature"),
    (
        "AppParams/appid",
        "下单的 AppID",
        "the app that the order was placed for",
    ),
    ("partnerid", "商户号", "merchant number"),
    ("prepayid", "预支付会话标识", "the prepay id"),
    ("noncestr", "随机串", "random"),
    ("timestamp", "Unix 秒，字符串", "Unix seconds, as text"),
    ("sign", "签名", "the signature"),
    ("h5_url", "支付跳转地址", "where the browser goes to pay"),
    ("code_url", "二维码内容", "content of the QR code"),
    // What WeChat says of an order.
    (
        "Transaction/appid",
        "下单的 AppID",
        "the app that the order was placed for",
    ),
    ("Transaction/mchid", "商户号", "merchant number"),
    (
        "trade_type",
        "交易类型：JSAPI、NATIVE、APP、MWEB（H5）等",
        "how it was paid: JSAPI, NATIVE, APP, MWEB (H5) and others",
    ),
    (
        "trade_state",
        "交易状态：SUCCESS、REFUND、NOTPAY、CLOSED、REVOKED、USERPAYING、PAYERROR",
        "state: SUCCESS, REFUND, NOTPAY, CLOSED, REVOKED, USERPAYING, PAYERROR",
    ),
    ("trade_state_desc", "交易状态说明", "the state in words"),
    ("bank_type", "银行类型", "the bank"),
    ("success_time", "成功时间", "when it succeeded"),
    (
        "amount.payer_total",
        "用户实付金额，单位分；用券时小于总金额",
        "what the buyer paid, in fen; less than the total with a coupon",
    ),
    ("amount.payer_currency", "用户支付货币", "currency of the payment"),
    ("promotion_detail", "优惠", "discounts"),
    ("promotion_detail[].coupon_id", "券编号", "number of the coupon"),
    ("promotion_detail[].name", "优惠名称", "name of the discount"),
    (
        "promotion_detail[].scope",
        "优惠范围：GLOBAL、SINGLE",
        "GLOBAL or SINGLE",
    ),
    ("promotion_detail[].type", "优惠类型：CASH、NOCASH", "CASH or NOCASH"),
    ("promotion_detail[].amount", "优惠金额，单位分", "the discount, in fen"),
    ("promotion_detail[].stock_id", "活动编号", "number of the campaign"),
    (
        "promotion_detail[].wechatpay_contribute",
        "微信出资，单位分",
        "WeChat's part, in fen",
    ),
    (
        "promotion_detail[].merchant_contribute",
        "商户出资，单位分",
        "the merchant's part, in fen",
    ),
    (
        "promotion_detail[].other_contribute",
        "其他出资，单位分",
        "the part of others, in fen",
    ),
    ("promotion_detail[].currency", "优惠货币", "currency of the discount"),
    ("promotion_detail[].goods_detail", "单品", "the goods"),
    (
        "promotion_detail[].goods_detail[].goods_id",
        "商品编码",
        "code of the goods",
    ),
    ("promotion_detail[].goods_detail[].quantity", "数量", "how many"),
    (
        "promotion_detail[].goods_detail[].unit_price",
        "单价，单位分",
        "price of one, in fen",
    ),
    (
        "promotion_detail[].goods_detail[].discount_amount",
        "优惠金额，单位分",
        "the discount, in fen",
    ),
    ("promotion_detail[].goods_detail[].goods_remark", "备注", "remark"),
    // What WeChat says of a refund.
    ("refund_id", "微信支付退款单号", "WeChat's number of the refund"),
    ("channel", "退款渠道", "where the money goes back to"),
    ("user_received_account", "入账账户", "the account in words"),
    ("create_time", "创建时间", "when it was made"),
    (
        "Refund/status",
        "退款状态：PROCESSING、SUCCESS、CLOSED、ABNORMAL",
        "state: PROCESSING, SUCCESS, CLOSED, ABNORMAL",
    ),
    ("funds_account", "资金账户", "the merchant's account"),
    (
        "amount.payer_refund",
        "用户退款金额，单位分",
        "what the buyer gets back, in fen",
    ),
    (
        "amount.settlement_refund",
        "应结退款金额，单位分",
        "what the merchant gives back, in fen",
    ),
    (
        "amount.settlement_total",
        "应结订单金额，单位分",
        "what the merchant got, in fen",
    ),
    (
        "amount.discount_refund",
        "优惠退款金额，单位分",
        "what of the discounts goes back, in fen",
    ),
    (
        "amount.refund_fee",
        "手续费退款金额，单位分",
        "what of the fee goes back, in fen",
    ),
    ("amount.from", "出资账户", "the accounts that pay for it"),
    ("amount.from[].account", "出资账户类型", "kind of account"),
    ("amount.from[].amount", "出资金额，单位分", "its part, in fen"),
    ("promotion_detail[].promotion_id", "券编号", "number of the coupon"),
    (
        "promotion_detail[].refund_amount",
        "优惠退款金额，单位分",
        "what of it goes back, in fen",
    ),
    // What WeChat says of a transfer.
    (
        "state",
        "转账状态：ACCEPTED、PROCESSING、WAIT_USER_CONFIRM、TRANSFERING、SUCCESS、FAIL、CANCELING、CANCELLED",
        "state: ACCEPTED, PROCESSING, WAIT_USER_CONFIRM, TRANSFERING, SUCCESS, FAIL, CANCELING, CANCELLED",
    ),
    (
        "package_info",
        "交给 requestMerchantTransfer；仅在等待用户确认时有",
        "for requestMerchantTransfer; only while the receiver has to confirm",
    ),
    ("fail_reason", "失败原因", "why it failed"),
    ("mchId", "商户号", "merchant number"),
    ("mch_id", "商户号", "merchant number"),
    ("Transfer/appid", "转账的 AppID", "the app of the transfer"),
    (
        "Transfer/user_name",
        "收款人姓名，加密",
        "the receiver's name, encrypted",
    ),
    ("update_time", "更新时间", "when it changed"),
    // Callbacks.
    ("id", "通知编号", "number of the notification"),
    ("event_type", "通知类型", "what has happened"),
    ("resource_type", "通知数据类型", "kind of content"),
    ("summary", "摘要", "summary"),
    ("resource", "加密的内容", "the content, encrypted"),
    ("resource.original_type", "原始类型", "what it was before"),
    ("resource.algorithm", "加密算法", "how it is encrypted"),
    ("resource.ciphertext", "密文，Base64", "ciphertext, Base64"),
    (
        "resource.associated_data",
        "附加数据，可为空",
        "associated data, may be empty",
    ),
    ("resource.nonce", "随机串", "nonce"),
    (
        "ParsedContent",
        "解密后的内容，对象或 JSON 字符串",
        "the content, decrypted; an object or the JSON of one",
    ),
    (
        "ParsedNotify",
        "通知，对象或 JSON 字符串",
        "the notification, an object or the JSON of one",
    ),
    (
        "Plaintext",
        "解密后的内容，JSON 字符串",
        "the content, decrypted, as JSON",
    ),
    ("rawData", "微信支付的原始通知", "WeChat's own notification"),
    (
        "CallbackSuccess/code",
        "SUCCESS：不再投递",
        "SUCCESS: it need not be sent again",
    ),
    ("CallbackFail/code", "FAIL：会再次投递", "FAIL: it will be sent again"),
    ("message", "说明", "a sentence"),
    // The service itself.
    ("status", "状态", "the state"),
    ("store", "存储", "the store"),
    ("keys", "验证微信支付的密钥", "the keys that verify WeChat Pay"),
];
