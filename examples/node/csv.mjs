// Reads CSV as RFC 4180 has it: quotes, commas and line ends within quotes, doubled quotes.

import { createReadStream } from 'node:fs'

// Yields each record of a file as an array of its cells, the header first.
async function* records(file) {
  let [cells, cell, quoted, closed] = [[], '', false, false]
  for await (const piece of createReadStream(file, 'utf8')) {
    for (const letter of piece) {
      if (quoted && letter !== '"') cell += letter
      else if (letter === '"') {
        if (closed) cell += '"' // the second of two within quotes
        quoted = !quoted
        closed = !quoted
        continue
      } else if (letter === ',' || letter === '\n') {
        cells.push(letter === '\n' ? cell.replace(/\r$/, '') : cell)
        cell = ''
        if (letter === '\n') {
          yield cells
          cells = []
        }
      } else cell += letter
      closed = false
    }
  }
  if (cell || cells.length) yield [...cells, cell]
}

// Yields each row of a file as an object with the names of its header.
export async function* rowsOf(file) {
  let names
  for await (const cells of records(file)) {
    if (names) yield Object.fromEntries(names.map((name, place) => [name, cells[place] ?? '']))
    else names = cells.map((name) => name.replace(/^\uFEFF/, ''))
  }
}
