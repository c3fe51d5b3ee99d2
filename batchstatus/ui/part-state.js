// What is going on with the parts of a split job, in plain words.

import { count } from "./format.js";
import { completion, doneRows } from "./job-state.js";

/** Each state's words, in the order in which they are told. */
const STATES = {
  completed: "completed",
  running: "running",
  awaiting: "waiting for a worker",
  queued: "queued",
  failed: "failed",
  interrupted: "interrupted",
  cancelled: "cancelled",
};
const NAMED = 5;
const SILENT_MS = 5_000; // a heartbeat comes every second

const list = new Intl.ListFormat("en", { type: "conjunction" });

/** A word for style sheets: the part's status, or `awaiting`. `at` is when it was read (the service's time, ms). */
export function stateOf(part, at) {
  const alone = part.status === "running" && !(Date.parse(part.leaseExpiresAt) > at);
  return alone ? "awaiting" : part.status;
}

export const wordsOf = (state) => STATES[state] ?? state;

/** How far a part is: `{percent, text}`, as of a job. */
export const progressOf = (part) =>
  part.heartbeatAt || part.totalItems !== null ? completion(part) : { percent: 0, text: "" };

/** A part as one says it: `part 3: running, 120 of 500 rows, 2 failed`. */
export function nameOf(part, state) {
  const told = [wordsOf(state), progressOf(part).text, part.failed ? `${count(part.failed)} failed` : ""];
  return `part ${part.part}: ${told.filter(Boolean).join(", ")}`;
}

/** How many parts are in each state, `[state, number]`, as far as there are any. */
export function countsOf(states) {
  const counts = new Map(Object.keys(STATES).map((state) => [state, 0]));
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].filter(([, number]) => number);
}

/** `{tone, text}` of the parts that have come to grief; null where none has. */
export function troubleOf(parts, job, at) {
  const those = (state) => parts.filter((part) => stateOf(part, at) === state);
  const [failed, awaiting] = [those("failed"), those("awaiting")];
  const stopped = "The parts that had not ended stopped with it.";
  if (failed.length) return { tone: "bad", text: `${several(failed)} failed${after(failed)}. ${stopped}` };
  if (job.status === "interrupted")
    return { tone: "bad", text: `${leftBy(parts, job)}, and none took it over. ${stopped}` };
  if (!awaiting.length) return null;
  const [wait, workers] = awaiting.length > 1 ? ["wait", "their workers"] : ["waits", "its worker"];
  const text = `${several(awaiting)} ${wait} for another worker: ${workers} stopped${after(awaiting)}.`;
  return { tone: "warn", text };
}

/** Which part's worker was silent for longest, as far as that tells: others sent heartbeats until the end. */
function leftBy(parts, job) {
  const begun = parts.filter((part) => part.status === "interrupted" && part.heartbeatAt);
  const silence = (part) => Date.parse(job.completedAt) - Date.parse(part.heartbeatAt);
  const first = begun.toSorted((one, other) => silence(other) - silence(one))[0];
  if (!first || silence(first) < SILENT_MS) return "A worker left its part";
  return `The worker of part ${first.part} fell silent${after([first])}`;
}

function several(parts) {
  const named = parts.slice(0, NAMED).map((part) => String(part.part));
  if (parts.length > NAMED) named.push(`${count(parts.length - NAMED)} more`);
  return `${parts.length > 1 ? "Parts" : "Part"} ${list.format(named)}`;
}

const after = ([part, ...others]) => (others.length || !doneRows(part) ? "" : ` after ${completion(part).text}`);
