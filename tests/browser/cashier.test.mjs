// The cashier, inside the simulated WeChat and outside it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launch, open, sandbox, screen, seen, texts, until } from './support.mjs'

let world, browser
before(async () => { [world, browser] = await Promise.all([sandbox(), launch()]) })
after(async () => { await browser?.close(); await world?.stop() })

const main = (page) => page.locator('#main')
const orders = async (number) => {
  const { entries } = await world.ask('/journal')
  return entries.filter((entry) => entry.what.includes('/v3/pay/transactions/jsapi')).length
}

/** Opens a new order; the browser goes to WeChat and comes back by itself. */
async function opened(t, { order = {}, hash = '', ...more } = {}) {
  const page = await open(browser, t, more)
  const placed = await world.order(order)
  await page.goto(world.phone + placed.link + hash)
  return { page, ...placed }
}

test('the whole loop by tapping', async (t) => {
  const { page, out_trade_no: number } = await opened(t)
  await screen(page, 'ready')
  const said = await texts(page)
  for (const part of ['沙箱小店', '手冲咖啡', '¥0.20', number]) assert.ok(said.includes(part), `${part} in ${said}`)
  await seen(page, 'ready')
  await main(page).click()
  await screen(page, 'sheet')
  await seen(page, 'sheet')
  await world.tap('pay')
  await screen(page, 'paid')
  await seen(page, 'paid')
  const { entries } = await world.ask('/journal')
  assert.ok(entries.some((entry) => entry.to === 'business'), 'the merchant was told')
  await main(page).click()
  await page.waitForURL(`**/phone/shop?out_trade_no=${number}`)
  page.wellBehaved()
})

test('the first view is under 30 KB over the wire and asks no other host', async (t) => {
  const { page, link } = await opened(t)
  await screen(page, 'ready')
  // At the service itself: the phone unpacks what it passes on.
  const other = await open(browser, t)
  const session = await other.context().newCDPSession(other)
  let bytes = 0
  await session.send('Network.enable')
  session.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength })
  await other.goto(world.service + link)
  await screen(other, 'outside')
  await other.waitForLoadState('networkidle')
  assert.ok(bytes > 5000 && bytes < 30 * 1024, `${bytes} bytes`)
  t.diagnostic(`${bytes} bytes`)
  other.wellBehaved()
  page.wellBehaved()
})

test('two taps are one order', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  const before = await orders()
  await main(page).evaluate((button) => { for (let tap = 0; tap < 5; tap += 1) button.click() })
  await main(page).dblclick({ force: true })
  await screen(page, 'sheet')
  await main(page).click({ force: true })
  assert.equal(await orders(), before + 1)
  await world.tap('pay')
  await screen(page, 'paid')
  assert.equal(await orders(), before + 1)
  page.wellBehaved()
})

test('cancelled and refused by the bank and then paid', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  await main(page).click()
  await world.tap('cancel')
  await screen(page, 'ready')
  assert.match(await texts(page), /你取消了支付/)
  await seen(page, 'cancelled')
  await main(page).click()
  await world.tap('fail')
  await screen(page, 'failed')
  assert.match(await page.locator('#merchant code').textContent(), /余额不足/)
  await seen(page, 'failed')
  await main(page).click()
  await screen(page, 'ready')
  await main(page).click()
  await world.tap('pay')
  await screen(page, 'paid')
  page.wellBehaved()
})

test('the network is gone after the payment', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  await page.route('**/wxpay_query_order_by_out_trade_no', (route) => route.abort())
  await main(page).click()
  await world.tap('pay')
  await screen(page, 'confirming')
  await until(async () => /网络不通/.test(await texts(page)), 'the word about the network')
  await seen(page, 'offline')
  await page.unroute('**/wxpay_query_order_by_out_trade_no')
  await screen(page, 'paid')
  page.wellBehaved({ refusals: true })
})

test('a lost callback and a page that is loaded anew before the end', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  await world.network('lose')
  t.after(() => world.network('well'))
  await page.route('**/wxpay_query_order_by_out_trade_no', (route) => route.abort())
  await main(page).click()
  await world.tap('pay')
  await screen(page, 'confirming')
  await page.unroute('**/wxpay_query_order_by_out_trade_no')
  await page.reload()
  await screen(page, 'paid')
  page.wellBehaved({ refusals: true })
})

test('success is the word of the server only', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  await page.clock.install()
  const body = JSON.stringify({ code: 0, msg: 'success', data: { status: 200, data: { trade_state: 'NOTPAY' } } })
  await page.route('**/wxpay_query_order_by_out_trade_no', (route) => route.fulfill({ contentType: 'application/json', body }))
  // The bridge says ok, though nobody paid.
  await page.route('**/phone/bridge', (route) => route.fulfill({ json: { err_msg: 'get_brand_wcpay_request:ok' } }))
  await main(page).click()
  await page.clock.runFor(500)
  await screen(page, 'confirming')
  await seen(page, 'confirming')
  for (let second = 0; second < 70; second += 1) await page.clock.runFor(1000)
  await screen(page, 'pending')
  assert.match(await texts(page), /请勿重复支付/)
  await page.clock.resume()
  await seen(page, 'pending')
  page.wellBehaved()
})

