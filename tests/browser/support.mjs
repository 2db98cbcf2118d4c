// A simulator of its own, a browser, and what every test looks at on every screen.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Starts the simulator; `settings` are the service's. */
export async function sandbox(settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'pay-common-browser-'))
  const file = join(folder, 'credentials.json')
  const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  const child = spawn(process.env.SANDBOX, ['sandbox', '--credentials', file, ...set], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (data) => { said += data })
  child.stderr.on('data', (data) => { said += data })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  const deadline = Date.now() + 60000
  while (!said.includes('Ctrl-C')) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`the simulator did not start:\n${said}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const credentials = JSON.parse(readFileSync(file, 'utf8'))
  const { phoneUrl, controlUrl } = credentials
  const named = (name) => said.match(new RegExp(`^${name} +(http://\\S+)`, 'm'))[1]
  const ask = async (url, body) => {
    const answer = await fetch(url, body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
    return answer.json()
  }
  return {
    credentials,
    phone: phoneUrl,
    control: controlUrl,
    service: named('pay-common'),
    console: named('console'),
    gateway: named('API gateway'),
    /** A link of the merchant's shop; `more` is what the order says. */
    order: (more = {}) => ask(`${phoneUrl}/phone/order`, more),
    now: () => ask(`${phoneUrl}/phone/now`),
    trouble: (what) => ask(`${phoneUrl}/phone/trouble`, { what }),
    network: (action) => ask(`${phoneUrl}/phone/network`, { action }),
    ask: (path, body) => ask(controlUrl + path, body),
    /** What the buyer taps on the sheet, once it is there. */
    async tap(what) {
      await until(async () => (await this.now()).sheet, 'the pay sheet')
      return ask(`${phoneUrl}/phone/tap`, { what })
    },
    async stop() {
      child.kill()
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export async function until(holds, what) {
  const deadline = Date.now() + 20000
  for (;;) {
    const found = await holds()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`never came: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] })

/** Fails of a request that was meant to fail: the browser's own words, which no page can keep back. */
const OF_THE_NETWORK = /^Failed to load resource/

/**
 * A page in a phone's size. At the end of a test `page.wellBehaved()` says whether it ran without an error and asked nobody else;
 * `refusals` allows answers that are no success.
 */
export async function open(browser, t, { viewport = { width: 390, height: 760 }, locale = 'zh-CN', colorScheme = 'light', hosts = [] } = {}) {
  const context = await browser.newContext({ viewport, locale, colorScheme, deviceScaleFactor: 2, permissions: ['clipboard-read', 'clipboard-write'] })
  const page = await context.newPage()
  const errors = []
  const asked = new Set()
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()) })
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('request', (request) => asked.add(new URL(request.url()).hostname))
  page.errors = errors
  page.wellBehaved = ({ refusals = false } = {}) => {
    assert.deepEqual(errors.filter((error) => !(refusals && OF_THE_NETWORK.test(error))), [])
    assert.deepEqual([...asked].filter((host) => host && host !== '127.0.0.1' && !hosts.includes(host)), [])
  }
  t.after(() => context.close())
  return page
}

/** Waits for a screen of the cashier by its name. */
export const screen = (page, name) => page.locator(`body[data-screen="${name}"]`).waitFor({ timeout: 20000 })

/** A screenshot, no violation that axe finds, and nothing that is cut off at the side. */
export async function seen(page, name, { fullPage = true } = {}) {
  await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage, animations: 'disabled' })
  for (const frame of page.frames()) {
    if (!/^http/.test(frame.url())) continue
    await frame.evaluate(axe)
    const { violations } = await frame.evaluate(() => globalThis.axe.run(document, { iframes: false }))
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)
    assert.deepEqual(found, [], `${name} ${frame.url()}`)
    const wider = await frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.ok(wider <= 0, `${name} is ${wider} px too wide`)
  }
}

export const texts = (page) => page.locator('main').innerText()
