// A run of a job: claims it, reports its rows, obeys control, ends it.

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Refused } from './service.mjs'

// What both threads see at any time, also while this one is busy.
export const CONTROL = 0 // what is asked of the worker, as a number in CONTROLS
export const PAUSED = 1 // 1 while the worker waits because a pause is wanted
export const CONTROLS = ['run', 'pause', 'cancel', 'lost']

const PAUSE_MS = 100
const HEARTBEAT_MS = 1_000 // also how soon a pause or cancel is heard of

export class Run {
  #shared = new Int32Array(new SharedArrayBuffer(8))
  #waiting = new Map() // number of a message to the reporter -> its promise
  #messages = 0
  #trouble = null
  #reporter

  // Claims the job. While another worker has it, waits: that one may be dead, its lease not yet over.
  static async claim(service, jobId, { leaseSeconds = 30 } = {}) {
    const token = randomBytes(16).toString('hex')
    const worker = `${hostname()}:${process.pid}`.replace(/[^!-~]/g, '?').slice(-100)
    for (;;) {
      try {
        const { run, job } = await service.post(`/${jobId}/runs`, { token, leaseSeconds, worker })
        return new Run(service, run, job, Math.min(HEARTBEAT_MS, (leaseSeconds * 1000) / 3))
      } catch (error) {
        if (error.code !== 'LEASE_HELD') throw error
        await sleep(error.retryAfterMs)
      }
    }
  }

  constructor(service, run, job, heartbeatMs) {
    this.job = job
    this.checkpoint = run.checkpoint // null on a job that nobody ran before
    this.#shared[CONTROL] = CONTROLS.indexOf(run.control)
    const path = `/${job.jobId}/runs/${run.runId}`
    const workerData = { service: service.given, path, seq: run.seq, heartbeatMs, shared: this.#shared }
    this.#reporter = new Worker(new URL('./reporter.mjs', import.meta.url), { workerData })
    this.#reporter.on('message', ({ number, said, error }) => {
      const { resolve, reject } = this.#waiting.get(number)
      this.#waiting.delete(number)
      error ? reject(error.code ? new Refused(error) : new Error(error.message)) : resolve(said)
    })
    this.#reporter.on('error', (error) => this.#fail(error))
  }

  // What is asked of this worker: run, pause, cancel, or lost once another has the job. Waits for nothing.
  get control() {
    return CONTROLS[Atomics.load(this.#shared, CONTROL)]
  }

  // Waits while a pause is wanted. Returns false once this worker is to stop.
  async goesOn() {
    while (this.control === 'pause') {
      Atomics.store(this.#shared, PAUSED, 1)
      await sleep(PAUSE_MS)
    }
    Atomics.store(this.#shared, PAUSED, 0)
    return this.control === 'run'
  }

  // Counts rows: `{succeeded, failures, skips, totalItems, checkpoint}`, at most 1,000 failures and skips.
  report(content) {
    return this.#ask({ report: content })
  }

  // Ends the job as `completed`, `failed` or `cancelled`, or gives it to another worker: `released`.
  async finish(status, reasons = {}) {
    try {
      return (await this.#ask({ finish: { status, ...reasons } })).job
    } finally {
      await this.#reporter.terminate()
    }
  }

  #ask(message) {
    if (this.#trouble) return Promise.reject(this.#trouble)
    const number = ++this.#messages
    this.#reporter.postMessage({ number, ...message })
    return new Promise((resolve, reject) => this.#waiting.set(number, { resolve, reject }))
  }

  #fail(error) {
    this.#trouble = error
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}
