// A worker that speaks the Redis protocol of batchstatus itself (docs/redis-protocol.md), without dependencies.
//
// It imports the lines of a file as the conformance run asks (python -m batchstatus.conformance -- node worker.mjs):
// `ok` is a row that succeeds, `failed` one that fails, `abort` ends the job as failed. All else is in `WORKER_…`.

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { digest } from './digest.mjs'

const env = process.env
const [org, jobId, prefix] = [env.WORKER_ORG, env.WORKER_JOB, env.WORKER_PREFIX]
const [leaseMs, graceMs, retentionMs] = [env.WORKER_LEASE_MS, env.WORKER_GRACE_MS, env.WORKER_RETENTION_MS]
const [rowMs, every] = [Number(env.WORKER_ROW_MS), Number(env.WORKER_EVERY)]
const lines = readFileSync(env.WORKER_FILE, 'utf8').trim().split('\n')
const job = `${prefix}:{${org}:${jobId}}`
const jobKeys = [job, `${job}:failures`, `${job}:skips`]
const worker = `${hostname()}:${process.pid}`.slice(0, 100)
const member = `${org}:${jobId}`
const [leases, expiries] = ['leases', 'expiries'].map((each) => `${prefix}:${each}:{${crc32(member) % 16}}`)
const statuses = ['queued', 'running', 'completed', 'failed', 'cancelled', 'interrupted']
const TIMEOUT_MS = 1000
const HEARTBEAT_MS = Math.min(1000, leaseMs / 3)

function crc32(text) {
  let crc = -1
  for (const byte of Buffer.from(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return (crc ^ -1) >>> 0
}

// The store: one connection, one command at a time.

class Refused extends Error {}

class Store {
  #socket = null
  #buffer = Buffer.alloc(0)
  #waiting = null
  #turn = Promise.resolve()
  #scripts = new Map()

  // What to do while the store refuses a call that it may take later, as it does when its memory is full.
  meanwhile = async () => {}

  // Repeats the very same call until it is answered with a word.
  async script(verb, keys, ...args) {
    for (;;) {
      try {
        return await this.once(verb, keys, ...args)
      } catch (error) {
        if (/^(WRONGTYPE|ERR user_script)/.test(error.message)) throw error
        if (error instanceof Refused) await this.meanwhile()
        await sleep(50)
      }
    }
  }

  async once(verb, keys, ...args) {
    const { source, sha1 } = this.#script(verb)
    try {
      return await this.command('EVALSHA', sha1, keys.length, ...keys, ...args)
    } catch (error) {
      if (!error.message.startsWith('NOSCRIPT')) throw error
      return this.command('EVAL', source, keys.length, ...keys, ...args)
    }
  }

  command(...words) {
    const answered = this.#turn.then(() => this.#send(words.map(String)))
    this.#turn = answered.catch(() => {})
    return answered
  }

  close() {
    this.#socket?.destroy()
  }

  #script(verb) {
    if (!this.#scripts.has(verb)) {
      const source = readFileSync(`${env.WORKER_LUA}/${verb}.lua`, 'utf8')
      this.#scripts.set(verb, { source, sha1: createHash('sha1').update(source).digest('hex') })
    }
    return this.#scripts.get(verb)
  }

  #send(words) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#broken(new Error('timeout')), TIMEOUT_MS)
      this.#waiting = (error, answer) => {
        clearTimeout(late)
        this.#waiting = null
        error ? reject(error) : resolve(answer)
      }
      if (!this.#socket) this.#connect()
      const packed = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')
      this.#socket.write(`*${words.length}\r\n${packed}`)
    })
  }

  #connect() {
    const { hostname, port } = new URL(env.WORKER_STORE)
    const socket = createConnection({ host: hostname, port: Number(port), noDelay: true })
    this.#socket = socket
    this.#buffer = Buffer.alloc(0)
    const broken = (error) => socket === this.#socket && this.#broken(error ?? new Error('closed'))
    socket.on('error', broken).on('close', () => broken())
    socket.on('data', (data) => {
      this.#buffer = Buffer.concat([this.#buffer, data])
      const read = parse(this.#buffer, 0)
      if (!read) return
      this.#buffer = this.#buffer.subarray(read.end)
      this.#waiting?.(read.value instanceof Refused ? read.value : null, read.value)
    })
  }

  // An answer may still come to a call that timed out: never read it as the answer to the next one.
  #broken(error) {
    this.#socket?.destroy()
    this.#socket = null
    this.#waiting?.(error)
  }
}

