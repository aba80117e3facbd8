// Checks one page in Chromium. See --help.

import { parseArgs } from 'node:util'
import { CHECKS, launch, look } from './lib.mjs'

const HELP = `Opens a page in Chromium, and says as JSON what is wrong with it.

usage: node tests/browser/check.mjs URL [OPTION]...

  --screenshot FILE       a picture of the whole page, a PNG of less than 300 kB
  --window-only           the picture shows what fits the window
  --scheme light|dark     what the person prefers (light)
  --width N, --height N   of the window, in pixels (1280, 800)
  --no-js                 scripts are off
  --header NAME:VALUE     sent with every request; may come again
  --expect TEXT           the page has to show this; may come again
  --wait SELECTOR         wait until the page has such an element
  --skip CHECK,...        leave out: console, requests, accessibility, keyboard, overflow

The page fails for: an error or warning on the console, an exception, an answer that is not 2xx, a
request to another origin (of a file: any request), a request that fails, a breach of WCAG 2 A or AA,
something that has the focus and does not show it, something the Tab key does not reach, scrolling
sideways.

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage, 3 it could not be looked at.
`

function usage(problem) {
  process.stderr.write(`check: ${problem}\nhint: node tests/browser/check.mjs --help\n`)
  process.exit(2)
}

function parse() {
  const word = { type: 'string' }
  const flag = { type: 'boolean', default: false }
  const many = { type: 'string', multiple: true, default: [] }
  const options = {
    screenshot: word,
    'window-only': flag,
    scheme: { ...word, default: 'light' },
    width: { ...word, default: '1280' },
    height: { ...word, default: '800' },
    'no-js': flag,
    header: many,
    expect: many,
    wait: word,
    skip: { ...word, default: '' },
    help: flag,
  }
  let parsed
  try {
    parsed = parseArgs({ options, allowPositionals: true })
  } catch (error) {
    usage(error.message)
  }
  const { values, positionals } = parsed
  if (values.help) {
    process.stdout.write(HELP)
    process.exit(0)
  }
  if (positionals.length !== 1 || !URL.canParse(positionals[0])) usage('give one URL')
  if (!['light', 'dark'].includes(values.scheme)) usage('--scheme is light or dark')
  const skip = values.skip.split(',').filter(Boolean)
  const unknown = skip.find((check) => !CHECKS.includes(check))
  if (unknown) usage(`no check is called ${unknown}; of: ${CHECKS.join(', ')}`)
  const size = (name) => {
    if (!/^[1-9][0-9]{1,3}$/.test(values[name])) usage(`--${name} wants pixels`)
    return Number(values[name])
  }
  const headers = values.header.map((header) => header.split(/:\s*(.*)/s).slice(0, 2))
  return {
    ...values,
    url: positionals[0],
    width: size('width'),
    height: size('height'),
    javascript: !values['no-js'],
    fullPage: !values['window-only'],
    headers: headers.length ? Object.fromEntries(headers) : undefined,
    checks: CHECKS.filter((check) => !skip.includes(check)),
  }
}

const asked = parse()
let verdict
let browser
try {
  browser = await launch()
  verdict = await look(browser, asked.url, asked)
} catch (error) {
  process.stderr.write(`check: error: ${error.message}\n`)
  process.exitCode = 3
} finally {
  await browser?.close()
}
if (verdict) {
  process.stdout.write(`${JSON.stringify(verdict, null, 2)}\n`)
  process.exitCode = verdict.ok ? 0 : 1
}
