// The cashier. It reads an order, places it, hands WeChat's parameters to the bridge as they came, and believes only the server about
// the end. A merchant's own page may say more in `payCashier`, before this file: docs/cashier.md.
import { onLanguage, show, yuan } from './view.js'
import { texts } from './texts.js'

const hook = globalThis.payCashier ?? {}
const inWechat = () => typeof WeixinJSBridge !== 'undefined' || /MicroMessenger/i.test(navigator.userAgent)

/** Waits between two questions about the end, in milliseconds: a minute altogether. */
const WAITS = [500, 1000, 2000, 3000, 5000, 8000, 13000, 20000]
const BRIDGE_COMES_MS = 8000
const ANSWER_COMES_MS = 30000
const ORDER_COMES_MS = 10000

// What survives the way to WeChat and back. A browser that keeps nothing only loses comfort.
const kept = {
  get(key) { try { return sessionStorage.getItem(`pay:${key}`) } catch { return null } },
  set(key, value) { try { sessionStorage.setItem(`pay:${key}`, value); return true } catch { return false } },
  drop(key) { try { sessionStorage.removeItem(`pay:${key}`) } catch { /* see above */ } },
}

let language = kept.get('language') ?? hook.language ?? (/^zh/i.test(navigator.language) ? 'zh' : 'en')
let draw = () => {}
const t = () => texts(language)
const go = (screen) => { draw = () => show(screen(), t()); draw() }
onLanguage(() => {
  language = language === 'en' ? 'zh' : 'en'
  kept.set('language', language)
  draw()
})

let context = { payee: null, authorization: 'off', return_origins: [] }
let order, returnTo, opener
let busy = false
let welcomed = false

const facts = () => ({ payee: context.payee ?? location.host, what: order.description, number: order.out_trade_no })
const about = (more) => ({ amount: yuan(order.total), facts: facts(), ...more })
const back = () => (returnTo ? { text: t().back, act: leave } : { text: t().close, act: closeWindow })

function leave() {
  const url = new URL(returnTo)
  if (order) url.searchParams.set('out_trade_no', order.out_trade_no)
  location.assign(url)
}

function closeWindow() {
  if (typeof WeixinJSBridge !== 'undefined') WeixinJSBridge.invoke('closeWindow', {}, () => {})
  else window.close()
}

// The server.

class Refused extends Error {
  constructor(status, answer) {
    super(answer.error ?? answer.code ?? status)
    Object.assign(this, { status, error: answer.error, msg: answer.msg ?? answer.message, data: answer.data })
  }
}

async function ask(url, options) {
  const patience = new AbortController()
  const over = setTimeout(() => patience.abort(), ANSWER_COMES_MS)
  try {
    const response = await fetch(url, { ...options, signal: patience.signal })
    const answer = await response.json()
    if (!response.ok || answer.code !== 0) throw new Refused(response.status, answer)
    return answer.data && answer.data.data ? answer.data.data : answer.data
  } catch (error) {
    if (error instanceof Refused) throw error
    throw new Refused(0, { error: 'NETWORK' })
  } finally {
    clearTimeout(over)
  }
}

/** An action, by this server with the session, or by the gateway with a login. */
async function call(action, form) {
  const headers = { 'Content-Type': 'application/json', 'Accept-Language': t().tag }
  if (hook.getAccessToken) {
    let token
    try { token = await hook.getAccessToken() } catch (error) { throw new Refused(401, { msg: String(error?.message ?? error) }) }
    headers.Authorization = `Bearer ${token}`
  }
  const body = hook.gateway ? { _action: action, ...form } : form
  return ask(hook.gateway ?? `wx-pay/${action}`, { method: 'POST', headers, body: JSON.stringify(body) })
}

// The order.

