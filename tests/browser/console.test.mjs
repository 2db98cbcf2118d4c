// The console: a person with an operator key looks an order up, sees to an anomaly and has a webhook told anew.
import assert from 'node:assert/strict'
import { createPrivateKey, createSign, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { launch, open, sandbox, seen, texts, until } from './support.mjs'

const KEY = 'op_sandbox'
const wide = { viewport: { width: 1280, height: 900 } }
const phone = { viewport: { width: 360, height: 740 } }

let world, browser
before(async () => {
  [world, browser] = await Promise.all([sandbox(), launch()])
  await lived()
})
after(async () => { await browser?.close(); await world?.stop() })

/** An action of the merchant's own server. */
async function act(action, body) {
  const answer = await fetch(`${world.service}/wx-pay/${action}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` },
    body: JSON.stringify(body),
  })
  const said = await answer.json()
  assert.equal(said.code, 0, JSON.stringify(said))
  return said.data.data
}

const order = (number, total = 20) => ({
  description: '手冲咖啡', out_trade_no: number, amount: { total, currency: 'CNY' }, payer: { openid: 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o' },
})
const state = async (number) => (await act('wxpay_query_order_by_out_trade_no', { out_trade_no: number })).trade_state

/** What another system of the merchant's orders of WeChat Pay, past this service. */
async function elsewhere(number) {
  const { wechatPayBaseUrl, merchantId, merchantSerialNumber, privateKey, appId } = world.credentials
  const { entries } = await world.ask('/journal')
  const notify = JSON.stringify(entries).match(/notify_url\W+(https?:[^"\\]+)/)[1]
  const path = '/v3/pay/transactions/jsapi'
  const body = JSON.stringify({
    appid: appId, mchid: merchantId, description: 'x', out_trade_no: number, notify_url: notify, amount: { total: 20, currency: 'CNY' },
    payer: { openid: 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o' },
  })
  const [time, nonce] = [Math.floor(Date.now() / 1000), randomBytes(16).toString('hex')]
  const signature = createSign('RSA-SHA256').update(`POST\n${path}\n${time}\n${nonce}\n${body}\n`).sign(createPrivateKey(privateKey), 'base64')
  const pairs = { mchid: merchantId, nonce_str: nonce, signature, timestamp: time, serial_no: merchantSerialNumber }
  const authorization = `WECHATPAY2-SHA256-RSA2048 ${Object.entries(pairs).map(([name, value]) => `${name}="${value}"`).join(',')}`
  const headers = { 'Content-Type': 'application/json', Accept: 'application/json', Authorization: authorization, 'User-Agent': 'another system' }
  const answer = await fetch(wechatPayBaseUrl + path, { method: 'POST', headers, body })
  assert.equal(answer.status, 200, await answer.text())
}

/** A day of a shop: an order with two refunds, one that waits, one whose webhook was given up, and money that nobody can explain. */
async function lived() {
  await act('wxpay_order', order('COFFEE_1', 123456))
  await world.ask('/pay', { out_trade_no: 'COFFEE_1' })
  await until(async () => await state('COFFEE_1') === 'SUCCESS', 'the payment')
  await act('wxpay_refund', { out_trade_no: 'COFFEE_1', out_refund_no: 'BACK_1', amount: { refund: 3456, total: 123456, currency: 'CNY' } })
  await act('wxpay_refund', { out_trade_no: 'COFFEE_1', out_refund_no: 'BACK_2', amount: { refund: 20000, total: 123456, currency: 'CNY' } })
  await act('wxpay_order', order('COFFEE_2', 700))
  await elsewhere('OTHER_SYSTEM_1')
  await elsewhere('OTHER_SYSTEM_2')
  for (const number of ['OTHER_SYSTEM_1', 'OTHER_SYSTEM_2']) await world.ask('/pay', { out_trade_no: number })
  await until(async () => (await world.ask('/business')).heard.filter(({ kind }) => kind === 'anomaly.detected').length === 2, 'the anomalies')
  await world.ask('/business', { status: 410 })
  await act('wxpay_order', order('COFFEE_3', 20))
  await act('wxpay_order', order('COFFEE_4', 20))
}

async function signedIn(t, more = {}) {
  const page = await open(browser, t, { ...wide, ...more })
  await page.goto(`${world.console}`)
  await page.locator('#name').fill('小王')
  await page.locator('#key').fill(KEY)
  await page.keyboard.press('Enter')
  await page.locator('.who').waitFor()
  return page
}

test('a wrong key and a right one and out again', async (t) => {
  const page = await open(browser, t)
  await page.goto(`${world.console}`)
  await seen(page, 'console-door')
  await page.locator('#key').fill('op_wrong')
  await page.locator('main button').click()
  await page.locator('[role=alert]').waitFor()
  assert.match(await texts(page), /密钥不正确/)
  await seen(page, 'console-refused')
  await page.locator('#key').fill(KEY)
  await page.locator('main button').click()
  await page.locator('#today').waitFor()
  const [cookie] = await page.context().cookies(`${world.console}`)
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path], ['pay_console', true, 'Strict', '/console'])
  assert.equal(await page.evaluate(() => document.cookie), '')
  await page.locator('.who button').click()
  await page.locator('#key').waitFor()
  assert.match(await texts(page), /已退出/)
  assert.deepEqual(await page.context().cookies(`${world.console}`), [])
  page.wellBehaved({ refusals: true })
})

test('today and what has to be looked at', async (t) => {
  const page = await signedIn(t)
  const said = await texts(page)
  for (const part of ['今日', '¥1,234.56', '¥234.56', '待处理异常', '已放弃的通知']) assert.ok(said.includes(part), `${part} in ${said}`)
  await seen(page, 'console-overview')
  page.wellBehaved()
})

test('an order is found by a number of its refund and shows all that happened', async (t) => {
  const page = await signedIn(t)
  await page.locator('#q').fill('BACK_1')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/console/order?no=COFFEE_1')
  assert.match(await page.locator('h1').innerText(), /COFFEE_1/)
  assert.equal(await page.locator('#remaining').innerText(), '¥1,000.00')
  const entries = await page.locator('.timeline li').allInnerTexts()
  const times = entries.map((entry) => entry.match(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}/)[0])
  assert.deepEqual(times.slice(0, -1), times.slice(0, -1).toSorted())
  const story = entries.join('\n')
  assert.match(story, /CREATED[\s\S]*NOTPAY[\s\S]*SUCCESS[\s\S]*BACK_1/)
  assert.match(story, /ciphertext APIv3 密文/)
  assert.ok(!(await page.content()).includes('oUpF8uMuAJO_M2pxb1Q9zNjWeS6o'))
  assert.match(await texts(page), /oUpF…eS6o/)
  await seen(page, 'console-order')
  await page.locator('.language').click()
  await page.waitForURL('**lang=en')
  assert.match(await texts(page), /Can still be refunded/)
  await seen(page, 'console-order-en')
  await page.locator('#q').fill('NEVER_HEARD_OF')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/console/search**')
  assert.match(await texts(page), /This is not in the books/)
  await seen(page, 'console-nothing')
  page.wellBehaved()
})

test('an anomaly is resolved with a note', async (t) => {
  const page = await signedIn(t)
  await page.locator('nav a', { hasText: '异常' }).click()
  const row = page.locator('tbody tr', { hasText: 'OTHER_SYSTEM_1' })
  assert.match(await row.innerText(), /unknown_order[\s\S]*请到商户平台核对/)
  await seen(page, 'console-anomalies')
  await row.locator('summary').click()
  // Without a note the browser itself does not send it.
  await row.locator('button').click()
  assert.equal(await row.locator('textarea').evaluate((field) => field.validity.valueMissing), true)
  await row.locator('textarea').fill('由小程序商城下单，已在该系统发货 <b>')
  await row.locator('button').click()
  await page.locator('.said').waitFor()
  assert.match(await texts(page), /已标记为已处理/)
  assert.equal(await page.locator('tbody tr', { hasText: 'OTHER_SYSTEM_1' }).count(), 0)
  await page.locator('.choices a', { hasText: '已处理' }).click()
  const resolved = page.locator('tbody tr', { hasText: 'OTHER_SYSTEM_1' })
  assert.match(await resolved.innerText(), /小王 \(operator key [0-9a-f]{8}\)[\s\S]*已在该系统发货 <b>/)
  await seen(page, 'console-resolved')
  page.wellBehaved()
})

test('a webhook that was given up is told anew once', async (t) => {
  const page = await signedIn(t)
  await page.goto(`${world.console}/webhooks`)
  const row = page.locator('tbody tr', { hasText: 'COFFEE_3' })
  assert.match(await row.innerText(), /order\.created[\s\S]*DEAD 已放弃[\s\S]*the receiver is gone/)
  await seen(page, 'console-webhooks')
  const other = await page.context().newPage()
  await other.goto(`${world.console}/webhooks`)
  await world.ask('/business', { status: 204 })
  t.after(() => world.ask('/business', { status: 204 }))
  const told = async () => (await world.ask('/business')).heard.filter(({ subject }) => subject === 'COFFEE_3')
  await row.locator('button').click()
  await page.locator('.said').waitFor()
  await until(async () => (await told()).length === 1, 'the webhook')
  // A page that was opened before has nothing told twice.
  await other.locator('tbody tr', { hasText: 'COFFEE_3' }).locator('button').click()
  await other.locator('[role=alert]').waitFor()
  assert.deepEqual((await told()).map(({ kind, times }) => [kind, times]), [['order.created', 1]])
  await page.goto(`${world.console}/order?no=COFFEE_3`)
  assert.match(await page.locator('.timeline').innerText(), /DELIVERED 已送达/)
  page.wellBehaved()
})

test('with the keyboard alone', async (t) => {
  const page = await open(browser, t, wide)
  await page.goto(`${world.console}?lang=en`)
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim())
  const tabTo = async (what) => {
    for (let n = 0; n < 40; n += 1) {
      await page.keyboard.press('Tab')
      if ((await focused()).startsWith(what)) return
    }
    throw new Error(`never focused: ${what}`)
  }
  await page.keyboard.press('Tab')
  assert.equal(await focused(), 'Skip to the content')
  await page.keyboard.press('Enter')
  await tabTo('name')
  await page.keyboard.type('Anna')
  await tabTo('key')
  await page.keyboard.type(KEY)
  await page.keyboard.press('Enter')
  await page.locator('#today').waitFor()
  await tabTo('Anomalies')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/console/anomalies')
  await tabTo('Resolve unknown_order')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  await page.keyboard.type('refunded by hand')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.locator('.said').waitFor()
  assert.match(await texts(page), /It is marked as resolved/)
  await tabTo('q')
  await page.keyboard.type('COFFEE_2')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/console/order?no=COFFEE_2')
  page.wellBehaved()
})

test('on a phone in the light and in the dark', async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await signedIn(t, { ...phone, colorScheme })
    for (const path of ['', '/orders', '/order?no=COFFEE_1', '/anomalies?which=all', '/webhooks?those=DELIVERED', '/search', '/search?q=OTHER_SYSTEM_2']) {
      await page.goto(`${world.console}${path}`)
      const name = path.replace(/\W+/g, '-')
      await seen(page, `console-phone-${colorScheme}${name}`)
    }
    page.wellBehaved()
  }
})

test('by a link on another site without signing in again', async (t) => {
  const server = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end(`<!DOCTYPE html><html lang="en"><title>Chat</title><a href="${world.console}/order?no=COFFEE_1">look</a></html>`)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const page = await signedIn(t, { hosts: ['localhost'] })
  await page.goto(`http://localhost:${server.address().port}/`)
  await page.locator('a').click()
  await page.locator('#remaining').waitFor()
  assert.match(await page.locator('h1').innerText(), /COFFEE_1/)
  page.wellBehaved()
})

test('no other site can show it in a frame', async (t) => {
  const server = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end(`<!DOCTYPE html><html lang="en"><title>Frame</title><iframe title="x" src="${world.console}"></iframe></html>`)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const page = await open(browser, t, { hosts: ['localhost'] })
  await page.goto(`http://localhost:${server.address().port}/`)
  await until(() => page.errors.some((error) => /frame-ancestors|X-Frame-Options/.test(error)), 'the refusal')
})
