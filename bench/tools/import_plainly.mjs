// The import of examples/node without any report: reads rows, judges them, writes them in batches of a hundred.

import { appendFileSync } from 'node:fs'
import { rowsOf } from '../../examples/node/csv.mjs'

const [file, out] = process.argv.slice(2)
let lines = []
const commit = () => {
  if (lines.length) appendFileSync(out, `${lines.join('\n')}\n`)
  lines = []
}
for await (const row of rowsOf(file)) {
  if (/^-?\d+(\.\d+)?$/.test(row.amount)) lines.push(JSON.stringify(row))
  if (lines.length === 100) commit()
}
commit()
