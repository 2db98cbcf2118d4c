// Shows one state of the cashier. Everything is put in as text; the elements stay, so that focus and the live region do.
const of = (id) => document.getElementById(id)

const put = (element, text) => {
  element.hidden = !text
  if (element.textContent !== (text ?? '')) element.textContent = text ?? ''
}

/** Fen as yuan, without a float on the way. */
export const yuan = (fen) => {
  const digits = String(fen).padStart(3, '0')
  return `¥${digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ',')}.${digits.slice(-2)}`
}

let shown

/**
 * `screen` is { name, title, amount, facts, status, tone, sign, main, second, busy, merchant }; `main` and `second` are { text, act }.
 */
export function show(screen, t) {
  document.documentElement.lang = t.tag
  document.title = screen.title === t.title ? t.title : `${screen.title} · ${t.title}`
  put(of('language'), t.other)
  of('language').lang = t.tag === 'en' ? 'zh-CN' : 'en'
  put(of('title'), screen.title)
  put(of('amount'), screen.amount)
  of('facts').hidden = !screen.facts
  for (const [id, value] of Object.entries(screen.facts ?? {})) {
    of(id).parentElement.hidden = !value
    of(`${id}-name`).textContent = t[id]
    of(id).textContent = value ?? ''
  }
  const status = of('status')
  // A live region has to be there before it says something; it is never hidden.
  if (status.textContent !== (screen.status ?? '')) status.textContent = screen.status ?? ''
  status.dataset.tone = screen.tone ?? ''
  if (screen.sign) of('sign').dataset.sign = screen.sign
  else delete of('sign').dataset.sign
  for (const id of ['main', 'second']) {
    put(of(id), screen[id]?.text)
    of(id).onclick = screen[id]?.act ?? null
  }
  // Not `disabled`: that would take the focus away.
  of('main').setAttribute('aria-disabled', String(Boolean(screen.busy)))
  const merchant = of('merchant')
  merchant.hidden = !screen.merchant
  if (screen.merchant) {
    merchant.children[0].textContent = t.merchant
    merchant.children[1].textContent = screen.merchant.text
    merchant.children[2].textContent = screen.merchant.code ?? ''
  }
  document.body.dataset.screen = screen.name
  if (shown && shown !== screen.title) of('title').focus()
  shown = screen.title
}

export const onLanguage = (act) => { of('language').onclick = act }
