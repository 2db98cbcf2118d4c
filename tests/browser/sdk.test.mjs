// The seed's other way: a page of the merchant's own, with a login of @cloudbase/js-sdk, through the API gateway.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { build } from 'esbuild'
import { launch, open, sandbox, screen, seen, texts, until } from './support.mjs'

const SHOP = 'https://shop.example.com'
const GATEWAY = 'sandbox-env.api.tcloudbasegateway.com'
const OPENID = 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o'
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }

let world, browser, sdk, appid
before(async () => {
  const bundled = build({
    stdin: { contents: "export { default } from '@cloudbase/js-sdk'", resolveDir: process.cwd() },
    bundle: true, format: 'iife', globalName: 'sdk', footer: { js: 'globalThis.cloudbase = sdk.default' }, write: false, logLevel: 'error',
  })
  ;[world, browser] = await Promise.all([sandbox(), launch()])
  sdk = (await bundled).outputFiles[0].text
  appid = world.credentials.service_app_id
})
after(async () => { await browser?.close(); await world?.stop() })

/** A page of the shop's inside WeChat; `files` are its own ones. What goes to the gateway's host goes to the simulated gateway. */
async function shop(t, files, path) {
  const page = await open(browser, t, { hosts: ['shop.example.com', GATEWAY] })
  await world.trouble('well')
  await fetch(`${world.phone}/phone/trouble`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ what: 'directory', directory: `${SHOP}/` }),
  })
  const called = []
  await page.route(`${SHOP}/**`, (route) => {
    const { pathname } = new URL(route.request().url())
    const body = files[pathname]
    const contentType = `${TYPES[pathname.split('.').pop()] ?? 'text/html'}; charset=utf-8`
    return body === undefined ? route.fulfill({ status: 404 }) : route.fulfill({ contentType, body })
  })
  await page.route(`https://${GATEWAY}/**`, async (route) => {
    const request = route.request()
    const { host, connection, ...headers } = request.headers()
    const url = new URL(request.url())
    called.push(url.pathname + url.search)
    const answer = await fetch(world.gateway + url.pathname + url.search, { method: request.method(), headers, body: request.postData() ?? undefined })
    return route.fulfill({ status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() })
  })
  // WeChat's bridge: the phone's, over another way.
  await page.exposeFunction('wechatPays', async (url, params) => {
    const answer = await fetch(`${world.phone}/phone/bridge`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ url, params }),
    })
    return answer.json()
  })
  await page.addInitScript(() => {
    setTimeout(() => {
      globalThis.WeixinJSBridge = { invoke: (name, params, callback) => globalThis.wechatPays(location.href, params).then(callback) }
      document.dispatchEvent(new Event('WeixinJSBridgeReady'))
    }, 200)
    const agent = `${navigator.userAgent} MicroMessenger/8.0.50`
    Object.defineProperty(navigator, 'userAgent', { get: () => agent })
  })
  await page.goto(SHOP + path)
  return { page, called }
}

/** The page of the guide, with its login filled in. */
const GUIDE = (login) => `<!DOCTYPE html>
<html lang="zh-CN"><head><meta charset="UTF-8"><title>Official Account Pay</title></head><body>
<button id="payBtn">WeChat Pay 0.2 yuan</button>
<script src="/cloudbase.full.js"></script>
<script>
const ENV_ID = 'sandbox-env'
const FN_NAME = 'pay-common'
const OPENID = '${OPENID}'
const app = cloudbase.init({ env: ENV_ID })
const auth = app.auth({ persistence: 'local' })
async function getAccessToken() {
  ${login}
  return (await auth.getAccessToken()).accessToken
}
document.getElementById('payBtn').onclick = async () => {
  const accessToken = await getAccessToken()
  const out_trade_no = 'ORDER_' + Date.now()
  const res = await fetch(\`https://\${ENV_ID}.api.tcloudbasegateway.com/v1/functions/\${FN_NAME}?webfn=true\`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: \`Bearer \${accessToken}\` },
    body: JSON.stringify({
      _action: 'wxpay_order', description: 'Test product', out_trade_no, amount: { total: 20, currency: 'CNY' }, payer: { openid: OPENID },
      useServiceAccount: true,
    }),
  })
  const body = await res.json()
  if (body.code !== 0) { document.title = 'refused ' + (body.code || body.msg); return }
  const p = body.data && body.data.data ? body.data.data : body.data
  callJsBridgePay(p, out_trade_no)
}
function callJsBridgePay(p, outTradeNo) {
  function onBridgeReady() {
    WeixinJSBridge.invoke('getBrandWCPayRequest', {
      appId: p.appId, timeStamp: p.timeStamp, nonceStr: p.nonceStr, package: p.package, signType: p.signType || 'RSA', paySign: p.paySign,
    }, function (resp) {
      document.title = resp.err_msg + ' ' + outTradeNo
    })
  }
  if (typeof WeixinJSBridge === 'undefined') {
    document.addEventListener('WeixinJSBridgeReady', onBridgeReady, false)
  } else {
    onBridgeReady()
  }
}
</script></body></html>`

