// Sends requests to batchstatus, over TCP or a unix socket, and repeats them until they are answered.

import http from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

const ANSWER_MS = 10_000
const GIVE_UP_MS = 5 * 60_000
const LONGEST_PAUSE_MS = 5_000

// A refusal: the service has answered, and the same request again would be refused again.
export class Refused extends Error {
  constructor({ code, message, details }, retryAfterMs) {
    super(`${code}: ${message} ${details ? JSON.stringify(details) : ''}`.trimEnd())
    Object.assign(this, { code, details, retryAfterMs })
  }
}

export class Service {
  // `url` is http://…, https://… or unix:/path/of/the/socket.
  constructor(url, key) {
    const socketPath = url.startsWith('unix:') ? url.slice('unix:'.length) : undefined
    const base = new URL(socketPath ? 'http://localhost' : url)
    const { request, Agent } = base.protocol === 'https:' ? https : http
    this.given = [url, key] // what another thread needs for a Service of its own
    this.request = request
    this.path = `${base.pathname.replace(/\/$/, '')}/batch-import/jobs`
    this.options = {
      method: 'POST',
      socketPath,
      host: base.hostname.replace(/^\[|\]$/g, ''), // an IPv6 address has brackets in a URL alone
      port: base.port || undefined,
      agent: new Agent({ keepAlive: true, maxSockets: 1 }),
      headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    }
  }

  // Returns the body of a successful answer. No answer, a 5xx, a 429, or a page of some proxy's: the very same
  // request is sent again, which counts once. Throws Refused, or after five minutes the last trouble.
  async post(path, body) {
    const until = Date.now() + GIVE_UP_MS
    for (let pauseMs = 100; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await this.#once(path, JSON.stringify(body))
      } catch (error) {
        if (error instanceof Refused || Date.now() > until) throw error
        await sleep(pauseMs * (0.5 + Math.random() / 2))
      }
    }
  }

  async #once(path, body) {
    const answer = await new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(ANSWER_MS)
      const sent = this.request({ ...this.options, path: this.path + path, signal }, resolve)
      sent.on('error', reject).end(body)
    })
    let text = ''
    for await (const piece of answer.setEncoding('utf8')) text += piece
    const said = JSON.parse(text)
    if (answer.statusCode < 300) return said
    const { statusCode } = answer
    if (statusCode >= 500 || statusCode === 429 || statusCode === 408 || !said.error?.code) {
      throw new Error(`the service answers ${statusCode}: ${text.slice(0, 300)}`)
    }
    throw new Refused(said.error, Number(answer.headers['retry-after'] ?? 1) * 1000)
  }
}
