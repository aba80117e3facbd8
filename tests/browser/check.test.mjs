// Pages with one fault each: check.mjs has to find that one, and nothing on a page without.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { CHECKS, launch, look } from './lib.mjs'

const CHECK = fileURLToPath(new URL('check.mjs', import.meta.url))

const STYLE = `:root { color-scheme: light dark }
  body { font: 16px sans-serif; background: #fff; color: #222 }
  a { color: #0645ad }
  @media (prefers-color-scheme: dark) {
    body { background: #111; color: #eee }
    a { color: #8ab4f8 }
  }
  :focus-visible { outline: 3px solid #c60 }`

function html({ head = '', body = '', lang = 'lang="en"' } = {}) {
  return `<!doctype html><html ${lang}><head><meta charset="utf-8"><title>A page</title>
    <meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
    <style>${STYLE}</style>${head}</head><body><main><h1>A page</h1>
    <p><a href="#here">here</a> <button>press</button></p>
    <form><label>Name <input name="name"></label></form>
    <details><summary>more</summary><p id="here">text <a href="#here">inner</a></p></details>
    ${body}</main></body></html>`
}

let browser
let directory
let server
let origin

const PAGES = {
  '/good': html(),
  '/console': html({ body: '<script>console.warn("mind the gap")</script>' }),
  '/exception': html({ body: '<script>setTimeout(() => { throw new Error("gone") })</script>' }),
  '/rejected': html({ body: '<script>Promise.reject(new Error("broken promise"))</script>' }),
  '/foreign': html({ head: '<link rel="stylesheet" href="http://127.0.0.1:1/x.css">' }),
  '/broken': html({ head: '<link rel="stylesheet" href="/not-there.css">' }),
  '/contrast': html({ body: '<p style="color: #999; background: #fff">hard to read</p>' }),
  '/dark': html({ head: '<style>h1 { color: #333 }</style>' }),
  '/language': html({ lang: '' }),
  '/label': html({ body: '<input name="nameless">' }),
  '/focus': html({ body: '<a href="#here" style="outline: none">unseen</a>' }),
  '/unreached': html({
    body: `<button id="last">last</button><script>
      document.querySelector('input').addEventListener('focus', (event) => event.target.blur())
      document.querySelector('form').addEventListener('keydown', (e) => e.preventDefault())
      document.querySelector('button').addEventListener('keydown', (event) => {
        event.preventDefault()
        document.querySelector('a').focus()
      })</script>`,
  }),
  '/wide': html({ body: '<div style="width: 2000px; height: 1px"></div>' }),
  '/scripts': html({ body: '<p id="p">without</p><script>p.textContent = "with"</script>' }),
  '/follows': html({ body: '<script>new EventSource("/events")</script>' }),
  '/large': html({
    body: `<canvas id="c" width="800" height="800"></canvas><script>
      const context = c.getContext('2d')
      const image = context.createImageData(800, 800)
      for (let at = 0, x = 1; at < image.data.length; at++) {
        x = (x * 48271) % 2147483647
        image.data[at] = at % 4 === 3 ? 255 : x & 255
      }
      context.putImageData(image, 0, 0)</script>`,
  }),
}

