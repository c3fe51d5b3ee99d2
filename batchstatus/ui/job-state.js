// A job that is kept up to date, and what is going on with it, in plain words.

import { bodyOf, errorIn, jobPath, withoutStreams } from "./api.js";
import { count, duration } from "./format.js";
import { keepOn, pause, stream } from "./follow.js";
import { followHeartbeats } from "./heartbeats.js";

const TERMINAL = new Set(["completed", "failed", "cancelled", "interrupted"]);
const WAIT_S = 1;
const QUIET_MS = 10_000;
const MOST_STREAMS = 4; // over HTTP/1.1 a browser opens 6 connections to a service; the others wait for ever

let listening = 0;

export const isOver = (job) => TERMINAL.has(job.status);
export const doneRows = (job) => job.succeeded + job.failed + job.skipped;
export const nameOf = (job) => {
  const name = job.metadata?.fileName;
  return typeof name === "string" && name.trim() ? name : job.jobId;
};

/** Follow one job until its end: `on.job(job)`, `on.trouble(error)`, `on.refused(error)`. */
export function followJob(api, jobId, on, signal) {
  let tag = null;
  let told = null;
  let streams = true;

  const show = (job, id, fine) => {
    fine();
    tag = id ?? tag;
    told = job;
    on.job(job);
    return isOver(job);
  };

  /** Tells of a heartbeat, and of nothing else: events do that. */
  async function readHeartbeat(shown) {
    const { status, heartbeatAt, leaseExpiresAt } = (await api.json(jobPath(jobId), { signal: shown })).job;
    if (status === told.status && heartbeatAt > told.heartbeatAt)
      on.job((told = { ...told, heartbeatAt, leaseExpiresAt }));
  }

  async function listen(shown, fine) {
    let over = false;
    const headers = tag ? { "Last-Event-ID": tag } : {};
    listening += 1;
    try {
      const more = await stream(
        api,
        jobPath(jobId, "/events"),
        { headers, signal: shown, onOpen: on.live },
        (event) => {
          const body = JSON.parse(event.data);
          if (event.event === "error") throw errorIn(body);
          if (event.event === "job") over = show(body.job, event.id, fine);
        },
      );
      return over || !more;
    } finally {
      listening -= 1;
    }
  }

  async function wait(shown, fine) {
    const headers = tag ? { "If-None-Match": tag, Prefer: `wait=${WAIT_S}` } : {};
    const started = performance.now();
    const response = await api.fetch(jobPath(jobId, "?include=progress"), { headers, signal: shown });
    on.live?.();
    fine();
    if (response.status !== 304 && show((await bodyOf(response, shown)).job, response.headers.get("ETag"), fine))
      return true;
    // A server that cannot hold the read answers at once; then the browser waits itself.
    const left = WAIT_S * 1000 - (performance.now() - started);
    if (headers.Prefer && left > 100) await pause(left, shown);
    return false;
  }

  async function turn(shown, fine) {
    try {
      return await (streams && listening < MOST_STREAMS ? listen : wait)(shown, fine);
    } catch (error) {
      if (streams && withoutStreams(error)) streams = false;
      else throw error;
      return false;
    }
  }

  followHeartbeats(api, () => (told ? [told] : []), readHeartbeat, signal);
  return keepOn(turn, on, signal);
}

/**
 * What is going on: `{state, label, tone, headline, advice}`. `state` is a word for style sheets and tests, `tone`
 * one of busy, good, bad, warn, calm. `now` is the service's time in ms.
 */
export function describe(job, now) {
  const state = stateOf(job, now);
  const [label, tone, headline, advice] = (WORDS[state] ?? WORDS.unknown)(job, now);
  return { state, label, tone, headline, advice };
}

function stateOf(job, now) {
  const { metadata: flags, status } = job;
  if (status === "completed") return doneRows(job) === 0 ? "empty" : job.failed ? "partly" : "completed";
  if (isOver(job) || status === "queued") return status;
  if (status !== "running") return "unknown";
  if (flags.batchCancelRequested) return "cancelling";
  if (flags.batchAwaitingWorker) return "awaiting";
  // Of a split job these are the first lease to end, and the last heartbeat of all parts.
  const [leaseEnd, heartbeat] = [job.leaseExpiresAt, job.heartbeatAt].map(Date.parse);
  if (leaseEnd < now && heartbeat <= leaseEnd) return "dead";
  if (flags.batchPaused) return "paused";
  if (flags.batchPauseRequested) return "pausing";
  if (now - heartbeat > QUIET_MS) return "silent";
  return "running";
}

const rows = (n) => `${count(n)} ${n === 1 ? "row" : "rows"}`;
const far = (job) => (job.totalItems ? `${count(doneRows(job))} of ${rows(job.totalItems)}` : rows(doneRows(job)));
const silence = (job, now) => duration((now - Date.parse(job.heartbeatAt)) / 1000);
const stays = "What was imported until then stays.";

