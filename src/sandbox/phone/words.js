// What the phone says, and what each message is for.
export const words = {
  zh: {
    tag: 'zh-CN', other: 'English', heading: '一笔微信支付，从头到尾',
    intro: '在手机里付一次款。右边是各方之间的每一条消息：点开可以看到它为什么可信（签名原文）。全部在本机，没有真钱。',
    handset: '买家的手机', bar: '微信', frame: '收银台', newOrder: '新订单', sameOrder: '重新打开这一单', controls: '出点差错',
    wayName: '页面怎样到达服务', ways: { session: '直接访问（网页授权 + 会话）', gateway: '经云开发网关（登录令牌）' },
    troubleName: '常见问题', network: '下一条支付回调', timeline: '各方往来', clear: '清空',
    sheet: { title: '微信支付', pay: '确认支付', cancel: '取消', fail: '余额不足，支付失败', lost: '支付，然后页面没了', close: '不付，关掉页面' },
    networks: { lose: '丢失', duplicate: '重复 3 次', delay: '迟到 4 秒', forge: '伪造一条', well: '恢复正常' },
    networkDone: {
      lose: '从现在起回调都会丢失。付款后收银台靠查询得知结果，服务的定时扫描也会发现它。', duplicate: '下一条回调会到达三次；入账只有一次，通知只有一次。',
      delay: '接下来的回调迟到 4 秒。', well: '网络正常。', forge: (status) => `伪造的回调被答以 ${status}。它声称已付款，但没有证明；服务向微信支付查询，微信支付说没有。`,
    },
    closed: '页面已关闭。点“重新打开这一单”继续。',
    standing: (order) => `订单 ${order.out_trade_no}：微信支付的账上是 ${order.trade_state ?? '（还没有下单）'}`,
    parties: { page: '页面', buyer: '买家', gateway: '云 API 网关', service: 'pay-common', wechat: '微信支付', center: '集成中心', business: '商户系统', forger: '伪造者' },
    troubles: {
      well: ['一切正常', ''], 'openid-of-other-app': ['Q1 appid 与 openid 不匹配（下单）', '下一次下单，微信支付以“appid和openid不匹配”拒绝。'],
      'hard-coded-app': ['Q1 页面写死了别的 appId（调起）', '调起支付的 appId 与下单时不同。'], 'app-not-bound': ['Q2 AppID 未绑定商户号', '下一次下单以 APPID_MCHID_NOT_MATCH 拒绝。'],
      directory: ['Q3 页面不在支付授权目录', '商户平台上填的是另一个目录。'], 'no-code': ['Q4 网页授权域名不对', '微信不返回 code。请先清除本页 Cookie 或用无痕窗口，以便重新授权。'],
      'code-used': ['授权码已被使用', '换取 openid 时微信答 40163。同样需要重新授权。'], visitor: ['快照页访客', 'openid 是虚拟的，不能付款。同样需要重新授权。'],
      'outside-wechat': ['Q5 不在微信中打开', '普通浏览器，没有 WeixinJSBridge。'], disguised: ['Q6 浏览器伪装成微信', 'UA 里写着 MicroMessenger，但没有 WeixinJSBridge。'],
      'session-over': ['会话过期', '下一次调用时会话已失效。'],
    },
  },
  en: {
    tag: 'en', other: '中文', heading: 'One WeChat payment, from end to end',
    intro: 'Pay once in the phone. Beside it is every message between the parties: open one to see why it is believed (the text that was signed). All of it on this machine, and no real money.',
    handset: 'The buyer\'s phone', bar: 'WeChat', frame: 'Cashier', newOrder: 'New order', sameOrder: 'Open this order again', controls: 'Make something go wrong',
    wayName: 'How the page reaches the service', ways: { session: 'By itself (web authorization, session)', gateway: 'Through the CloudBase gateway (login token)' },
    troubleName: 'Common questions', network: 'The next payment callback', timeline: 'What the parties say', clear: 'Clear',
    sheet: { title: 'WeChat Pay', pay: 'Pay', cancel: 'Cancel', fail: 'Not enough money: fail', lost: 'Pay, and the page is gone', close: 'Close the page, unpaid' },
    networks: { lose: 'Lose it', duplicate: 'Send it 3 times', delay: '4 seconds late', forge: 'Forge one', well: 'All well again' },
    networkDone: {
      lose: 'Callbacks are lost from now on. After a payment the cashier asks, and the service\'s own sweep finds it too.', duplicate: 'The next callback arrives three times; it is booked once and told once.',
      delay: 'The next callbacks are 4 seconds late.', well: 'The network is well.', forge: (status) => `The forged callback was answered ${status}. It says "paid" and proves nothing; the service asked WeChat Pay, which said no.`,
    },
    closed: 'The page is closed. "Open this order again" goes on.',
    standing: (order) => `Order ${order.out_trade_no}: in WeChat Pay's books ${order.trade_state ?? '(not placed yet)'}`,
    parties: { page: 'Page', buyer: 'Buyer', gateway: 'API gateway', service: 'pay-common', wechat: 'WeChat Pay', center: 'Integration Center', business: 'Merchant', forger: 'Forger' },
    troubles: {
      well: ['All is well', ''], 'openid-of-other-app': ['Q1 appid and openid mismatch (order)', 'WeChat Pay refuses the next order: the openid is another app\'s.'],
      'hard-coded-app': ['Q1 the page hard-codes another appId (bridge)', 'The appId of the bridge call is not the order\'s.'], 'app-not-bound': ['Q2 AppID not bound to the merchant', 'The next order is refused with APPID_MCHID_NOT_MATCH.'],
      directory: ['Q3 page outside the pay authorization directory', 'Another directory is entered on the merchant platform.'], 'no-code': ['Q4 wrong web authorization domain', 'WeChat gives no code. Clear this page\'s cookies first, or use a private window, so that you are authorized again.'],
      'code-used': ['The code was used already', 'WeChat answers 40163 to the exchange. Needs a new authorization, too.'], visitor: ['Visitor of a snapshot', 'The openid is made up and cannot pay. Needs a new authorization, too.'],
      'outside-wechat': ['Q5 opened outside WeChat', 'An ordinary browser, without WeixinJSBridge.'], disguised: ['Q6 a browser that says it is WeChat', 'MicroMessenger stands in the user agent, and there is no WeixinJSBridge.'],
      'session-over': ['The session is over', 'The next call has no session any more.'],
    },
  },
}

