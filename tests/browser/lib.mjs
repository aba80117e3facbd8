// Opens a page in Chromium as a person would have it, and says what is wrong with it.
//
//   const browser = await launch()
//   const { ok, wrong } = await look(browser, url, { scheme: 'dark', javascript: false, width: 400 })
//   await browser.close()
//
// or one thing after the other:
//
//   const page = await open(browser, url)
//   page.told        what the page complained about so far
//   await accessibility(page), await keyboard(page), await screenshot(page, file)

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'

const require = createRequire(import.meta.url)

export const CHECKS = ['console', 'requests', 'accessibility', 'keyboard', 'overflow']

// A picture that is larger belongs into no repository.
export const PICTURE_BYTES_MAX = 300_000

// How long a page that has loaded may go on asking for things.
const SETTLE_MS_MAX = 3_000

// A page with more than these is walked no further; the verdict says so.
const FOCUS_STOPS_MAX = 500

// What the browser does by itself has no place in a test without a network.
const ARGUMENTS = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-gpu',
  '--disable-quic',
  '--disable-sync',
  '--force-color-profile=srgb',
  '--hide-scrollbars',
  '--no-first-run',
]

/** Where Chromium is: `CHROMIUM`, or the usual places. */
export function chromium() {
  const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser']
  const found = places.find((place) => place && existsSync(place))
  if (!found) throw new Error('no Chromium: install the package chromium, or set CHROMIUM')
  return found
}

/** Starts Chromium with an empty profile, which goes when it is closed. */
export async function launch() {
  // Chromium refuses its sandbox to root, and containers have no namespaces for it.
  const asRoot = process.getuid?.() === 0 || process.env.CI ? ['--no-sandbox'] : []
  const executablePath = chromium()
  return puppeteer.launch({ executablePath, args: [...ARGUMENTS, ...asRoot], headless: true })
}

/** Whether a page at `base` may ask for `url`: its own origin, or for a file nothing but itself. */
function isOwn(base, url) {
  if (url.protocol === 'data:' || url.protocol === 'blob:') return true
  if (base.protocol !== 'file:') return url.origin === base.origin
  return url.protocol === 'file:' && fileURLToPath(url) === fileURLToPath(base)
}

/**
 * Opens a page, and waits until it has loaded and, for a while, until it asks for nothing more.
 * Requests to another origin are told and not let out.
 *
 * Options: `scheme` light or dark, `javascript`, `width` and `height` in pixels, `headers`,
 * `timeout` in milliseconds.
 */
export async function open(browser, address, options = {}) {
  const base = new URL(address)
  const { scheme = 'light', javascript = true, width = 1280, height = 800 } = options
  const page = await browser.newPage()
  page.setDefaultTimeout(options.timeout ?? 60_000)
  page.told = { console: [], errors: [], requests: [], foreign: [], failed: [], status: null }
  watch(page, base)
  await page.setRequestInterception(true)
  await page.setViewport({ width, height })
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: scheme },
    { name: 'prefers-reduced-motion', value: 'reduce' },
  ])
  await page.setJavaScriptEnabled(javascript)
  if (options.headers) await page.setExtraHTTPHeaders(options.headers)
  const response = await page.goto(address, { waitUntil: 'load' })
  // A page that is live keeps one connection open, on which it is told of news. One that goes on
  // asking looks like this by now.
  const quiet = { idleTime: 250, concurrency: 1, timeout: SETTLE_MS_MAX }
  await page.waitForNetworkIdle(quiet).catch(() => {})
  // The page's own scripts were passed over for good; those that look at it need timers.
  if (!javascript) await page.setJavaScriptEnabled(true)
  page.told.status = response?.status() ?? null
  if (base.protocol.startsWith('http') && !response?.ok()) {
    page.told.errors.push(`the page answers ${page.told.status}`)
  }
  return page
}