test('paid and gone before the page heard of it', async (t) => {
  const { page, link } = await opened(t)
  await screen(page, 'ready')
  await main(page).click()
  await screen(page, 'sheet')
  await world.tap('lost')
  await page.goto('about:blank')
  await page.goto(world.phone + link)
  await screen(page, 'ready')
  await main(page).click()
  await screen(page, 'paid')
  page.wellBehaved({ refusals: true })
})

test('a session that is over is renewed', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  await world.trouble('session-over')
  await main(page).click()
  await until(async () => /请再次点击支付/.test(await texts(page)), 'the way back from WeChat')
  await seen(page, 'welcome')
  await main(page).click()
  await world.tap('pay')
  await screen(page, 'paid')
  page.wellBehaved({ refusals: true })
})

test('outside WeChat it says what to do instead', async (t) => {
  const { link } = await world.order()
  for (const locale of ['zh-CN', 'en-GB']) {
    const page = await open(browser, t, { locale })
    await page.goto(world.service + link)
    await screen(page, 'outside')
    assert.match(await texts(page), locale === 'zh-CN' ? /请在微信中打开/ : /Open this in WeChat/)
    await seen(page, `outside-${locale.slice(0, 2)}`)
    await main(page).click()
    await until(async () => /链接已复制|Copied/.test(await texts(page)), 'the copy')
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), world.service + link)
    page.wellBehaved()
  }
})

test('both languages and the choice between them', async (t) => {
  const { page } = await opened(t, { locale: 'en-US' })
  await screen(page, 'ready')
  assert.equal(await page.locator('html').getAttribute('lang'), 'en')
  assert.match(await texts(page), /Pay ¥0\.20 with WeChat/)
  await seen(page, 'ready-en')
  await page.locator('#language').click()
  assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN')
  assert.match(await texts(page), /微信支付 ¥0\.20/)
  await page.locator('#language').click()
  await main(page).click()
  await screen(page, 'sheet')
  await world.tap('pay')
  await screen(page, 'paid')
  await seen(page, 'paid-en')
  page.wellBehaved()
})

test('on 320 px in the dark with long names', async (t) => {
  const order = { total: 123456789, description: `很长的商品名称${'一二三四五六七八九十'.repeat(9)}`, out_trade_no: 'LONG_NUMBER_0123456789_ABCDEFGH' }
  for (const colorScheme of ['light', 'dark']) {
    const { page } = await opened(t, { order, viewport: { width: 320, height: 568 }, colorScheme })
    await screen(page, 'ready')
    assert.match(await texts(page), /¥1,234,567\.89/)
    await seen(page, `narrow-${colorScheme}`)
    page.wellBehaved()
  }
})

test('with the keyboard alone and heard by a screen reader', async (t) => {
  const { page } = await opened(t)
  await screen(page, 'ready')
  await page.locator('#title').focus()
  await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
  await page.keyboard.press('Enter')
  await screen(page, 'sheet')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
  assert.equal(await main(page).getAttribute('aria-disabled'), 'true')
  await world.tap('pay')
  await screen(page, 'paid')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'title')
  assert.equal(await page.locator('#status').getAttribute('role'), 'status')
  page.wellBehaved()
})

test('links without a usable order', async (t) => {
  for (const [hash, name] of [['', 'noOrder'], ['#ticket=abc', 'badOrder'], ['#ticket=e30.e30.e30', 'badOrder']]) {
    const page = await open(browser, t)
    await page.goto(`${world.phone}/pay${hash}`)
    await screen(page, name)
    await seen(page, name)
    page.wellBehaved()
  }
})

test('a ticket that is over and one of another shop', async (t) => {
  const { page } = await opened(t, { order: { seconds: -5 } })
  await screen(page, 'ready')
  await main(page).click()
  await screen(page, 'expired')
  await seen(page, 'expired')
  page.wellBehaved({ refusals: true })
  const { ticket } = await world.order()
  const forged = `${ticket.slice(0, -4)}AAAA`
  const other = await open(browser, t)
  await other.goto(`${world.phone}/pay#ticket=${forged}`)
  await screen(other, 'ready')
  await main(other).click()
  await screen(other, 'params')
  assert.match(await other.locator('#merchant code').textContent(), /ORDER_TICKET_INVALID/)
  other.wellBehaved({ refusals: true })
})

test('nobody is sent to a page that is not listed', async (t) => {
  const page = await open(browser, t)
  const { link } = await world.order()
  await page.goto(world.phone + link.replace(/return_to=[^&]*/, 'return_to=https%3A%2F%2Fevil.example.com%2F'))
  await screen(page, 'ready')
  assert.equal(await page.locator('#second').isVisible(), false)
  page.wellBehaved()
})
