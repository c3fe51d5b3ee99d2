// Imports a CSV of transactions as a job of batchstatus, over HTTP, without dependencies (Node 20 or newer):
//
//   BATCHSTATUS_URL=unix:/run/batchstatus.sock BATCHSTATUS_API_KEY=… \
//     node import.mjs transactions.csv --job november-1 --out imported.jsonl
//
// The header has external_id (or externalId), which names the row, and amount; other columns are kept as they are.
// Killed and started again, it goes on at the last checkpoint, as would any other worker that counts rows.

import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { rowsOf } from './csv.mjs'
import { Run } from './run.mjs'
import { Service } from './service.mjs'

const { values: asked, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    job: { type: 'string' },
    out: { type: 'string', default: 'imported.jsonl' },
    batch: { type: 'string', default: '100' },
    lease: { type: 'string', default: '30' },
    rate: { type: 'string', default: '0' }, // rows per second, to have something to see; 0: as fast as it goes
  },
})
const [file] = positionals
const { BATCHSTATUS_URL: url, BATCHSTATUS_API_KEY: key } = process.env
if (!file || !asked.job || !url || !key) {
  console.error('usage: BATCHSTATUS_URL=… BATCHSTATUS_API_KEY=… node import.mjs FILE --job JOB')
  process.exit(2)
}

// What names a row: the cell of external_id or externalId, undefined if the header has neither.
const idOf = (row) => row.external_id ?? row.externalId

function checkHeader(row) {
  if (idOf(row) !== undefined && row.amount !== undefined) return
  throw new Error(`${file} needs the columns external_id (or externalId) and amount; it has ${Object.keys(row).join()}`)
}

// Your import of one row. After a kill the rows since the last checkpoint come again, so write by a key of the
// row's: here the last line of an id counts. Throws Rejected for a row that cannot be imported.
class Rejected extends Error {}

function importRow(row) {
  if (!/^-?\d+(\.\d+)?$/.test(row.amount)) throw new Rejected(`amount ${JSON.stringify(row.amount)} is no number`)
  return JSON.stringify(row)
}

let stopping = false
process.on('SIGTERM', () => (stopping = true)) // gives the job back, for another worker to go on at once

async function importAll(run) {
  let done = run.checkpoint ?? 0
  let [lines, failures] = [[], []]

  // What a checkpoint covers is written before the checkpoint is reported.
  async function commit(totalItems) {
    if (lines.length) appendFileSync(asked.out, `${lines.join('\n')}\n`)
    await run.report({ succeeded: lines.length, failures, checkpoint: done, ...totalItems })
    ;[lines, failures] = [[], []]
  }

  let number = 0
  for await (const row of rowsOf(file)) {
    if (++number === 1) checkHeader(row)
    if (number <= done) continue
    try {
      lines.push(importRow(row))
    } catch (error) {
      if (!(error instanceof Rejected)) throw error
      failures.push({ externalId: idOf(row), code: 'VALIDATION_ERROR', message: error.message })
    }
    done = number
    if (Number(asked.rate)) await sleep(1000 / Number(asked.rate))
    if (lines.length + failures.length < Number(asked.batch)) continue
    await commit()
    if (stopping) return 'released'
    if (!(await run.goesOn())) return 'cancelled'
  }
  await commit({ totalItems: number })
  return 'completed'
}

const service = new Service(url, key)
const { job } = await service.post('', { kind: 'transaction_batch', jobId: asked.job, takeoverSeconds: 3600 })
const run = await Run.claim(service, job.jobId, { leaseSeconds: Number(asked.lease) })
let status, reasons
try {
  status = (await run.goesOn()) ? await importAll(run) : 'cancelled'
} catch (error) {
  console.error(error)
  status = error.code === 'REPORTS_LOST' ? 'released' : 'failed'
  if (status === 'failed') reasons = { workerError: String(error).slice(0, 1000) }
}
try {
  const ended = await run.finish(status, reasons)
  console.log(`${ended.jobId} ${ended.status}: ${ended.succeeded} succeeded, ${ended.failed} failed`)
  process.exitCode = ended.status === 'completed' ? 0 : 1
} catch (error) {
  console.error(error.code === 'LEASE_LOST' ? 'another worker has the job, or it has ended' : error)
  process.exitCode = 1
}
process.exit()
