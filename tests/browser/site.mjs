// The status page of a running watch in Chromium, as a person uses it. See --help.

import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { accessibility, keyboard, launch, open, overflow, screenshot } from './lib.mjs'

const HELP = `Uses the status page of a running watch as a person would, and fails where anything is
wrong: a finding that comes late, a filter that does not work, an error on the console, a request to
elsewhere, a breach of WCAG 2 A or AA.

usage: node tests/browser/site.mjs URL --sql COMMAND [--pictures DIR]

  --sql COMMAND     runs a statement on a node: COMMAND NODE SQL
  --pictures DIR    where screenshots go: overview and finding, light and dark

The watch's configuration gives crm.a_* to node a. The table crm.a_leads (id, name) has to be there,
and at least one open divergence with its conflict; watch.evidence is "full".
`

const VIOLATIONS = 3
const SEEN_WITHIN_MS = 2000

const { values, positionals } = parseArgs({
  options: { sql: { type: 'string' }, pictures: { type: 'string' }, help: { type: 'boolean' } },
  allowPositionals: true,
})
if (values.help || positionals.length !== 1 || !values.sql) {
  process.stderr.write(HELP)
  process.exit(values.help ? 0 : 2)
}
const [site] = positionals
const address = (path) => new URL(path, site).href

const wrong = []
function check(what, holds, found = '') {
  if (!holds) wrong.push(`${what}${found === '' ? '' : `: ${JSON.stringify(found)}`}`)
}

function sql(node, statement) {
  const [program, ...given] = values.sql.split(' ')
  execFileSync(program, [...given, node, statement], { stdio: ['ignore', 'ignore', 'inherit'] })
}

const shown = (page, selector) => page.$$eval(selector, (all) => all.map((of) => of.innerText))
const kinds = async (page) =>
  page.$$eval('#list tbody a', (all) => all.map((of) => of.innerText))

/** Waits until the list has a text. Asked from outside: the page's policy lets no test evaluate. */
async function shows(page, wanted) {
  const deadline = performance.now() + 20_000
  while (!(await shown(page, '#list')).join().includes(wanted)) {
    if (performance.now() > deadline) throw new Error(`the page does not show ${wanted}`)
    await new Promise((next) => setTimeout(next, 20))
  }
}

/** A violation has to be on an open page soon, without the page being loaded again. */
async function live(browser) {
  const page = await open(browser, address('/?kind=table_ownership&table=crm.*'))
  await page.evaluate(() => { globalThis.sameDocument = true })
  await page.focus('form.filter button')
  const first = 1000 + Math.floor(Math.random() * 1e6)
  const times = []
  for (let id = 1; id <= VIOLATIONS; id += 1) {
    const key = `crm.a_leads id=${first + id}`
    sql('b', `INSERT INTO crm.a_leads VALUES (${first + id}, 'by b')`)
    const committed = performance.now()
    await shows(page, key)
    times.push(Math.round(performance.now() - committed))
  }
  times.sort((x, y) => x - y)
  const median = times[Math.floor(times.length / 2)]
  check(`a violation is on the page within ${SEEN_WITHIN_MS} ms`, median <= SEEN_WITHIN_MS, times)
  check('the page was not loaded again', await page.evaluate(() => globalThis.sameDocument))
  check('the focus has stayed', await page.evaluate(
    () => document.activeElement?.matches('form.filter button')))
  check('the page says that it is live', (await shown(page, '#live'))[0] === 'live')
  const listed = new Set(await kinds(page))
  check('only what was asked for is listed',
    listed.size === 1 && listed.has('Write to a table of another node'), [...listed])
  complaints(page, 'live')
  await page.close()
  return { times_ms: times, median_ms: median }
}

function complaints(page, where) {
  for (const kind of ['console', 'errors', 'foreign']) {
    check(`${where}: nothing on ${kind}`, page.told[kind].length === 0, page.told[kind])
  }
  // The stream of news ends with the page.
  const failed = page.told.failed.filter((of) => !of.includes('/events'))
  check(`${where}: no request fails`, failed.length === 0, failed)
}