/** From, to, a part of what is said: what it is for. The first that fits. */
const reasons = [
  ['page', 'service', '/pay/context', '收银台先问：收款方是谁，是否已知道买家是谁。', 'The cashier asks whom the money goes to, and whether the buyer is known.'],
  ['page', 'service', '/oauth/authorize', '还不知道买家是谁：浏览器被送到微信，state 与此浏览器绑定。', 'The buyer is not known yet: the browser is sent to WeChat, with a state that only this browser has.'],
  ['page', 'service', '/oauth/callback', '浏览器带着一次性的 code 回来；服务换得 openid，写入签名的会话 Cookie。', 'The browser comes back with a code for one use; the service exchanges it for the openid and sets a signed session cookie.'],
  ['page', 'service', '/pay', '打开收银台页面。订单在锚点里，服务器看不到。', 'The cashier is opened. The order stands in the fragment, which no server sees.'],
  ['page', 'service', 'wxpay_order', '下单：金额由商户后端签名的票据决定，付款人由会话决定。', 'An order: the ticket that the merchant\'s backend signed decides the amount, the session decides who pays.'],
  ['page', 'service', 'query_order', '页面上的 ok 不算数：收银台向服务查询，直到服务说已付款。', 'The ok on the page proves nothing: the cashier asks the service until the service says that it is paid.'],
  ['page', 'gateway', '', '页面带着登录令牌调用云函数；网关验证令牌后转发。', 'The page calls the function with the token of a login; the gateway checks it and passes it on.'],
  ['gateway', 'service', '', '网关转发；匿名登录到不了这里。', 'The gateway passes it on; anonymous logins do not get here.'],
  ['page', 'wechat', 'authorize', 'snsapi_base 静默授权：微信不询问买家，直接发回 code。', 'snsapi_base: WeChat asks the buyer nothing and sends a code back.'],
  ['page', 'wechat', 'getBrandWCPayRequest', '页面把参数原样交给 WeixinJSBridge。微信检查授权目录、prepay_id、appId 和商户的签名，然后弹出支付面板。', 'The page hands the parameters to WeixinJSBridge as they came. WeChat checks the directory, the prepay id, the app and the merchant\'s signature, and shows the pay sheet.'],
  ['service', 'wechat', 'access_token', '用 AppSecret 把 code 换成 openid。AppSecret 不离开服务器。', 'The code becomes an openid, with the AppSecret, which never leaves the server.'],
  ['service', 'wechat', '/jsapi', '统一下单，先记账再请求。请求由商户私钥签名，应答由微信支付签名；换得 prepay_id。', 'The order itself, written down before it is asked for. The merchant\'s key signs the request, WeChat Pay\'s the answer, which holds the prepay id.'],
  ['service', 'wechat', 'out-trade-no', '查询订单：微信支付签名的应答才是事实。', 'A query: WeChat Pay\'s signed answer is the fact.'],
  ['buyer', 'wechat', 'pays', '买家在支付面板上确认。钱在这一刻转移。', 'The buyer confirms on the sheet. This is when the money moves.'],
  ['buyer', 'wechat', 'cancels', '买家取消；订单仍可支付。', 'The buyer cancels; the order can still be paid.'],
  ['wechat', 'center', '', '支付回调：微信支付签名，内容用 APIv3 密钥加密。没有收到应答就按时间表重发。', 'The payment callback: signed by WeChat Pay, encrypted with the APIv3 key, sent again by a schedule until it is acknowledged.'],
  ['center', 'service', '', '集成中心验签、解密后转发。服务自己再证明一次，入账后才应答。', 'The Integration Center verifies, decrypts and forwards. The service proves it once more by itself, and answers after it is in the books.'],
  ['forger', 'service', '', '有人伪造“已付款”。没有密文、没有签名，只能被拒绝。', 'Somebody claims that it is paid. Without ciphertext and signature it is refused.'],
  ['service', 'business', 'order.paid', '已付款的事实入账后，签名告诉商户系统：此时才发货。', 'That it is paid is in the books, and is told to the merchant\'s system, signed: now it delivers.'],
  ['service', 'business', '', '每个入账的事实都签名告诉商户系统；下单还不是付款。', 'Each fact in the books is told to the merchant\'s system, signed. An order is no payment yet.'],
]

export const reason = (entry, zh) => {
  const found = reasons.find(([from, to, part]) => from === entry.from && to === entry.to && `${entry.what} ${entry.note ?? ''}`.includes(part))
  return found ? found[zh ? 3 : 4] : ''
}