function orderOf(said) {
  const ticket = said.order_ticket
  let claims = said
  if (ticket) {
    const bytes = Uint8Array.from(atob(ticket.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
    claims = JSON.parse(new TextDecoder().decode(bytes))
  }
  const total = claims.amount?.total ?? claims.amount
  const { out_trade_no, description } = claims
  if (!Number.isSafeInteger(total) || typeof out_trade_no !== 'string' || typeof description !== 'string') throw new Error('no order')
  const form = ticket ? { order_ticket: ticket } : { ...said, amount: { total, currency: 'CNY' } }
  if (hook.openid) form.payer = { openid: hook.openid }
  if (hook.appid) form.appid = hook.appid
  return { out_trade_no, description, total, form }
}

/** The order of the merchant's page that opened or frames this one: only pages that may be returned to are listened to. */
function orderOfPage(origin) {
  opener = { origin, page: window.opener ?? (parent === window ? null : parent) }
  if (!opener.page || !context.return_origins.includes(origin)) return null
  return new Promise((resolve) => {
    addEventListener('message', ({ source, origin: from, data }) => {
      if (source === opener.page && from === origin && data?.type === 'pay-common:order') resolve(data.order)
    })
    setTimeout(resolve, ORDER_COMES_MS, null)
    tell('pay-common:ready')
  })
}

function tell(type, more) {
  if (opener?.page) opener.page.postMessage({ type, ...more }, opener.origin)
}

const isAllowed = (url) => {
  try {
    const { origin, protocol } = new URL(url)
    return /^https?:$/.test(protocol) && (origin === location.origin || context.return_origins.includes(origin))
  } catch { return false }
}

// Screens that end here, or need somebody.

function trouble(key, { code, act, retry } = {}) {
  busy = false
  const here = location.origin + location.pathname.replace(/[^/]*$/, '')
  go(() => {
    const [title, status, merchant] = t().problems[key]
    const main = act ? act() : retry ? { text: t().retry, act: retry } : returnTo ? back() : null
    return {
      name: key, sign: 'stop', title, status, tone: 'warn', main, second: main && returnTo && (act || retry) ? back() : null,
      ...(order ? about() : {}),
      merchant: merchant && { text: typeof merchant === 'function' ? merchant(here) : merchant, code },
    }
  })
  tell('pay-common:result', { out_trade_no: order?.out_trade_no, state: 'failed', reason: key })
}

/** Which problem a refusal is. */
function problemOf(refused) {
  const { error, status, data, msg } = refused
  const inner = data?.data?.code ?? ''
  if (error === 'NETWORK') return 'network'
  if (status === 401) return hook.getAccessToken ? 'token' : context.authorization === 'off' ? 'nobody' : 'session'
  if (error === 'ORDER_TICKET_EXPIRED') return 'expired'
  if (error === 'ORDER_CLOSED' || inner === 'ORDER_CLOSED') return 'closed'
  if (error === 'FORBIDDEN') return 'foreign'
  if (status === 429 || status >= 500 || data?.retryable) return 'busy'
  if (/OPENID_MISMATCH/.test(inner) || (/openid/i.test(msg) && /appid/i.test(msg))) return 'openid'
  if (inner === 'APPID_MCHID_NOT_MATCH') return 'bound'
  return status >= 400 ? 'params' : 'other'
}

/** `tapped`: the buyer just tapped, and will see that she has to tap once more. */
function refusedBy(refused, retry, tapped) {
  const key = problemOf(refused)
  if (key === 'session') {
    if (tapped) kept.set('again', 'yes')
    if (authorize(tapped && !welcomed)) return
  }
  const code = [refused.error, refused.data?.data?.code, refused.msg].filter(Boolean).join(' · ')
  if (key === 'session') return trouble(key, { code, act: () => ({ text: t().login, act: () => authorize(true) }) })
  trouble(key, { code, retry: /^(network|busy|other|token)$/.test(key) ? retry : null })
}

/** To WeChat and back as somebody; `false` when that was tried just now and did not help. */
function authorize(anyway) {
  const last = Number(kept.get('left') ?? 0)
  if (!anyway && Date.now() - last < 20000) return false
  kept.set('left', Date.now())
  // Better here than in an address that goes to a server.
  const hash = kept.set('order', location.hash) ? '' : location.hash
  go(() => ({ name: 'leaving', sign: 'wait', title: t().title, status: t().leaving, ...(order ? about() : {}) }))
  location.replace(`oauth/authorize?return_to=${encodeURIComponent(location.origin + location.pathname + hash)}`)
  return true
}

// Paying.

function ready(note) {
  busy = false
  go(() => about({
    name: 'ready', title: t().title, status: note?.(), main: { text: t().pay(yuan(order.total)), act: pay },
    second: returnTo ? back() : null,
  }))
}

function pay() {
  // The second tap of two finds the first one under way.
  if (busy) return
  busy = true
  const still = () => about({ name: 'placing', title: t().title, busy: true, main: { text: t().placing, act: pay } })
  go(still)
  place().catch((error) => (error instanceof Refused ? refusedBy(error, () => ready(), true) : trouble('other', { code: String(error) })))
}

async function place() {
  let params
  try {
    params = await call('wxpay_order', order.form)
  } catch (error) {
    if (/^ORDER_(PAID|REFUNDED)$/.test(error.error)) return confirm()
    throw error
  }
  const bridge = await theBridge()
  if (!bridge) return trouble('bridge', { code: navigator.userAgent, retry: () => ready() })
  let answered = false
  const check = () => { answered = true; confirm(true) }
  go(() => about({
    name: 'sheet', title: t().title, busy: true, main: { text: t().sheet, act: pay }, second: { text: t().check, act: check },
  }))
  const { appId, timeStamp, nonceStr, package: bundle, signType, paySign } = params
  bridge.invoke('getBrandWCPayRequest', { appId, timeStamp, nonceStr, package: bundle, signType, paySign }, (said) => {
    if (answered) return
    answered = true
    const end = String(said?.err_msg ?? '')
    if (end === 'get_brand_wcpay_request:ok') confirm()
    else if (end === 'get_brand_wcpay_request:cancel') ready(() => t().cancelled)
    else failed(`${end} ${said?.err_desc ?? said?.errMsg ?? ''}`.trim())
  })
}

function failed(reason) {
  const key = /未注册|授权目录|authorization directory/i.test(reason) ? 'directory'
    : /appid/i.test(reason) && /不匹配|mismatch|openid/i.test(reason) ? 'openid'
      : /签名|sign/i.test(reason) ? 'sign'
        : /access_denied|not_exist|access_control/i.test(reason) ? 'bridge' : 'failed'
  trouble(key, { code: reason, retry: () => ready() })
}

function theBridge() {
  if (typeof WeixinJSBridge !== 'undefined') return WeixinJSBridge
  return new Promise((resolve) => {
    document.addEventListener('WeixinJSBridgeReady', () => resolve(globalThis.WeixinJSBridge), { once: true })
    setTimeout(resolve, BRIDGE_COMES_MS, null)
  })
}

// The end, on the server's word. `maybe`: nobody said that it was paid, so one "not paid" is enough.

async function confirm(maybe) {
  busy = true
  kept.set(`end ${order.out_trade_no}`, maybe ? 'maybe' : 'ok')
  let offline = false
  const screen = () => {
    const [title, status] = t().confirming
    return about({ name: 'confirming', sign: 'wait', title, status: offline ? t().offline : status, tone: offline ? 'warn' : '' })
  }
  go(screen)
  for (const wait of WAITS) {
    await pause(wait)
    try {
      const { trade_state: state } = await call('wxpay_query_order_by_out_trade_no', { out_trade_no: order.out_trade_no })
      offline = false
      if (state === 'SUCCESS' || state === 'REFUND') return paid(state === 'SUCCESS' ? 'paid' : 'refunded')
      if (/^(CLOSED|REVOKED|PAYERROR)$/.test(state)) { forget(); return trouble('closed', { code: state }) }
      if (maybe && state === 'NOTPAY') { forget(); return ready(() => t().notYet) }
    } catch (error) {
      if (error.status === 401) return refusedBy(error, () => confirm(maybe))
      if (error.error === 'FORBIDDEN') { forget(); return refusedBy(error) }
      offline = error.error === 'NETWORK'
    }
    draw()
  }
  busy = false
  const again = () => confirm(maybe)
  go(() => {
    const [title, status] = t().pending
    return about({ name: 'pending', sign: 'stop', title, status, main: { text: t().again, act: again }, second: back() })
  })
}

const forget = () => kept.drop(`end ${order.out_trade_no}`)

/** A while; less when somebody comes back to the page, or the network does. */
function pause(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    const seen = () => document.visibilityState === 'visible' && done()
    function done() {
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', seen)
      removeEventListener('online', done)
      resolve()
    }
    document.addEventListener('visibilitychange', seen)
    addEventListener('online', done)
  })
}

