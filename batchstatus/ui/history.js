// The page of all jobs: newest first, filtered, page by page, live.

import { errorIn, withoutStreams } from "./api.js";
import { makeBar } from "./bar.js";
import { el, find, say } from "./dom.js";
import { keepOn, pause, stream } from "./follow.js";
import { ago, count } from "./format.js";
import { followHeartbeats } from "./heartbeats.js";
import { completion, describe, nameOf, pace } from "./job-state.js";
import { kindLabel } from "./kinds.js";
import { connection, showCaller, signIn } from "./session.js";

const STATUSES = ["queued", "running", "completed", "failed", "interrupted", "cancelled"];
const LIMIT = 20;
const EVERY_MS = 3_000;
const SOON_MS = 400;

const rows = new Map(); // jobId → {element, update}
let api = null;
let shown = [];
let nextCursor = null;
let following = new AbortController();

// What is asked for stands in the address, so that it can be sent to somebody and found again.

const asked = () => new URLSearchParams(location.search);

function go(changes) {
  const query = asked();
  if (!("cursor" in changes)) query.delete("cursor");
  for (const [name, value] of Object.entries(changes)) value ? query.set(name, value) : query.delete(name);
  history.pushState(null, "", query.size ? `?${query}` : location.pathname);
  drawFilters();
  follow();
}

function queryOf() {
  const given = asked();
  const query = new URLSearchParams({ limit: LIMIT, include: "progress" });
  for (const name of ["status", "kind", "cursor"]) if (given.get(name)) query.set(name, given.get(name));
  const [from, to] = ["from", "to"].map((name) => new Date(`${given.get(name)}T00:00:00`));
  if (!Number.isNaN(+from)) query.set("createdAfter", new Date(from - 1).toISOString());
  if (!Number.isNaN(+to)) query.set("createdBefore", new Date(to.setDate(to.getDate() + 1)).toISOString());
  return query;
}

// The list

async function refresh(signal) {
  const page = await api.json(`batch-import/jobs?${queryOf()}`, { signal });
  shown = page.jobs;
  nextCursor = page.nextCursor;
  draw();
}

function draw() {
  const now = api.now();
  const here = new Set(shown.map((job) => job.jobId));
  for (const id of rows.keys()) if (!here.has(id)) rows.delete(id);
  const elements = shown.map((job) => {
    if (!rows.has(job.jobId)) rows.set(job.jobId, makeRow(job));
    rows.get(job.jobId).update(job, now);
    return rows.get(job.jobId).element;
  });
  const list = find("jobs");
  // Moving an element takes its focus away: only what has changed is moved.
  elements.forEach((each, n) => list.children[n] !== each && list.insertBefore(each, list.children[n] ?? null));
  while (list.children.length > elements.length) list.lastChild.remove();
  find("older").hidden = nextCursor === null;
  find("newest").hidden = !asked().get("cursor");
  find("paging").hidden = find("older").hidden && find("newest").hidden;
  drawEmpty();
}

function drawEmpty() {
  const filtered = [...asked().keys()].some((name) => name !== "cursor");
  find("empty").hidden = shown.length > 0;
  const [title, advice] =
    nextCursor !== null
      ? ["Nothing on this page", "Go on to older imports."]
      : filtered
        ? ["No import matches", "Try other filters, or clear them."]
        : asked().get("cursor")
          ? ["No older imports", "These were all."]
          : ["No imports yet", "As soon as one is created, it shows up here by itself."];
  find("empty").replaceChildren(el("h2", {}, title), el("p", {}, advice));
}

function makeRow(first) {
  const bar = makeBar(`Progress of ${nameOf(first)}`);
  const [name, about, pill, done, failed, left] = ["name", "about", "pill", "done", "bad", "left"].map((each) =>
    el("span", { class: each }),
  );
  const link = el(
    "a",
    { href: `jobs/${encodeURIComponent(first.jobId)}` },
    el("span", { class: "what" }, name, about),
    pill,
    el("span", { class: "how" }, bar.element, el("span", { class: "text" }, done, failed, left)),
  );

  function update(job, now) {
    const words = describe(job, now);
    say(name, nameOf(job));
    say(about, `${kindLabel(job.kind)} · ${ago(job.createdAt, now)}`);
    pill.dataset.tone = words.tone;
    say(pill, words.label);
    bar.element.dataset.state = words.state;
    bar.update(job, words.label);
    say(done, completion(job).text);
    say(failed, job.failed ? `${count(job.failed)} failed` : "");
    say(left, pace(job, now).at(-1) ?? "");
  }

  return { element: el("li", {}, link), update };
}

