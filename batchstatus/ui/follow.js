// Follows something that changes: by a stream of events, or by reads that wait where a server has no events.
// Nothing is asked while the tab is hidden. Trouble is borne with growing pauses; refusals end it.

import { ApiError } from "./api.js";

const SILENCE_MS = 40_000; // a stream has a comment every 15 s
const LONGEST_PAUSE_MS = 15_000;
const SHORT_MS = 300; // a server that ends each turn at once is not asked in a loop

/**
 * Run `turn` again and again until it returns true, is refused, or `signal` aborts.
 *
 * `turn(signal)` gets a signal that also aborts when the tab is hidden. `on.trouble(error)` is called before each
 * pause, `on.fine()` by the turn itself, `on.refused(error)` at the end of all tries.
 */
export async function keepOn(turn, on, signal) {
  let failed = 0;
  const fine = () => {
    failed = 0;
  };
  while (!signal.aborted) {
    await untilVisible(signal);
    const shown = new AbortController();
    const stop = () => (signal.aborted || document.hidden) && shown.abort();
    document.addEventListener("visibilitychange", stop);
    signal.addEventListener("abort", stop);
    const started = performance.now();
    try {
      if (await turn(shown.signal, fine)) return;
      if (performance.now() - started < SHORT_MS) await pause(SHORT_MS, shown.signal);
    } catch (error) {
      if (shown.signal.aborted) continue;
      if (!(error instanceof ApiError)) throw error;
      if (error.final) return void on.refused(error);
      on.trouble(error);
      await pause(Math.max(error.retryAfter * 1000, Math.min(LONGEST_PAUSE_MS, 500 * 2 ** failed++)), signal);
    } finally {
      document.removeEventListener("visibilitychange", stop);
      signal.removeEventListener("abort", stop);
    }
  }
}

/**
 * Call `onEvent({event, id, data})` for each event of a stream. Returns when it ends, false if there is nothing to
 * hear any more; ApiError if it breaks, or is silent for too long.
 */
export async function stream(api, path, { headers = {}, signal, onOpen }, onEvent) {
  const gone = new AbortController();
  const giveUp = () => gone.abort();
  let timer = setTimeout(giveUp, SILENCE_MS);
  const received = async (promise) => {
    try {
      return await promise;
    } catch (error) {
      if (signal.aborted || error instanceof ApiError) throw error;
      throw new ApiError(0, "NO_ANSWER", "The connection is lost.");
    }
  };
  addEventListener("offline", giveUp);
  try {
    const either = AbortSignal.any([signal, gone.signal]);
    const asked = { headers: { Accept: "text/event-stream", ...headers }, signal: either, limit: 0 };
    const response = await received(api.fetch(path, asked));
    if (response.status === 204) return false;
    onOpen?.();
    let text = "";
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let piece = await received(reader.read()); !piece.done; piece = await received(reader.read())) {
      clearTimeout(timer);
      timer = setTimeout(giveUp, SILENCE_MS);
      const events = (text + decoder.decode(piece.value, { stream: true })).split(/\r?\n\r?\n/);
      text = events.pop();
      for (const event of events.map(parsed)) if (event.data) onEvent(event);
    }
    return true;
  } finally {
    clearTimeout(timer);
    removeEventListener("offline", giveUp);
    gone.abort();
  }
}

function parsed(text) {
  const found = { event: "message", id: null, data: "" };
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf(":");
    const name = line.slice(0, at);
    if (at > 0 && name in found)
      found[name] = (name === "data" ? found.data : "") + line.slice(at + 1).replace(/^ /, "");
  }
  return found;
}

/** Resolves after `ms` (with jitter), or as soon as the browser is online again, or `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms * (0.75 + Math.random() / 2));
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

function untilVisible(signal) {
  return new Promise((resolve) => {
    if (!document.hidden || signal.aborted) return void resolve();
    const done = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    signal.addEventListener("abort", done);
  });
}