function parse(buffer, at) {
  const line = buffer.indexOf('\r\n', at)
  if (line < 0) return null
  const [type, text] = [String.fromCharCode(buffer[at]), buffer.toString('utf8', at + 1, line)]
  if (type === '+') return { value: text, end: line + 2 }
  if (type === '-') return { value: new Refused(text), end: line + 2 }
  if (type === ':') return { value: Number(text), end: line + 2 }
  const size = Number(text)
  if (size < 0) return { value: null, end: line + 2 }
  if (type === '$') {
    const end = line + 2 + size
    return buffer.length < end + 2 ? null : { value: buffer.toString('utf8', line + 2, end), end: end + 2 }
  }
  const values = []
  let end = line + 2
  for (let n = 0; n < size; n++) {
    const read = parse(buffer, end)
    if (!read) return null
    values.push(read.value)
    end = read.end
  }
  return { value: values, end }
}

const store = new Store()
const index = (kind, status) => `${prefix}:index:{${org}}:${kind}:${status}`

async function tidy(kind, status) {
  const gone = status === 'running' ? ['queued'] : statuses.filter((each) => each !== status)
  for (const each of gone) await store.command('ZREM', index(kind, each), jobId).catch(() => {})
}

// Takes a step: places the job first where the script asks for it, and tidies afterwards.
// `last` are arguments of the script after the status in whose index the job is.
async function take(verb, args, place = null, last = []) {
  for (;;) {
    if (place) await store.script('place', [index(place.kind, place.status)], jobId, place.createdAt)
    const [word, ...rest] = await store.script(verb, jobKeys, ...args, place?.status ?? '', ...last)
    if (word === 'PLACE') {
      place = { status: rest[0], kind: rest[1], createdAt: rest[2] }
      continue
    }
    if (place && ['OK', 'SETTLED'].includes(word)) await tidy(place.kind, place.status)
    return [word, ...rest]
  }
}

const fields = (flat) => Object.fromEntries(flat.flatMap((name, n) => (n % 2 ? [] : [[name, flat[n + 1]]])))

// Creates the job, or finds it: entered in both indexes first, so that no crash leaves a job without an entry.
async function create({ kind, totalItems, metadata, takeoverMs }) {
  const content = [totalItems ?? '', JSON.stringify(metadata), takeoverMs, digest(kind, totalItems, metadata, takeoverMs)]
  for (let tries = 0; tries < 3; tries++) {
    await store.script('track', [expiries], member, 600000, 'GT')
    const [, createdAt] = await store.script('enter', [index(kind, 'queued')], jobId)
    const [word, ...rest] = await store.script('create', jobKeys, org, jobId, kind, ...content, retentionMs, createdAt, 300000)
    if (word === 'STALE') {
      await store.script('forget', statuses.map((each) => index(kind, each)), jobId, 300000)
      continue
    }
    if (word === 'INVALID') break
    const [status, itsKind, itsCreatedAt] = rest
    const found = word === 'TAKEN' ? { status, kind: itsKind, createdAt: itsCreatedAt } : fields(rest[0])
    if (found.kind !== kind) await store.command('ZREM', index(kind, 'queued'), jobId).catch(() => {})
    else if (found.status !== 'queued') await tidy(kind, found.status)
    else if (found.createdAt !== createdAt) await store.script('place', [index(kind, 'queued')], jobId, found.createdAt)
    return word === 'TAKEN' ? stop(1, 'TAKEN') : undefined
  }
  stop(1, 'the job cannot be created')
}

async function claim(token) {
  for (;;) {
    await store.script('track', [leases], member, leaseMs, 'LT')
    const [word, rest] = await take('claim', [token, leaseMs, graceMs, retentionMs], null, [worker])
    if (word === 'OK') return fields(rest)
    if (word !== 'HELD') return stop(word === 'ENDED' ? 0 : 1, `${word} ${rest ?? ''}`)
    if (rest > 0) await sleep(Math.min(rest, 200))
    else if ((await take('settle', [graceMs, retentionMs]))[0] === 'SUSPECT') await sleep(100)
  }
}

function stop(code, reason) {
  console.error(reason)
  store.close()
  process.exit(code)
}

// The run: what is counted and not reported yet, and what control wants.