// Live

function follow() {
  following.abort();
  following = new AbortController();
  const { signal } = following;
  let streams = true;
  let timer = null;
  const soon = (shownSignal) => {
    clearTimeout(timer);
    // Trouble is told by the stream, which has it too.
    timer = setTimeout(() => refresh(shownSignal).catch(() => {}), SOON_MS);
  };

  async function turn(shownSignal, fine) {
    await refresh(shownSignal);
    fine();
    connection("live", "Live");
    if (!streams) return pause(EVERY_MS, shownSignal).then(() => false);
    try {
      await stream(api, "batch-import/events", { signal: shownSignal }, ({ event, data }) => {
        const body = JSON.parse(data);
        if (event === "error") throw errorIn(body);
        if (event !== "job") return;
        const { job } = body;
        const at = shown.findIndex((each) => each.jobId === job.jobId);
        if (at < 0 || shown[at].status !== job.status) soon(shownSignal);
        if (at >= 0) {
          shown[at] = job;
          draw();
        }
      });
    } catch (error) {
      if (!withoutStreams(error)) throw error;
      streams = false;
    }
    return false;
  }

  followHeartbeats(api, () => shown, refresh, signal);
  keepOn(
    turn,
    {
      trouble: (error) => connection("trouble", `${error.message} Trying again…`),
      refused: (error) => {
        if (error.status === 401) ask("This key or ticket has ended. Sign in again to go on.");
        else if (error.code === "INVALID_REQUEST" && location.search)
          go(Object.fromEntries([...asked().keys()].map((name) => [name, ""])));
        else connection("trouble", error.message);
      },
    },
    signal,
  );
}

// Filters

function makeFilters(kinds) {
  const chips = document.querySelector(".chips");
  chips.append(
    ...STATUSES.map((status) =>
      el(
        "button",
        {
          type: "button",
          "aria-pressed": "false",
          "data-status": status,
          onclick: () => toggle(status),
        },
        kindLabel(status),
      ),
    ),
  );
  const form = find("filters");
  form.elements.kind.append(...kinds.map(({ name }) => el("option", { value: name }, kindLabel(name))));
  for (const name of ["kind", "from", "to"])
    form.elements[name].addEventListener("change", (event) => go({ [name]: event.target.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  find("clear").addEventListener("click", () => go({ status: "", kind: "", from: "", to: "" }));
  find("newest").addEventListener("click", () => go({ cursor: "" }));
  find("older").addEventListener("click", () => {
    go({ cursor: nextCursor });
    scrollTo(0, 0);
  });
  addEventListener("popstate", () => {
    drawFilters();
    follow();
  });
}

function toggle(status) {
  const chosen = new Set((asked().get("status") ?? "").split(",").filter(Boolean));
  chosen.has(status) ? chosen.delete(status) : chosen.add(status);
  go({ status: STATUSES.filter((each) => chosen.has(each)).join(",") });
}

function drawFilters() {
  const given = asked();
  const chosen = (given.get("status") ?? "").split(",");
  for (const chip of document.querySelectorAll(".chips button"))
    chip.setAttribute("aria-pressed", chosen.includes(chip.dataset.status));
  for (const name of ["kind", "from", "to"]) find("filters").elements[name].value = given.get(name) ?? "";
  find("clear").hidden = !["status", "kind", "from", "to"].some((name) => given.get(name));
}

const ask = signIn((found, who) => {
  api = found;
  if (who.caller.jobId) return void location.replace(`jobs/${encodeURIComponent(who.caller.jobId)}`);
  showCaller(who);
  makeFilters(who.kinds);
  drawFilters();
  follow();
  setInterval(draw, 1000);
});