test('the page of the guide orders by the login of the SDK and is paid', async (t) => {
  const files = { '/pay.html': GUIDE("await auth.signInWithPassword({ username: 'buyer_1', password: 'Passw0rd!' })"), '/cloudbase.full.js': sdk }
  const { page, called } = await shop(t, files, '/pay.html')
  await page.locator('#payBtn').click()
  await world.tap('pay')
  const title = await until(async () => /^get_brand.*ok/.test(await page.title()) && page.title(), 'the end')
  assert.ok(called.includes('/v1/functions/pay-common?webfn=true') && called.some((path) => path.startsWith('/auth/v1/signin')), called.join())
  const number = title.split(' ')[1]
  await until(async () => (await world.ask('/business')).heard.some((one) => one.kind === 'order.paid' && one.subject === number), 'order.paid')
  page.wellBehaved({ refusals: true })
})

test('an anonymous login of the SDK orders nothing', async (t) => {
  const files = { '/pay.html': GUIDE('await auth.signInAnonymously()'), '/cloudbase.full.js': sdk }
  const { page } = await shop(t, files, '/pay.html')
  await page.locator('#payBtn').click()
  await until(async () => (await page.title()) === 'refused INVALID_CREDENTIALS', 'the refusal')
})

const file = (name) => readFileSync(`cashier/${name}`, 'utf8')
const own = (hooks) => ({
  '/pay.html': file('index.html').replace('<script', '<script src="pay/cloudbase.js"></script>\n<script src="pay/hooks.js"></script>\n<script'),
  '/pay/cloudbase.js': sdk,
  '/pay/hooks.js': hooks,
  ...Object.fromEntries(['cashier.css', 'cashier.js', 'view.js', 'texts.js', 'icon.svg'].map((name) => [`/pay/${name}`, file(name)])),
})
const hooks = (login) => `
const app = cloudbase.init({ env: 'sandbox-env' })
const auth = app.auth({ persistence: 'local' })
globalThis.payCashier = {
  gateway: 'https://sandbox-env.api.tcloudbasegateway.com/v1/functions/pay-common?webfn=true',
  async getAccessToken() {
    ${login}
    return (await auth.getAccessToken()).accessToken
  },
  openid: '${OPENID}', appid: '${appid}', payee: 'Shop', returnTo: '${SHOP}/orders',
  order: { out_trade_no: 'ORDER_' + Date.now(), description: 'Test product', amount: { total: 20 } },
}`

test('the cashier on a page of the merchant with the SDK as its hook', async (t) => {
  const { page, called } = await shop(t, own(hooks("await auth.signInWithPassword({ username: 'buyer_1', password: 'Passw0rd!' })")), '/pay.html')
  await screen(page, 'ready')
  await page.locator('#main').click()
  await world.tap('pay')
  await screen(page, 'paid')
  assert.ok(called.filter((path) => path.startsWith('/v1/functions/')).length >= 2, called.join())
  await seen(page, 'own-page-paid')
  page.wellBehaved({ refusals: true })
})

test('the cashier says so when the login does not do', async (t) => {
  const { page } = await shop(t, own(hooks('await auth.signInAnonymously()')), '/pay.html')
  await screen(page, 'ready')
  await page.locator('#main').click()
  await screen(page, 'token')
  await page.locator('#merchant summary').click()
  assert.match(await texts(page), /匿名登录的令牌不能调用云函数/)
  await seen(page, 'own-page-anonymous')
})
