// The phone: someone who never saw WeChat Pay pays once and can read what happened.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launch, open, sandbox, screen, seen, until } from './support.mjs'

let world, browser
before(async () => { [world, browser] = await Promise.all([sandbox(), launch()]) })
after(async () => { await browser?.close(); await world?.stop() })

const wide = { viewport: { width: 1280, height: 940 } }
const cashier = (page) => page.frames().find((frame) => frame !== page.mainFrame())
const timeline = (page) => page.locator('#entries').innerText()
const stands = (page, what) => until(async () => (await timeline(page)).includes(what), what)

async function phone(t, more) {
  const page = await open(browser, t, { ...wide, ...more })
  await page.goto(world.phone)
  await until(() => cashier(page)?.url().includes('ticket='), 'the cashier')
  await screen(cashier(page), 'ready')
  return page
}

async function pay(page, what = 'pay') {
  await cashier(page).locator('#main').click()
  await page.locator('#sheet').waitFor()
  await page.locator(`[data-tap=${what}]`).click()
}

test('a payment in the phone and every message with what proves it', async (t) => {
  const page = await phone(t)
  await seen(page, 'phone-ready')
  await cashier(page).locator('#main').click()
  await page.locator('#sheet').waitFor()
  await seen(page, 'phone-sheet')
  await page.locator('[data-tap=pay]').click()
  await screen(cashier(page), 'paid')
  await stands(page, 'order.paid')
  const said = await timeline(page)
  for (const line of ['页面 → pay-common', 'pay-common → 微信支付', '页面 → 微信支付', '买家 → 微信支付', '微信支付 → 集成中心', '集成中心 → pay-common', 'pay-common → 商户系统']) {
    assert.ok(said.includes(line), line)
  }
  assert.match(said, /order\.created\s*每个入账的事实[\s\S]*order\.paid\s*已付款的事实入账后/)
  await page.locator('li', { hasText: '/v3/pay/transactions/jsapi' }).locator('summary').click()
  const order = page.locator('details[open]')
  assert.match(await order.innerText(), /先记账再请求/)
  const [asked, answered] = await order.locator('pre').allTextContents()
  assert.match(asked, /^POST\n\/v3\/pay\/transactions\/jsapi\n\d{10}\n\w+\n\{.*\}\n$/)
  assert.match(answered, /^\d{10}\n\w+\n\{"prepay_id":"wx.*"\}\n$/)
  const bridge = page.locator('li', { hasText: 'getBrandWCPayRequest' })
  await bridge.locator('summary').click()
  assert.match(await bridge.locator('pre').textContent(), /^wx\w+\n\d{10}\n\w+\nprepay_id=wx\w+\n$/)
  await seen(page, 'phone-paid')
  page.wellBehaved()
})

test('through the gateway as the guide does', async (t) => {
  const page = await phone(t, { locale: 'en-US' })
  await page.locator('#way').selectOption('gateway')
  await until(() => cashier(page)?.url().includes('n=2'), 'another order')
  await screen(cashier(page), 'ready')
  await pay(page)
  await screen(cashier(page), 'paid')
  await stands(page, 'Page → API gateway')
  await stands(page, 'API gateway → pay-common')
  await seen(page, 'phone-gateway')
  await page.locator('#way').selectOption('session')
  page.wellBehaved()
})

test('a callback that is forged or comes three times or is lost', async (t) => {
  const page = await phone(t)
  await cashier(page).locator('#main').click()
  await page.locator('#sheet').waitFor()
  // The sheet covers the phone only; the rest can be used all the while.
  await page.locator('[data-network=forge]').click()
  await until(async () => /伪造的回调被答以 4\d\d/.test(await page.locator('#network-text').innerText()), 'the refusal')
  await stands(page, '伪造者 → pay-common')
  await seen(page, 'phone-forged')
  await page.locator('[data-network=duplicate]').click()
  await page.locator('[data-tap=pay]').click()
  await screen(cashier(page), 'paid')
  await until(async () => (await timeline(page)).split('集成中心 → pay-common').length > 3, 'three callbacks')
  const { heard } = await world.ask('/business')
  assert.equal(heard.filter((one) => one.kind === 'order.paid').every((one) => one.times === 1), true)
  await page.locator('[data-network=lose]').click()
  await page.locator('#new-order').click()
  await until(() => cashier(page)?.url().includes('n=2'), 'another order')
  await screen(cashier(page), 'ready')
  await pay(page)
  await screen(cashier(page), 'paid')
  await page.locator('[data-network=well]').click()
  page.wellBehaved({ refusals: true })
})

test('the page is closed midway paid and unpaid', async (t) => {
  const page = await phone(t)
  await pay(page, 'lost')
  await until(async () => /SUCCESS/.test(await page.locator('#standing').innerText()), 'the payment')
  await page.locator('#same-order').click()
  await until(() => cashier(page)?.url().includes('n=2'), 'the page again')
  await screen(cashier(page), 'ready')
  await cashier(page).locator('#main').click()
  await screen(cashier(page), 'paid')
  await page.locator('#new-order').click()
  await until(() => cashier(page)?.url().includes('n=3'), 'another order')
  await screen(cashier(page), 'ready')
  await pay(page, 'close')
  await page.locator('#same-order').click()
  await until(() => cashier(page)?.url().includes('n=4'), 'the page again')
  await screen(cashier(page), 'ready')
  await pay(page)
  await screen(cashier(page), 'paid')
  page.wellBehaved({ refusals: true })
})

test('every trouble of the list can be chosen and says what it is', async (t) => {
  const page = await phone(t, { locale: 'en-US' })
  const all = await page.locator('#trouble option').evaluateAll((options) => options.map((option) => option.value))
  assert.equal(all.length, 11)
  await page.locator('#trouble').selectOption('directory')
  await until(() => cashier(page)?.url().includes('n=2'), 'another order')
  await screen(cashier(page), 'ready')
  await cashier(page).locator('#main').click()
  await screen(cashier(page), 'directory')
  assert.match(await page.locator('#trouble-text').innerText(), /Another directory/)
  await seen(page, 'phone-trouble')
  await page.locator('#trouble').selectOption('well')
  page.wellBehaved()
})

test('the phone on a phone in the dark', async (t) => {
  const page = await phone(t, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' })
  await seen(page, 'phone-narrow')
  page.wellBehaved()
})