before(async () => {
  browser = await launch()
  directory = mkdtempSync(join(tmpdir(), 'twinlog-pages-'))
  server = createServer((request, response) => {
    const page = PAGES[request.url]
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n')
    } else if (request.url === '/token' && request.headers.authorization !== 'Bearer x') {
      response.writeHead(401, { 'content-type': 'text/html' }).end(html())
    } else {
      const type = { 'content-type': 'text/html' }
      response.writeHead(page || request.url === '/token' ? 200 : 404, type).end(page ?? html())
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${server.address().port}`
})

after(async () => {
  await browser.close()
  server.closeAllConnections()
  server.close()
  rmSync(directory, { recursive: true, force: true })
})

/** The program, as a test in another language starts it. */
function check(...options) {
  return new Promise((resolve) => {
    execFile(process.execPath, [CHECK, ...options], (error, stdout, stderr) => {
      const verdict = stdout.startsWith('{') ? JSON.parse(stdout) : null
      resolve({ code: error ? error.code : 0, verdict, stdout, stderr })
    })
  })
}

async function findsNothing(path, options) {
  const verdict = await look(browser, origin + path, options)
  assert.deepEqual(verdict.wrong, [])
  assert.equal(verdict.ok, true)
  return verdict
}

async function findsOnly(pattern, path, options) {
  const { ok, wrong } = await look(browser, origin + path, options)
  assert.notEqual(wrong.length, 0)
  for (const line of wrong) assert.match(line, pattern)
  assert.equal(ok, false)
}

test('a good page passes, however it is looked at', async () => {
  const verdict = await findsNothing('/good')
  assert.equal(verdict.keyboard.stops, 4)
  assert.ok(verdict.accessibility.checked > 5)
  await findsNothing('/good', { scheme: 'dark', width: 360 })
  await findsNothing('/good', { javascript: false, expect: ['here'] })
})

test('what the console and the requests tell is found', async () => {
  await findsOnly(/^console: warn.*mind the gap/, '/console')
  await findsNothing('/console', { javascript: false })
  await findsOnly(/^error: gone/, '/exception')
  await findsOnly(/^error: broken promise/, '/rejected')
  await findsOnly(/^request to elsewhere: .*x\.css|^console: error: .*ERR_BLOCKED/, '/foreign')
  await findsOnly(/^request failed: .*not-there\.css: |^console: error: .*404/, '/broken')
  await findsOnly(/answers 404|^console: error: .*404/, '/no-such-page')
})

test('what axe finds is told', async () => {
  await findsOnly(/^accessibility: color-contrast/, '/contrast')
  await findsNothing('/dark')
  await findsOnly(/^accessibility: color-contrast/, '/dark', { scheme: 'dark' })
  await findsOnly(/^accessibility: color-contrast/, '/dark', { scheme: 'dark', javascript: false })
  await findsOnly(/^accessibility: html-has-lang/, '/language')
  await findsOnly(/^accessibility: label/, '/label')
  await findsNothing('/label', { checks: CHECKS.filter((check) => check !== 'accessibility') })
})

test('a focus that is not seen, and what Tab does not reach, are found', async () => {
  await findsOnly(/^keyboard: a "unseen" hides its focus/, '/focus')
  await findsOnly(/^keyboard: .*(not reached|hides its focus)/, '/unreached')
})

test('a page that scrolls sideways is found', async () => {
  await findsOnly(/^overflow: /, '/wide')
})

test('scripts can be off', async () => {
  await findsNothing('/scripts', { expect: ['with'] })
  await findsNothing('/scripts', { expect: ['without'], javascript: false })
  await findsOnly(/^it does not show: without/, '/scripts', { expect: ['without'] })
})

test('a page that never stops asking is looked at', async () => {
  await findsNothing('/follows')
})

test('a header is sent', async () => {
  await findsOnly(/answers 401|^console: error: .*401/, '/token')
  await findsNothing('/token', { headers: { Authorization: 'Bearer x' } })
})

test('a file may ask for nothing but itself', async () => {
  const at = (name, page) => {
    writeFileSync(join(directory, name), page)
    return pathToFileURL(join(directory, name)).href
  }
  const alone = await look(browser, at('alone.html', html()))
  assert.deepEqual(alone.wrong, [])
  writeFileSync(join(directory, 'beside.css'), '')
  const beside = html({ head: '<link rel="stylesheet" href="beside.css">' })
  const two = await look(browser, at('two.html', beside))
  assert.match(two.wrong.join('\n'), /request to elsewhere: .*beside\.css/)
})

test('a picture is taken, and one that is too large is told', async () => {
  const file = join(directory, 'page.png')
  const verdict = await findsNothing('/good', { screenshot: file })
  assert.equal(readFileSync(file).length, verdict.screenshot.bytes)
  assert.equal(readFileSync(file).subarray(1, 4).toString(), 'PNG')
  await findsOnly(/^screenshot: more than 300 kB/, '/large', { screenshot: file })
})

test('the program says as JSON what it found, and by its exit code', async () => {
  const options = ['--no-js', '--scheme', 'dark', '--width', '360', '--header', 'X: y']
  const good = await check(origin + '/console', ...options, '--expect', 'here')
  assert.equal(good.code, 0, good.stderr)
  assert.deepEqual([good.verdict.ok, good.verdict.wrong], [true, []])
  const bad = await check(origin + '/console', '--skip', 'keyboard,accessibility')
  assert.equal(bad.code, 1, bad.stderr)
  assert.match(bad.verdict.wrong.join(), /^console: warn.*mind the gap$/)
  assert.equal(bad.verdict.keyboard, undefined)
})

test('wrong usage and a page that cannot be looked at have codes of their own', async () => {
  for (const wrong of [[], ['here'], ['--scheme', 'pink', origin], ['--skip', 'all', origin]]) {
    assert.equal((await check(...wrong)).code, 2)
  }
  assert.equal((await check('http://127.0.0.1:1/')).code, 3)
  const help = await check('--help')
  assert.equal(help.code, 0)
  assert.match(help.stdout, /Exit codes: 0 nothing is wrong/)
})
