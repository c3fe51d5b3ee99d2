// An import over HTTP, with a client that is generated from the OpenAPI document. Prints what it has seen, as JSON.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type Job = components["schemas"]["Job"];

const [, , baseUrl = "", key = "", jobId = ""] = process.argv;
const as = (secret: string) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${secret}` } });
const api = as(key);
const at = { params: { path: { jobId } } };

// The answer of a call, which must be none of an error.
const good = <T>({ data, error }: { data?: T; error?: components["schemas"]["ErrorResponse"] }): T => {
  if (data === undefined) throw new Error(error ? `${error.error.code}: ${error.error.message}` : "no answer");
  return data;
};
const flags = ({ metadata }: Job): boolean[] => [
  metadata.batchPauseRequested ?? false,
  metadata.batchPaused ?? false,
  metadata.batchCancelRequested ?? false,
  metadata.batchAwaitingWorker ?? false,
];

const made = await api.POST("/batch-import/jobs", {
  body: { kind: "transaction_batch", jobId, totalItems: 3, metadata: { fileName: "november.csv" } },
});
const created = good(made).job;
await api.POST("/batch-import/jobs", { body: { kind: "entity_automatic" } });

const { run } = good(await api.POST("/batch-import/jobs/{jobId}/runs", { ...at, body: { token: "0123456789abcdef" } }));
const path = { jobId, runId: run.runId };
const reported = good(
  await api.POST("/batch-import/jobs/{jobId}/runs/{runId}/reports", {
    params: { path },
    body: {
      seq: 1,
      succeeded: 2,
      failures: [{ externalId: "T-7", code: "VALIDATION_ERROR", message: "no amount" }],
      checkpoint: { line: 3 },
    },
  }),
);
const asked = good(
  await api.POST("/batch-import/jobs/{jobId}/control", { ...at, body: { kind: "transaction_batch", action: "pause" } }),
);
const heartbeat = good(
  await api.POST("/batch-import/jobs/{jobId}/runs/{runId}/reports", { params: { path }, body: { seq: 1, paused: true } }),
);
const refused = await api.POST("/batch-import/jobs/{jobId}/control", {
  ...at,
  body: { kind: "entity_automatic", action: "cancel" },
});
const ended = good(
  await api.POST("/batch-import/jobs/{jobId}/runs/{runId}/finish", {
    params: { path },
    body: { status: "completed", seq: 1 },
  }),
).job;

const poll = await api.GET("/batch-import/jobs/{jobId}", {
  params: { path: { jobId }, query: { include: ["progress", "parts"] } },
});
const polled = good(poll);
const again = await api.GET("/batch-import/jobs/{jobId}", {
  params: { path: { jobId }, header: { "If-None-Match": poll.response.headers.get("ETag") ?? "" } },
});
const failed = good(await api.GET("/batch-import/transaction-jobs/{jobId}/failures", at));
const csv = await api.GET("/batch-import/transaction-jobs/{jobId}/failures.csv", { ...at, parseAs: "text" });

const listed = async (query: NonNullable<paths["/batch-import/jobs"]["get"]["parameters"]["query"]>) =>
  good(await api.GET("/batch-import/jobs", { params: { query } }));
const both = await listed({
  kind: ["transaction_batch", "entity_automatic"],
  status: ["completed", "queued"],
  createdAfter: "2020-01-01T00:00:00Z",
  include: ["progress"],
});
const first = await listed({ limit: 1 });
const next = await listed({ limit: 1, ...(first.nextCursor ? { cursor: first.nextCursor } : {}) });
const byId = await listed({ ids: [jobId, "none"] });

// A split job: one that is created so, and one that is split later.
const splitAt = { params: { path: { jobId: `${jobId}-split` } } };
const laterAt = { params: { path: { jobId: `${jobId}-later` } } };
await api.POST("/batch-import/jobs", {
  body: { kind: "transaction_batch", jobId: splitAt.params.path.jobId, takeoverSeconds: 60, parts: 2 },
});
await api.POST("/batch-import/jobs", { body: { kind: "transaction_batch", jobId: laterAt.params.path.jobId } });
const splitLater = good(await api.POST("/batch-import/jobs/{jobId}/parts", { ...laterAt, body: { parts: 3 } }));
const splitOtherwise = await api.POST("/batch-import/jobs/{jobId}/parts", { ...laterAt, body: { parts: 4 } });
const ofPart: (number | null)[] = [];
let halfway: components["schemas"]["Part"][] = [];
for (const part of [2, 1]) {
  const body = { token: `part-${String(part).padStart(11, "0")}`, part };
  const claimed = good(await api.POST("/batch-import/jobs/{jobId}/runs", { ...splitAt, body })).run;
  const at = { params: { path: { ...splitAt.params.path, runId: claimed.runId } } };
  await api.POST("/batch-import/jobs/{jobId}/runs/{runId}/reports", {
    ...at,
    body: { seq: 1, succeeded: part, totalItems: part },
  });
  ofPart.push(claimed.part);
  if (part === 2) {
    const query = { include: ["parts" as const] };
    const read = await api.GET("/batch-import/jobs/{jobId}", { params: { ...splitAt.params, query } });
    halfway = good(read).parts ?? [];
  }
  await api.POST("/batch-import/jobs/{jobId}/runs/{runId}/finish", { ...at, body: { status: "completed", seq: 1 } });
}
const events = good(await api.GET("/batch-import/jobs/{jobId}/events", { ...splitAt, parseAs: "text" }));

const { ticket } = good(await api.POST("/batch-import/tickets", { body: { jobId, seconds: 60 } }));
const seen = good(await as(ticket).GET("/batch-import/jobs/{jobId}", at));
const forbidden = await as(ticket).POST("/batch-import/jobs", { body: { kind: "transaction_batch" } });
const unknown = await api.GET("/batch-import/jobs/{jobId}", { params: { path: { jobId: "none" } } });
const wrong = await api.GET("/batch-import/jobs", { params: { query: { limit: 1000 } } });

console.log(
  JSON.stringify({
    made: [made.response.status, created.status, created.metadata["fileName"]],
    run: [run.control, reported.run.checkpoint, heartbeat.run.control],
    flags: [flags(created), flags(asked.job)],
    ended: [ended.status, ended.succeeded, ended.failed, ended.totalItems],
    polled: [polled.job.status, polled.job.progress?.secondsLeft, polled.parts],
    again: again.response.status,
    split: [splitLater.job.status, ofPart],
    parts: halfway.map((part) => [part.part, part.status, part.totalItems, part.succeeded]),
    events: events.split("\n").filter((line) => line.startsWith("event")),
    failures: failed.failures.map((row) => [row.externalId, row.code, row.message]),
    csv: csv.data,
    both: both.jobs.map((job) => job.kind).sort(),
    pages: [first.jobs.length, next.jobs.length, next.nextCursor],
    byId: [byId.jobs.map((job) => job.jobId), byId.notFound, byId.nextCursor === undefined],
    ticket: seen.job.jobId,
    errors: [refused, splitOtherwise, forbidden, unknown, wrong].map(({ response, error }) => [response.status, error?.error.code]),
    details: wrong.error?.error.details,
  }),
);
