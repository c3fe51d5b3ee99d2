// Heartbeats are no events: a page reads them now and then, or a slow or paused import would look dead.

import { keepOn, pause } from "./follow.js";

const EVERY_MS = 5_000;
const FRESH_MS = 2_500; // a worker sends one every second

/** Call `read(signal)` every few seconds while one of `jobs()` may have had a heartbeat that is not known here. */
export function followHeartbeats(api, jobs, read, signal) {
  async function turn(shown) {
    await pause(EVERY_MS, shown);
    if (jobs().some((job) => mayHaveBeaten(job, api.now()))) await read(shown);
    return false;
  }

  // Trouble and refusals are told by the stream of events, which has them too.
  keepOn(turn, { trouble: () => {}, refused: () => {} }, signal);
}

function mayHaveBeaten({ status, metadata, heartbeatAt }, now) {
  return status === "running" && !metadata.batchAwaitingWorker && now - Date.parse(heartbeatAt) > FRESH_MS;
}