function paid(key) {
  busy = false
  forget()
  go(() => {
    const [title, status] = t()[key]
    // Who shows this page in a frame or a window of its own goes on by itself.
    return about({ name: key, sign: 'done', title, status, main: opener?.page && !returnTo ? null : back() })
  })
  tell('pay-common:result', { out_trade_no: order.out_trade_no, state: 'paid' })
}

// The beginning.

async function begin() {
  go(() => ({ name: 'loading', sign: 'wait', title: t().title, status: t().loading }))
  // A ticket belongs into the fragment, which no server's log and no Referer sees.
  const query = new URLSearchParams(location.search)
  // The way back from WeChat leaves a fragment of its own: #wechat_redirect.
  const named = location.hash.includes('=') ? location.hash : ''
  const hash = named || (query.has('ticket') ? `#${query}` : kept.get('order') ?? '')
  kept.drop('order')
  if (hash !== location.hash || query.has('ticket')) history.replaceState(null, '', location.pathname + hash)
  const said = new URLSearchParams(hash.slice(1))
  if (said.get('lang')) language = said.get('lang') === 'en' ? 'en' : 'zh'
  if (!hook.gateway) {
    try {
      context = await ask('pay/context', {})
    } catch (error) {
      return trouble(error.error === 'NETWORK' ? 'network' : 'busy', { code: error.message, retry: begin })
    }
  }
  if (hook.payee) context.payee = hook.payee
  returnTo = hook.returnTo ?? (isAllowed(said.get('return_to')) ? said.get('return_to') : undefined)
  const given = said.get('ticket') ? { order_ticket: said.get('ticket') }
    : hook.order ?? (said.get('from') ? await orderOfPage(said.get('from')) : null)
  if (!given) return trouble('noOrder')
  try {
    order = orderOf(given)
  } catch (error) {
    return trouble('badOrder', { code: String(error) })
  }
  if (!inWechat()) return outside()
  if (!hook.getAccessToken && context.authorization === 'needed') {
    if (!authorize()) refusedBy(new Refused(401, {}))
    return
  }
  const end = kept.get(`end ${order.out_trade_no}`)
  if (end) return confirm(end === 'maybe')
  welcomed = kept.get('again') !== null
  kept.drop('again')
  ready(welcomed ? () => t().welcome : undefined)
}

function outside() {
  let note
  const copy = async () => {
    try { await navigator.clipboard.writeText(location.href); note = () => t().copied } catch { note = () => location.href }
    draw()
  }
  go(() => {
    const [title, status, merchant] = t().outside
    return about({
      name: 'outside', sign: 'stop', title, status: note ? note() : status, main: { text: t().copy, act: copy },
      second: returnTo ? back() : null, merchant: { text: merchant },
    })
  })
}

addEventListener('hashchange', () => { if (!busy) location.reload() })
begin()