function watch(page, base) {
  const told = page.told
  page.on('console', (message) => {
    if (!['error', 'warn', 'warning'].includes(message.type())) return
    told.console.push(`${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => told.errors.push(String(error?.message ?? error)))
  page.on('request', (request) => {
    const url = new URL(request.url())
    told.requests.push(request.url().slice(0, 300))
    if (isOwn(base, url)) return void request.continue().catch(() => {})
    told.foreign.push(request.url().slice(0, 300))
    request.abort('blockedbyclient').catch(() => {})
  })
  page.on('requestfailed', (request) => {
    if (request.failure()?.errorText.startsWith('net::ERR_BLOCKED_BY_CLIENT')) return
    told.failed.push(`${request.url().slice(0, 300)}: ${request.failure()?.errorText}`)
  })
  page.on('response', (response) => {
    if (response.status() < 400 || response.request().isNavigationRequest()) return
    told.failed.push(`${response.url().slice(0, 300)}: ${response.status()}`)
  })
}

/** A world beside the page's own: it sees the document, and none of the page's scripts. */
function beside(page) {
  return page.mainFrame().isolatedRealm()
}

/** The text that the page shows. */
export async function text(page) {
  return beside(page).evaluate('document.body.innerText')
}

/** Runs axe-core: what breaks WCAG 2.1 at level A or AA, contrast among it. */
export async function accessibility(page) {
  const source = require('axe-core').source
  const result = await beside(page).evaluate(`${source}; axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'],
    resultTypes: ['violations', 'incomplete'],
  })`)
  const short = (found) => ({
    rule: found.id,
    impact: found.impact,
    help: found.help,
    where: found.nodes.slice(0, 5).map((node) => node.target.join(' ')),
    count: found.nodes.length,
  })
  return {
    checked: result.passes.length,
    violations: result.violations.map(short),
    undecided: result.incomplete.map(short),
  }
}

/**
 * Walks through the page with the Tab key, as far as it goes. Each thing that takes the focus has to
 * look different with it, and everything that can take it has to be reached.
 */
export async function keyboard(page) {
  const world = beside(page)
  await world.evaluate(`(${prepareWalk})()`)
  const stops = []
  const invisible = []
  for (;;) {
    await page.keyboard.press('Tab')
    const stop = await world.evaluate(`(${stepWalk})()`)
    if (!stop || stop.again) break
    stops.push(stop.name)
    if (!stop.visible) invisible.push(stop.name)
    if (stops.length >= FOCUS_STOPS_MAX) break
  }
  const missed = stops.length < FOCUS_STOPS_MAX ? await world.evaluate(`(${endWalk})()`) : []
  return { stops: stops.length, invisible, missed, cut: stops.length >= FOCUS_STOPS_MAX }
}

// The three run in the page.

function prepareWalk() {
  const selector =
    'a[href], area[href], button, input, select, textarea, summary, iframe, [tabindex],' +
    ' [contenteditable=""], [contenteditable="true"], audio[controls], video[controls]'
  const shown = (element) =>
    element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true })
  const takes = (element) => {
    if (element.disabled || element.closest('[inert], fieldset:disabled')) return false
    if (element.tabIndex < 0 || (element.localName === 'input' && element.type === 'hidden')) {
      return false
    }
    // Of the radio buttons of a group only one is a stop.
    if (element.type === 'radio' && element.name && !element.checked) {
      const name = CSS.escape(element.name)
      const first = (element.form ?? document).querySelector(`input[type=radio][name="${name}"]`)
      const chosen = (element.form ?? document).querySelector(
        `input[type=radio][name="${name}"]:checked`,
      )
      if (chosen || first !== element) return false
    }
    return shown(element)
  }
  const properties = [
    ...['outlineStyle', 'outlineWidth', 'outlineColor', 'outlineOffset', 'boxShadow'],
    ...['backgroundColor', 'color', 'textDecorationLine', 'textDecorationThickness'],
    ...['borderTopColor', 'borderTopWidth', 'borderTopStyle', 'borderBottomColor'],
    ...['borderBottomWidth', 'borderBottomStyle', 'borderLeftColor', 'borderLeftWidth'],
    ...['borderLeftStyle', 'transform', 'filter'],
  ]
  const look = (element) => {
    const style = getComputedStyle(element)
    const seen = Object.fromEntries(properties.map((property) => [property, style[property]]))
    // An outline that is not drawn has a colour and a width all the same.
    if (seen.outlineStyle === 'none' || parseFloat(seen.outlineWidth) === 0) {
      seen.outlineStyle = seen.outlineWidth = seen.outlineColor = seen.outlineOffset = 'none'
    }
    return JSON.stringify(seen)
  }
  const name = (element) => {
    const text = (element.getAttribute('aria-label') ?? element.innerText ?? '').trim()
    const id = element.id ? `#${element.id}` : ''
    return `${element.localName}${id}${text ? ` "${text.slice(0, 40)}"` : ''}`
  }
  document.activeElement?.blur?.()
  for (const running of document.getAnimations()) running.finish?.()
  const before = new Map()
  const all = [...document.querySelectorAll(selector)].filter(takes)
  for (const element of all) before.set(element, look(element))
  globalThis.twinlogWalk = { all, before, look, name, seen: new Set() }
}

