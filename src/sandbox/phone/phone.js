// The phone and what goes on around it: asks twice a second what is new, and shows it.
import { reason, words } from './words.js'

const of = (id) => document.getElementById(id)
const all = (selector) => [...document.querySelectorAll(selector)]
const LANES = ['buyer', 'page', 'gateway', 'service', 'wechat', 'center', 'business']

let zh = /^zh/i.test(navigator.language)
const w = () => words[zh ? 'zh' : 'en']
let link = ''
let opened = 0
let networkText = () => ''
let standing
const entries = new Map()
let cleared = 0

const post = async (path, body) => {
  const answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
  return answer.json()
}

function say() {
  const t = w()
  document.documentElement.lang = t.tag
  const put = (id, text) => { of(id).textContent = text }
  put('heading', t.heading); put('intro', t.intro); put('language', t.other); put('handset-name', t.handset); put('bar', t.bar)
  put('new-order', t.newOrder); put('same-order', t.sameOrder); put('controls-name', t.controls); put('way-name', t.wayName)
  put('trouble-name', t.troubleName); put('network-name', t.network); put('timeline-name', t.timeline); put('clear', t.clear)
  put('sheet-title', t.sheet.title); put('network-text', networkText()); put('trouble-text', t.troubles[of('trouble').value || 'well'][1])
  if (standing) put('standing', t.standing(standing))
  of('frame').title = t.frame
  of('language').lang = zh ? 'en' : 'zh-CN'
  for (const button of all('[data-tap]')) button.textContent = t.sheet[button.dataset.tap]
  for (const button of all('[data-network]')) button.textContent = t.networks[button.dataset.network]
  options('way', t.ways)
  options('trouble', Object.fromEntries(Object.entries(t.troubles).map(([name, [text]]) => [name, text])))
  of('lanes').replaceChildren(...LANES.map((party) => Object.assign(document.createElement('span'), { textContent: t.parties[party] })))
  for (const entry of entries.values()) draw(entry)
}

function options(id, texts) {
  const select = of(id)
  const chosen = select.value
  select.replaceChildren(...Object.entries(texts).map(([value, text]) => new Option(text, value)))
  if (chosen) select.value = chosen
}

// The timeline.

function draw(entry) {
  let row = of(`entry-${entry.number}`)
  if (!row) {
    row = Object.assign(document.createElement('li'), { id: `entry-${entry.number}` })
    const details = document.createElement('details')
    details.append(document.createElement('summary'), document.createElement('div'))
    row.append(details)
    of('entries').append(row)
  }
  const t = w()
  const [summary, proofs] = row.firstChild.children
  const lane = (party) => Math.max(LANES.indexOf(party === 'forger' ? 'center' : party), 0)
  const [from, to] = [lane(entry.from), lane(entry.to)]
  row.className = [from < to ? 'right' : 'left', entry.status >= 400 ? 'refused' : '', entry.from === 'forger' ? 'forged' : ''].join(' ')
  const arrow = Object.assign(document.createElement('span'), { className: 'arrow' })
  arrow.style.gridColumn = `${Math.min(from, to) + 1} / ${Math.max(from, to) + 2}`
  // From the middle of one lane to the middle of the other.
  arrow.style.marginInline = `${50 / (Math.abs(from - to) + 1)}%`
  const text = (className, content) => Object.assign(document.createElement('span'), { className, textContent: content })
  const parties = text('parties', `${t.parties[entry.from]} → ${t.parties[entry.to]}`)
  const what = text('what', short(entry.what))
  const end = text('end', [entry.status, entry.note].filter(Boolean).join(' '))
  const line = Object.assign(document.createElement('span'), { className: 'line' })
  line.append(parties, what, end)
  summary.replaceChildren(arrow, line, text('why', reason(entry, zh)))
  proofs.replaceChildren(...(entry.proofs ?? []).flatMap((proof) => [
    text('by', proof.by.includes(' / ') ? proof.by.split(' / ')[zh ? 0 : 1] : proof.by),
    Object.assign(document.createElement('pre'), { textContent: proof.text, tabIndex: 0 }),
  ]))
}

const short = (what) => what.replace(/http:\/\/[^/ ]+/g, '').replace('WeixinJSBridge ', '')

// What is new.

async function look() {
  try {
    const open = [...entries.values()].filter((entry) => entry.status === undefined && !entry.note && entry.number > entries.size - 40)
    const from = open.length ? open[0].number : cleared + entries.size
    const now = await (await fetch(`/phone/now?from=${from}`)).json()
    const list = of('entries')
    // Whoever reads further up is left there.
    const follows = list.scrollTop + list.clientHeight > list.scrollHeight - 30
    for (const entry of now.entries) {
      const known = entries.get(entry.number)
      if (known && JSON.stringify(known) === JSON.stringify(entry)) continue
      entries.set(entry.number, entry)
      draw(entry)
    }
    if (follows) list.scrollTop = list.scrollHeight
    show(now.sheet)
    of('way').value = now.way
    if (now.order) {
      standing = now.order
      const text = w().standing(standing)
      if (of('standing').textContent !== text) of('standing').textContent = text
    }
  } catch { /* the sandbox has ended, or is not there yet */ }
  setTimeout(look, 500)
}

function show(sheet) {
  const was = !of('sheet').hidden
  of('sheet').hidden = !sheet
  if (!sheet || was) return
  of('sheet-amount').textContent = `¥${Math.floor(sheet.total / 100)}.${String(sheet.total % 100).padStart(2, '0')}`
  of('sheet-what').textContent = sheet.description
  document.querySelector('[data-tap=pay]').focus()
}

// What the person does.

const load = () => { of('frame').src = link.replace('#', `?n=${opened += 1}#`) + `&lang=${zh ? 'zh' : 'en'}` }

async function order() {
  link = (await post('/phone/order', {})).link
  load()
}

function close() {
  of('frame').src = 'about:blank'
  of('standing').textContent = w().closed
}

for (const button of all('[data-tap]')) {
  button.onclick = async () => {
    of('sheet').hidden = true
    const what = button.dataset.tap
    await post('/phone/tap', { what })
    if (what === 'lost' || what === 'close') close()
  }
}
for (const button of all('[data-network]')) {
  button.onclick = async () => {
    const action = button.dataset.network
    const said = await post('/phone/network', { action })
    networkText = () => (said.error ? said.error : action === 'forge' ? w().networkDone.forge(said.answered) : w().networkDone[action])
    of('network-text').textContent = networkText()
  }
}
of('trouble').onchange = async () => {
  const what = of('trouble').value
  await post('/phone/trouble', { what: 'well' })
  if (what !== 'well') await post('/phone/trouble', { what })
  of('trouble-text').textContent = w().troubles[what][1]
  await order()
}
of('way').onchange = async () => {
  await post('/phone/trouble', { what: of('way').value })
  await order()
}
of('new-order').onclick = order
of('same-order').onclick = load
of('clear').onclick = () => {
  cleared += entries.size
  entries.clear()
  of('entries').replaceChildren()
}
of('language').onclick = () => { zh = !zh; say() }
addEventListener('message', ({ origin, data }) => { if (origin === location.origin && data === 'phone:close') close() })

say()
order().then(look)
