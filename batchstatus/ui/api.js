// The HTTP API (docs/http.md): requests with a key or ticket, errors as one class, and the service's clock.

/** Where the service is: one level above these files, below whatever prefix. */
export const BASE = new URL("..", import.meta.url);

/** An answer from 400 up, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(status, code, message, retryAfter = 0) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }

  /** True if asking again is of no use: who asks is refused, or there is no such thing. */
  get final() {
    return this.status >= 400 && this.status < 500 && ![408, 425, 429].includes(this.status);
  }
}

const LONGEST_MS = 20_000;

export class Api {
  #skew = 0;

  constructor(secret, base = BASE) {
    this.secret = secret;
    this.base = base;
  }

  /** The service's time in ms, as far as the browser may know it: within a second, else its own. */
  now() {
    return Date.now() + this.#skew;
  }

  /**
   * The response to a request; 304 and the statuses below 300 are fine, anything else is an ApiError. All of it must
   * be there within `limit` ms, 0 for as long as it takes.
   */
  async fetch(path, { headers = {}, signal, method = "GET", body, limit = LONGEST_MS } = {}) {
    const sent = new Headers(headers);
    if (this.secret) sent.set("Authorization", `Bearer ${this.secret}`);
    if (body !== undefined) sent.set("Content-Type", "application/json");
    const either = AbortSignal.any([signal, limit && AbortSignal.timeout(limit)].filter(Boolean));
    let response;
    try {
      response = await fetch(new URL(path, this.base), {
        method,
        signal: either,
        headers: sent,
        cache: "no-store",
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, "NO_ANSWER", "The service does not answer.");
    }
    this.#learnTime(response);
    if (response.ok || response.status === 304) return response;
    throw await errorOf(response);
  }

  /** The JSON of the answer to a request. */
  async json(path, options) {
    return bodyOf(await this.fetch(path, options), options?.signal);
  }

  #learnTime(response) {
    const skew = Date.parse(response.headers.get("Date") ?? "") - Date.now();
    if (!Number.isNaN(skew)) this.#skew = Math.abs(skew) > 2000 ? skew : 0;
  }
}

/** The JSON of a response; ApiError if it breaks off, or is none. */
export async function bodyOf(response, signal) {
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "BROKEN", "The answer broke off.");
  }
}

async function errorOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  try {
    const { code, message } = (await response.json()).error;
    return new ApiError(response.status, String(code), String(message), retryAfter);
  } catch {
    // A page that the service did not write, such as a proxy's, is no answer.
    return new ApiError(
      0,
      "NO_ANSWER",
      `Something answers ${response.status} in place of the service.`,
      retryAfter,
    );
  }
}

/** The error that ends a stream, out of its last event. */
export const errorIn = ({ error }) => {
  const status = { UNAUTHENTICATED: 401, FORBIDDEN: 403, JOB_NOT_FOUND: 404 }[error.code] ?? 503;
  return new ApiError(status, error.code, error.message, 1);
};

/** True if a server has no streams of events, or no room for one more: then the browser asks again and again. */
export const withoutStreams = ({ code }) =>
  ["NOT_FOUND", "METHOD_NOT_ALLOWED", "TOO_MANY_LISTENERS"].includes(code);

export const jobPath = (jobId, rest = "") => `batch-import/jobs/${encodeURIComponent(jobId)}${rest}`;
