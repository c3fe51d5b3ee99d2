// The thread that speaks to the service. The event loop of the importer may be busy for minutes: this one is not,
// so the lease stays alive. All requests of a run go through here, one at a time, so their numbers have no gap.

import { parentPort, workerData } from 'node:worker_threads'
import { CONTROL, CONTROLS, PAUSED } from './run.mjs'
import { Refused, Service } from './service.mjs'

const { path, heartbeatMs, shared } = workerData
const service = new Service(...workerData.service)
let { seq } = workerData

const messages = []
let wake = () => {}
parentPort.on('message', (message) => {
  messages.push(message)
  wake()
})

// Returns the next message, or undefined when it is time for a heartbeat.
async function next() {
  if (messages.length === 0) {
    let timer
    await new Promise((resolve) => {
      wake = resolve
      timer = setTimeout(resolve, heartbeatMs)
    })
    clearTimeout(timer)
  }
  return messages.shift()
}

async function report(content) {
  const { run } = await service.post(`${path}/reports`, { seq: seq + 1, ...content })
  seq = run.seq
  return run
}

// A report with the last number and nothing to count renews the lease, and hears of a pause or cancel.
async function heartbeat() {
  const paused = Atomics.load(shared, PAUSED) === 1
  return (await service.post(`${path}/reports`, { seq, paused })).run
}

function obey(control) {
  Atomics.store(shared, CONTROL, CONTROLS.indexOf(control))
}

async function serve({ number, report: content, finish }) {
  try {
    const said = content ? await report(content) : await service.post(`${path}/finish`, { seq, ...finish })
    if (content) obey(said.control)
    parentPort.postMessage({ number, said })
  } catch (error) {
    if (error.code === 'LEASE_LOST') obey('lost')
    const { code, message, details } = error
    parentPort.postMessage({ number, error: error instanceof Refused ? { code, message, details } : { message } })
  }
}

for (;;) {
  const message = await next()
  if (message) await serve(message)
  else {
    try {
      obey((await heartbeat()).control)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      if (error.code === 'LEASE_LOST') obey('lost') // any other refusal meets the next report, too
    }
  }
}