const run = { fence: 0, token: '', seq: 0, wanted: 'run', paused: false, heardAt: 0, terminated: false, saidPaused: false }
const nothing = () => ({ ok: 0, rows: [], total: '', checkpoint: '', kept: [0, 0] })
let counted = nothing()

function count(line, number) {
  if (line === 'ok') counted.ok += 1
  else counted.rows.push(JSON.stringify({ externalId: `T-${number}`, code: 'VALIDATION_ERROR', message: `line ${number}` }))
}

function commit(checkpoint) {
  Object.assign(counted, { checkpoint, kept: [counted.ok, counted.rows.length] })
}

let reporting = Promise.resolve()
function report() {
  reporting = reporting.then(reportOnce)
  return reporting
}

async function reportOnce() {
  const batch = counted
  const content = batch.ok + batch.rows.length > 0 || batch.total !== '' || batch.checkpoint !== ''
  const due = Date.now() - run.heardAt >= HEARTBEAT_MS || (run.paused && !run.saidPaused)
  if (!content && !due) return
  counted = nothing()
  const seq = run.seq + (content ? 1 : 0)
  const [word, ...rest] = await store.script('report', jobKeys, ...args(seq, batch))
  if (word === 'OK' || word === 'DUPLICATE') {
    Object.assign(run, { seq, wanted: rest[1], heardAt: Date.now(), saidPaused: run.paused })
  } else if (word === 'GAP' || word === 'EMPTY') {
    await finish('failed', '', 'REPORTS_LOST', 'the store has lost reports')
    stop(3, `${word} ${rest}`)
  } else stop(2, `${word} ${rest}`)
}

function args(seq, batch) {
  const head = [run.fence, run.token, seq, leaseMs, retentionMs, 1000000]
  const body = [batch.ok, batch.total, batch.checkpoint, ...batch.kept, 0, run.paused ? 1 : 0]
  return [...head, ...body, batch.rows.length, ...batch.rows]
}

// Keeps the lease while a call is refused. GAP says that an earlier try has arrived after all: it is repeated anyway.
async function keepAlive() {
  if (Date.now() - run.heardAt < HEARTBEAT_MS) return
  const [word, ...rest] = await store.once('report', jobKeys, ...args(run.seq, nothing())).catch(() => [])
  if (word === 'DUPLICATE') Object.assign(run, { wanted: rest[1], heardAt: Date.now() })
}

async function finish(status, seq, code = '', message = '') {
  const failure = code && JSON.stringify({ code, message })
  const place = status === 'interrupted' ? null : { status, kind: run.kind, createdAt: run.createdAt }
  return take('finish', [run.fence, run.token, status, message, failure, retentionMs, seq], place)
}

async function flush() {
  clearInterval(run.timer)
  await report()
}

async function main() {
  run.token = randomBytes(8).toString('hex')
  process.on('SIGTERM', () => (run.terminated = true))
  if (env.WORKER_CREATE) await create(JSON.parse(env.WORKER_CREATE))
  const claimed = await claim(run.token)
  Object.assign(run, { fence: claimed.fence, seq: Number(claimed.seq), kind: claimed.kind, createdAt: claimed.createdAt })
  run.wanted = claimed.batchCancelRequested ? 'cancel' : claimed.batchPauseRequested ? 'pause' : 'run'
  run.heardAt = Date.now()
  store.meanwhile = keepAlive
  const start = JSON.parse(claimed.checkpoint ?? '0')
  counted.total = lines.length
  run.timer = setInterval(report, 100)
  for (let number = start + 1; number <= lines.length; number++) {
    while (run.wanted === 'pause' && !run.terminated) {
      run.paused = true
      await report()
      await sleep(100)
    }
    run.paused = false
    if (run.terminated || run.wanted === 'cancel') break
    await sleep(rowMs)
    if (lines[number - 1] === 'abort') {
      await flush()
      await finish('failed', run.seq, 'INVALID_ENTITY_REFERENCES', `line ${number}`)
      return stop(1, 'aborted')
    }
    count(lines[number - 1], number)
    if (number % every === 0 || number === lines.length) commit(number)
  }
  await flush()
  const early = run.terminated ? 'interrupted' : run.wanted === 'cancel' ? 'cancelled' : 'completed'
  const [word, status] = await finish(early, early === 'interrupted' ? '' : run.seq)
  stop(word === 'OK' || word === 'RELEASED' ? 0 : 2, `${word} ${status ?? ''}`)
}

main()