const WORDS = {
  queued: (job, now) => [
    "Queued",
    "calm",
    "Waiting for a worker.",
    now - Date.parse(job.createdAt) > 60_000
      ? `It has waited for ${duration((now - Date.parse(job.createdAt)) / 1000)}. If others wait too, see that a worker runs.`
      : "It starts as soon as a worker is free.",
  ],
  running: (job) => [
    "Running",
    "busy",
    "The import is running.",
    job.totalItems === null
      ? "The number of rows is not known yet."
      : "You may close this page; the import goes on.",
  ],
  // What changes by the second is in the advice: the headline is a live region.
  silent: (job, now) => [
    "Running",
    "warn",
    "No sign of life from the worker.",
    `It has been silent for ${silence(job, now)}: busy, or cut off. If it stays so, the job is handed on or ends by itself.`,
  ],
  dead: (job, now) => [
    "Worker silent",
    "warn",
    "The worker has not been heard of.",
    `It has been silent for ${silence(job, now)}, and has probably died. In a few seconds this is decided: another worker ` +
      "takes over, or the job ends as interrupted.",
  ],
  awaiting: () => [
    "Waiting for a worker",
    "warn",
    "The worker died. Another one may take over where it stopped.",
    "There is nothing to do if your workers restart by themselves. Otherwise start one, or cancel.",
  ],
  pausing: () => ["Pausing", "calm", "Pausing.", "The worker stops after its current row."],
  paused: (job) => [
    "Paused",
    "calm",
    `Paused at ${far(job)}.`,
    "Resume to go on where it stopped. Nothing is lost.",
  ],
  cancelling: () => ["Cancelling", "warn", "Cancelling.", `The worker stops after its current row. ${stays}`],
  completed: (job) => [
    "Completed",
    "good",
    `Done: all ${rows(doneRows(job))} are through.`,
    job.skipped
      ? `${rows(job.skipped)} ${job.skipped === 1 ? "was" : "were"} skipped, which is no failure.`
      : "There is nothing left to do.",
  ],
  partly: (job) => [
    "Completed",
    "good",
    `Done, but ${rows(job.failed)} of ${count(doneRows(job))} failed.`,
    "The others are imported. Download the failed rows, mend them, and import that file.",
  ],
  empty: () => [
    "Completed",
    "good",
    "Done: there were no rows.",
    "If you expected some, look at the file: it may have a header only.",
  ],
  failed: (job) => [
    "Failed",
    "bad",
    job.jobFailure ? `The import failed: ${job.jobFailure.message}` : "The import failed.",
    doneRows(job)
      ? `It stopped after ${far(job)}. ${stays} Mend the cause, then import again.`
      : "No row was imported. Mend the cause, then import again.",
  ],
  cancelled: (job) => [
    "Cancelled",
    "calm",
    doneRows(job) ? `Cancelled after ${far(job)}.` : "Cancelled before it began.",
    doneRows(job) ? stays : "Nothing was imported.",
  ],
  interrupted: (job) => [
    "Interrupted",
    "bad",
    `The worker died after ${far(job)}, and none took over.`,
    "The rows reported until then are imported, the last ones perhaps without being counted. Import the file again to finish it.",
  ],
  unknown: (job) => [
    job.status,
    "calm",
    `The job is ${job.status}.`,
    "This page does not know more of that state.",
  ],
};

/** `{percent, text}` of a job; percent is null without a total: of one that stopped early, nobody knows how far it was. */
export function completion(job) {
  const done = doneRows(job);
  if (!done && !isOver(job) && job.totalItems === null) return { percent: null, text: "rows not counted yet" };
  if (!done && job.status === "completed") return { percent: 100, text: "no rows" };
  if (job.totalItems === null) return { percent: job.status === "completed" ? 100 : null, text: rows(done) };
  const percent = job.totalItems ? (100 * done) / job.totalItems : isOver(job) ? 100 : 0;
  return { percent: Math.min(100, percent), text: `${count(done)} of ${rows(job.totalItems)}` };
}

/**
 * How fast and how long: a list of short texts, without what is not known; `spread` adds between what and what. None
 * once the worker is not heard of: the pace is of its last heartbeat.
 */
export function pace(job, now, spread = false) {
  if (!["running", "pausing", "cancelling"].includes(stateOf(job, now))) return [];
  const {
    rowsPerSecond: rate,
    secondsLeft: left,
    secondsLeftLow: low,
    secondsLeftHigh: high,
  } = job.progress ?? {};
  const found = [];
  if (typeof rate === "number")
    found.push(`${count(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate))} rows/s`);
  if (typeof left === "number") {
    const between = spread && high - low > 5 ? ` (${duration(low)} to ${duration(high)})` : "";
    found.push(left < 1 ? "almost done" : `about ${duration(left)} left${between}`);
  }
  return found;
}
