// A page of the merchant's that hands the order over by postMessage.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { launch, open, sandbox, screen, seen, until } from './support.mjs'

let world, browser, server, shop
before(async () => {
  server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end(`<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Shop</title></head><body><main><h1>Shop</h1>
<iframe id="cashier" title="Cashier" width="360" height="560"></iframe></main><script>
const cashier = new URLSearchParams(location.search).get('cashier')
const frame = document.getElementById('cashier')
const order = { out_trade_no: 'PAGE_' + Date.now(), description: 'Test product', amount: { total: 20 } }
globalThis.results = []
addEventListener('message', ({ source, origin, data }) => {
  if (source !== frame.contentWindow || origin !== cashier) return
  if (data.type === 'pay-common:ready') source.postMessage({ type: 'pay-common:order', order }, origin)
  if (data.type === 'pay-common:result') results.push(data)
})
frame.src = cashier + '/pay#from=' + encodeURIComponent(location.origin)
</script></body></html>`)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  shop = `http://127.0.0.1:${server.address().port}`
  ;[world, browser] = await Promise.all([sandbox({ oauthReturnOrigins: shop }), launch()])
})
after(async () => { await browser?.close(); await world?.stop(); server?.close() })

test('a page that may be returned to hands the order over and hears of the end', async (t) => {
  const page = await open(browser, t)
  await page.goto(`${shop}/?cashier=${encodeURIComponent(world.phone)}`)
  const cashier = () => page.frames().find((frame) => frame.url().includes('/pay'))
  await until(cashier, 'the cashier')
  await screen(cashier(), 'ready')
  await cashier().locator('#main').click()
  await world.tap('pay')
  await screen(cashier(), 'paid')
  await seen(page, 'framed')
  const results = await until(async () => { const all = await page.evaluate(() => globalThis.results); return all.length > 0 && all }, 'the result')
  assert.deepEqual(results.map(({ state }) => state), ['paid'])
  page.wellBehaved()
})

test('a page that is not listed can neither frame the cashier nor hand an order over', async (t) => {
  const page = await open(browser, t, { hosts: ['localhost'] })
  await page.goto(`${shop.replace('127.0.0.1', 'localhost')}/?cashier=${encodeURIComponent(world.phone)}`)
  await until(() => page.errors.some((error) => /frame-ancestors/.test(error)), 'the refusal')
})
