// The page of one job.

import { ApiError, jobPath } from "./api.js";
import { makeBar } from "./bar.js";
import { el, find, say } from "./dom.js";
import { makeRows } from "./failures.js";
import { ago, count, moment, share } from "./format.js";
import { completion, describe, doneRows, followJob, isOver, nameOf, pace } from "./job-state.js";
import { connection, showCaller, signIn } from "./session.js";
import { kindLabel } from "./kinds.js";
import { followParts } from "./parts.js";

const jobId = decodeURIComponent(location.pathname.split("/").pop());
const bar = makeBar("Rows that are through");
find("bar").replaceWith(bar.element);

let job = null;
let api = null;
let startedAt = null;
let showRows = () => {};
let showParts = () => {};
let mayControl = false;

const ask = signIn((found, who) => {
  api = found;
  showCaller(who);
  const over = new AbortController();
  const kinds = new Map(who.kinds.map((kind) => [kind.name, kind]));
  showParts = followParts(api, jobId, over.signal);
  followJob(
    api,
    jobId,
    {
      live: () => connection("live", "Live"),
      trouble: (error) => connection("trouble", `${error.message} Trying again…`),
      refused: (error) => {
        over.abort();
        if (error.status === 401) ask("This key or ticket has ended. Sign in again to go on.");
        else showMissing(error);
      },
      job: (now) => {
        if (job === null && kinds.has(now.kind)) {
          showRows = makeRows(api, kinds.get(now.kind), over.signal);
          mayControl = kinds.get(now.kind).controls;
        }
        show(now);
      },
    },
    over.signal,
  );
  setInterval(() => job && draw(), 1000);
});

function showMissing(error) {
  const missing = error.status === 404;
  connection("idle", "");
  document.body.classList.remove("signed-in");
  find("missing").hidden = false;
  find("missing").replaceChildren(
    el("h1", {}, missing ? "There is no such import" : "This import cannot be shown"),
    el(
      "p",
      {},
      missing
        ? `None of your imports has the id ${jobId}. It may have been removed when its time was up, or it belongs to somebody else.`
        : error.message,
    ),
    el("p", {}, el("a", { href: "../" }, "All imports")),
  );
}

function show(now) {
  job = now;
  startedAt = job.progress?.startedAt ?? startedAt;
  if (isOver(job)) connection("over", "Final");
  draw();
  showParts(job);
  showRows(job);
}

/** Draw all of it; every second too, for what is told relative to now. */
function draw() {
  const now = api.now();
  const words = describe(job, now);
  const { percent, text } = completion(job);
  document.title = `${percent === null || isOver(job) ? words.label : share(percent)} · ${nameOf(job)}`;
  document.body.dataset.state = words.state;
  say(find("name"), nameOf(job));
  say(find("about"), `${kindLabel(job.kind)} · ${job.jobId}`);
  find("status").dataset.tone = words.tone;
  say(find("status"), words.label);
  const soFar = percent === null && doneRows(job) > 0;
  say(find("percent"), soFar ? count(doneRows(job)) : percent === null ? "" : share(percent));
  say(find("done"), soFar ? (isOver(job) ? "rows" : "rows so far") : text);
  say(find("pace"), pace(job, now, true).join(" · "));
  bar.element.dataset.state = words.state;
  bar.update(job, words.label);
  find("note").dataset.tone = words.tone;
  say(find("headline"), words.headline);
  say(find("advice"), words.advice);
  drawReason();
  drawCounters();
  drawTimeline(now);
  drawControls(words.state);
  drawPairs(find("metadata"), Object.entries(job.metadata));
  find("details").hidden = Object.keys(job.metadata).length === 0;
}

function drawReason() {
  const { code, details } = job.jobFailure ?? {};
  const pairs = [
    ["Reason", code],
    ["Worker", job.workerError],
    ["More", details && JSON.stringify(details)],
  ];
  const known = pairs.filter(([, value]) => value && value !== job.jobFailure?.message);
  find("reason").hidden = known.length === 0;
  drawPairs(find("reason"), known);
}

function drawPairs(list, pairs) {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const drawn = JSON.stringify(pairs);
  if (list.dataset.drawn === drawn) return; // what is selected stays selected
  list.dataset.drawn = drawn;
  list.replaceChildren(...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, text(value))]));
}

function drawCounters() {
  const left = job.totalItems === null ? "–" : count(Math.max(0, job.totalItems - doneRows(job)));
  const tiles = [
    ["Succeeded", count(job.succeeded), "succeeded"],
    ["Failed", count(job.failed), "failed"],
    ["Skipped", count(job.skipped), "skipped"],
    ["Left", left, "left"],
  ];
  if (!find("counters").children.length) {
    find("counters").append(
      ...tiles.map(([name, , kind]) => el("div", { class: kind }, el("dt", {}, name), el("dd"))),
    );
  }
  tiles.forEach(([, value, kind], n) => {
    say(find("counters").children[n].lastChild, value);
    find("counters").children[n].classList.toggle("none", value === "0" && kind !== "succeeded");
  });
}

function drawTimeline(now) {
  const steps = [
    ["Created", job.createdAt],
    ["Started", startedAt],
    ["Last heartbeat", job.heartbeatAt],
    [isOver(job) ? describe(job, now).label : "Ended", job.completedAt],
  ];
  const list = find("timeline");
  if (!list.children.length)
    list.append(
      ...steps.map(() => el("li", {}, el("span", { class: "step" }), el("time"), el("span", { class: "ago" }))),
    );
  steps.forEach(([name, at], n) => {
    const [step, time, since] = list.children[n].children;
    list.children[n].classList.toggle("open", !at);
    list.children[n].hidden = !at && (isOver(job) || name === "Started");
    say(step, name);
    say(time, at ? moment(at) : name === "Ended" ? "not yet" : "none yet");
    if (at) time.setAttribute("datetime", at);
    say(since, at ? ago(at, now) : "");
  });
}

// Control

function drawControls(state) {
  const can = {
    pause: ["running", "silent"].includes(state),
    resume: ["paused", "pausing"].includes(state),
    cancel: !isOver(job) && state !== "cancelling",
  };
  for (const [action, offered] of Object.entries(can)) find(action).hidden = !offered;
  find("controls").hidden = !mayControl || isOver(job) || state === "cancelling";
}

async function control(action) {
  const buttons = [...find("controls").children];
  for (const each of buttons) each.disabled = true;
  try {
    const body = { kind: job.kind, action };
    const answer = await api.json(jobPath(jobId, "/control"), { method: "POST", body });
    say(find("control-problem"), "");
    show({ ...job, ...answer.job });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(
      find("control-problem"),
      error.code === "JOB_ALREADY_TERMINAL" ? "It has ended meanwhile." : error.message,
    );
    if (error.status === 403) find("controls").hidden = !(mayControl = false);
  } finally {
    for (const each of buttons) each.disabled = false;
  }
}

find("pause").addEventListener("click", () => control("pause"));
find("resume").addEventListener("click", () => control("resume"));
find("cancel").addEventListener("click", () => find("ask").showModal());
find("ask-no").addEventListener("click", () => find("ask").close());
find("ask-yes").addEventListener("click", () => {
  find("ask").close();
  control("cancel");
});
