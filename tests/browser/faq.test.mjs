// Everything that the guide's and WeChat's questions and answers list can be made to happen, and ends in a message for the right person.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launch, open, sandbox, screen, seen, texts } from './support.mjs'

let world, browser
before(async () => { [world, browser] = await Promise.all([sandbox(), launch()]) })
after(async () => { await browser?.close(); await world?.stop() })

/** Trouble, a new order in a new browser, and what the merchant reads in the end. */
async function told(t, what, name, locale) {
  await world.trouble('well')
  await world.trouble(what)
  const page = await open(browser, t, { locale })
  await page.goto(world.phone + (await world.order()).link)
  await screen(page, 'ready')
  await page.locator('#main').click()
  await screen(page, name)
  await page.locator('#merchant summary').click()
  await seen(page, `faq-${what}-${locale.slice(0, 2)}`)
  page.wellBehaved({ refusals: true })
  return texts(page)
}

/** In both languages. */
async function toldInBoth(t, what, name, zh, en) {
  assert.match(await told(t, what, name, 'zh-CN'), zh)
  assert.match(await told(t, what, name, 'en-US'), en)
}

test('Q1: the openid is one of another app', (t) => toldInBoth(
  t, 'openid-of-other-app', 'openid',
  /联系商户[\s\S]*appid 与 openid 不匹配[\s\S]*PARAM_ERROR/, /tell them[\s\S]*appid and openid mismatch[\s\S]*Official Account/,
))

test('Q1: the page hard-codes another appId', (t) => toldInBoth(
  t, 'hard-coded-app', 'openid', /联系商户[\s\S]*appid 与 openid 不匹配/, /tell them[\s\S]*appid and openid mismatch/,
))

test('Q2: the AppID is not bound to the merchant', (t) => toldInBoth(
  t, 'app-not-bound', 'bound', /联系商户[\s\S]*关联 AppID[\s\S]*APPID_MCHID_NOT_MATCH/, /tell them[\s\S]*not bound[\s\S]*APPID_MCHID_NOT_MATCH/,
))

test('Q3: the page is outside the authorization directory', (t) => toldInBoth(
  t, 'directory', 'directory', /联系商户[\s\S]*支付授权目录，添加 http[^ ]*\/（以/, /tell them[\s\S]*authorization directory[\s\S]*add http[^ ]*\/ \(it/,
))

test('Q5 and Q6: outside WeChat and in a browser that says it is WeChat', async (t) => {
  await world.trouble('well')
  const first = await open(browser, t)
  await first.goto(world.phone + (await world.order()).link)
  await screen(first, 'ready')
  await world.trouble('outside-wechat')
  const page = await open(browser, t)
  await page.goto(world.phone + (await world.order()).link)
  await screen(page, 'outside')
  assert.match(await texts(page), /请在微信中打开/)
  await world.trouble('disguised')
  const other = await open(browser, t)
  await other.goto(world.phone + (await world.order()).link)
  await screen(other, 'ready')
  await other.clock.install()
  await other.locator('#main').click()
  await other.waitForTimeout(1000)
  await other.clock.runFor(9000)
  await screen(other, 'bridge')
  await other.clock.resume()
  await other.locator('#merchant summary').click()
  assert.match(await texts(other), /WeixinJSBridge 没有出现[\s\S]*MicroMessenger/)
  await seen(other, 'faq-disguised')
  other.wellBehaved()
})

test('Q4 and codes: web authorization that does not come about is told on a page of its own', async (t) => {
  for (const [what, zh, en] of [
    ['no-code', /redirect_uri域名与后台配置不一致[\s\S]*10003/, /redirect_uri/],
    ['code-used', /授权码已使用或已过期/, /used already or has expired/],
    ['visitor', /使用完整服务/, /Use full service/],
  ]) {
    for (const [locale, expected] of [['zh-CN', zh], ['en-US', en]]) {
      await world.trouble('well')
      await world.trouble(what)
      const page = await open(browser, t, { locale })
      await page.goto(world.phone + (await world.order()).link)
      await page.waitForURL(/connect|callback/)
      await page.waitForLoadState()
      assert.match(await page.locator('body').innerText(), expected)
      // WeChat's own page is not ours to mend.
      if (what !== 'no-code') await seen(page, `faq-${what}-${locale.slice(0, 2)}`)
    }
  }
})

test('a session that no browser keeps is not asked for without end', async (t) => {
  await world.trouble('well')
  const page = await open(browser, t)
  await page.route('**/pay/context', (route) => route.fulfill({ json: { code: 0, data: { payee: null, authorization: 'needed', return_origins: [] } } }))
  await page.goto(world.phone + (await world.order()).link)
  await screen(page, 'session')
  await page.locator('#merchant summary').click()
  assert.match(await texts(page), /Cookie/)
  await seen(page, 'faq-no-cookies')
  page.wellBehaved({ refusals: true })
})