function stepWalk() {
  const { before, look, name, seen } = globalThis.twinlogWalk
  const element = document.activeElement
  if (!element || element === document.body || element === document.documentElement) return null
  if (seen.has(element)) return { again: true }
  seen.add(element)
  for (const running of document.getAnimations()) running.finish?.()
  const box = element.getBoundingClientRect()
  // A skip link may be put outside until it has the focus, not longer.
  const within = box.width > 0 && box.height > 0 && box.bottom > 0 && box.right > 0
  const differs = look(element) !== (before.get(element) ?? '')
  return { name: name(element), visible: within && differs }
}

function endWalk() {
  const { all, name, seen } = globalThis.twinlogWalk
  return all.filter((element) => !seen.has(element)).map(name)
}

/** Whether the page is wider than the window: a page may scroll down, not to the side. */
export async function overflow(page) {
  return beside(page).evaluate(`(() => {
    const root = document.documentElement
    return Math.max(0, root.scrollWidth - root.clientWidth)
  })()`)
}

/** Takes a picture of the page into a PNG file. */
export async function screenshot(page, file, options = {}) {
  const { fullPage = true } = options
  const picture = await page.screenshot({ path: file, fullPage, optimizeForSpeed: false })
  return { file, bytes: picture.length, tooLarge: picture.length > PICTURE_BYTES_MAX }
}

/**
 * Opens a page in a window of its own and makes all checks. Options beside those of `open`: `expect`
 * (texts that it shows), `wait` (a selector), `screenshot` (a file) and `fullPage`, `checks` (some of
 * `CHECKS`). Returns `ok`, `wrong` (what is, one line each) and what was seen.
 */
export async function look(browser, url, options = {}) {
  const window = await browser.createBrowserContext()
  try {
    return await judge(await open(window, url, options), url, options)
  } finally {
    await window.close()
  }
}

// The order counts: the walk scrolls, and what it opens stays open.
async function judge(page, url, asked) {
  if (asked.wait) await page.waitForSelector(asked.wait)
  const { told } = page
  const wrong = []
  const has = (check) => (asked.checks ?? CHECKS).includes(check)
  const verdict = { url, status: told.status, requests: told.requests.length }
  const shown = asked.expect?.length ? await text(page) : ''
  for (const expected of asked.expect ?? []) {
    if (!shown.includes(expected)) wrong.push(`it does not show: ${expected}`)
  }
  if (asked.screenshot) {
    verdict.screenshot = await screenshot(page, asked.screenshot, asked)
    if (verdict.screenshot.tooLarge) wrong.push('screenshot: more than 300 kB')
  }
  if (has('overflow')) {
    const beyond = await overflow(page)
    if (beyond) wrong.push(`overflow: ${beyond} pixels wider than the window`)
  }
  if (has('accessibility')) {
    verdict.accessibility = await accessibility(page)
    if (!verdict.accessibility.checked) wrong.push('accessibility: nothing was checked')
    for (const breach of verdict.accessibility.violations) {
      wrong.push(`accessibility: ${breach.rule} (${breach.help}) at ${breach.where.join(', ')}`)
    }
  }
  if (has('keyboard')) {
    verdict.keyboard = await keyboard(page)
    for (const name of verdict.keyboard.invisible) wrong.push(`keyboard: ${name} hides its focus`)
    for (const name of verdict.keyboard.missed) wrong.push(`keyboard: ${name} is not reached`)
  }
  wrong.push(...told.errors.map((error) => `error: ${error}`))
  if (has('console')) wrong.push(...told.console.map((line) => `console: ${line}`))
  if (has('requests')) {
    wrong.push(...told.foreign.map((url) => `request to elsewhere: ${url}`))
    wrong.push(...told.failed.map((line) => `request failed: ${line}`))
  }
  return { ok: wrong.length === 0, wrong, ...verdict }
}