/** The form filters, with and without scripts, and its address can be shared. */
async function filter(browser, javascript) {
  const where = `filter, ${javascript ? 'with' : 'without'} scripts`
  const page = await open(browser, address('/'), { javascript })
  await page.select('select[name=kind]', 'divergence')
  await page.type('input[name=table]', 'shop.*')
  await Promise.all([page.waitForNavigation(), page.click('form.filter button')])
  const url = new URL(page.url())
  check(`${where}: the address has the filter`,
    url.searchParams.get('kind') === 'divergence' && url.searchParams.get('table') === 'shop.*', url.href)
  const listed = await kinds(page)
  check(`${where}: only divergences are listed`,
    listed.length > 0 && listed.every((of) => of === 'Row differs between the masters'), listed)
  check(`${where}: the form shows the filter`,
    (await page.$eval('select[name=kind]', (of) => of.value)) === 'divergence')
  complaints(page, where)
  const again = await open(browser, url.href, { javascript })
  check(`${where}: the shared address lists the same`,
    JSON.stringify(await kinds(again)) === JSON.stringify(listed))
  await Promise.all([page.close(), again.close()])
}

/** A finding's page: its picture, its rows, its repair, and notes. */
async function finding(browser) {
  const page = await open(browser, address('/?kind=divergence&table=shop.*'))
  await Promise.all([page.waitForNavigation(), page.click('#list tbody a')])
  const url = page.url()
  check('the order is drawn, two transactions in two lanes', (await page.$$('#finding svg rect.box')).length >= 4)
  check('the rows are there, with what has changed', (await page.$$('table.images td.changed')).length > 0)
  check('a repair is offered', (await shown(page, 'details summary')).some((of) => of.includes('is right')))
  const text = await page.$eval('main', (of) => of.textContent)
  for (const wanted of ['twinlog findings explain', 'START TRANSACTION', '-binlog --base64-output']) {
    check('the page has', text.includes(wanted), wanted)
  }
  await page.type('input[name=by]', 'ann')
  await page.type('input[name=why]', 'ticket 42 <b>')
  await page.type('input[name=until]', 'tomorrow')
  await Promise.all([page.waitForNavigation(), page.click('form[action$=acknowledge] button')])
  check('a wrong end is refused', (await shown(page, '[role=alert]')).join().includes('write the last day'))
  // That answer is a 400 on purpose.
  page.told.console = page.told.console.filter((of) => !of.includes('400'))
  await page.goto(url)
  await page.type('input[name=by]', 'ann')
  await page.type('input[name=why]', 'ticket 42 <b>')
  await page.type('input[name=until]', '30d')
  await Promise.all([page.waitForNavigation(), page.click('form[action$=acknowledge] button')])
  check('the note is shown', (await shown(page, 'form.note.card')).join().includes('ticket 42 <b>'))
  check('it is acknowledged', (await shown(page, '.verdict .tag')).includes('acknowledged'))
  await Promise.all([page.waitForNavigation(), page.click('form[action$=withdraw] button')])
  check('the note is taken back', (await page.$('form[action$=withdraw]')) === null)
  complaints(page, 'finding')
  await page.close()
  return url
}

/** How pages look, and whether everybody can use them. */
async function looks(browser, name, url) {
  const sizes = []
  for (const scheme of ['light', 'dark']) {
    for (const width of [1280, 400]) {
      const where = `${name}, ${scheme}, ${width} pixels`
      const page = await open(browser, url, { scheme, width })
      const side = await overflow(page)
      check(`${where}: fits the window`, side === 0, side)
      const { violations } = await accessibility(page)
      check(`${where}: accessible`, violations.length === 0, violations)
      if (values.pictures && width === 1280) {
        sizes.push(await screenshot(page, `${values.pictures}/${name}-${scheme}.png`))
      }
      complaints(page, where)
      await page.close()
    }
  }
  // Without scripts nothing changes while the walk is on.
  const page = await open(browser, url, { javascript: false })
  const { stops, invisible, missed } = await keyboard(page)
  check(`${name}: everything can be reached by the keyboard`, stops > 10 && missed.length === 0, missed)
  check(`${name}: the focus can be seen`, invisible.length === 0, invisible)
  await page.close()
  return sizes
}

const browser = await launch()
try {
  const seen = await live(browser)
  await filter(browser, true)
  await filter(browser, false)
  const url = await finding(browser)
  const pictures = [
    ...(await looks(browser, 'overview', address('/'))),
    ...(await looks(browser, 'finding', url)),
  ]
  process.stdout.write(`${JSON.stringify({ wrong, ...seen, pictures }, null, 2)}\n`)
} finally {
  await browser.close()
}
process.exit(wrong.length === 0 ? 0 : 1)
