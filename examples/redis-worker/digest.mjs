// The digest of a job's content, as Python writes it: docs/redis-protocol.md, "The digest".
//
// For metadata of texts, whole numbers up to 2^53, true, false and null. JavaScript does not know 1.0 from 1.

import { createHash } from 'node:crypto'

export function digest(kind, totalItems, metadata, takeoverMs) {
  const written = asJson([kind, totalItems, metadata, takeoverMs])
  return createHash('sha256').update(written, 'ascii').digest('hex').slice(0, 32)
}

function asJson(value) {
  if (typeof value === 'string') return text(value)
  if (Array.isArray(value)) return `[${value.map(asJson).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members = Object.keys(value).sort(byCodePoint)
    return `{${members.map((name) => `${text(name)}:${asJson(value[name])}`).join(',')}}`
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw new Error(`${value} is no whole number up to 2^53`)
  return JSON.stringify(value)
}

// JSON.stringify escapes what is below 0x20; DEL and all beyond ASCII follow here, each half of a surrogate pair alone.
function text(value) {
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, escaped)
}

// JavaScript sorts by UTF-16 units, which puts characters beyond U+FFFF before U+E000.
function byCodePoint(one, other) {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}
