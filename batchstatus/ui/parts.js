// The parts of a split job: a row of small bars, and in words what has come to grief.

import { jobPath } from "./api.js";
import { el, find, say } from "./dom.js";
import { keepOn, pause } from "./follow.js";
import { ago, count, share } from "./format.js";
import { isOver } from "./job-state.js";
import { countsOf, nameOf, progressOf, stateOf, troubleOf, wordsOf } from "./part-state.js";

const EVERY_MS = 3_000;
const EACH_MS = 10; // of many parts the answer is long, and asked for less often
const LONG_MS = 86_400_000;
const FEW = 12; // so many have room for a text each
const SOME = 60;

const MARKS = {
  completed: "M-3 0 -1 2.2 3-2",
  awaiting: "M0-3.2V.8M0 2.6V3.2",
  failed: "M-2.5-2.5 2.5 2.5M2.5-2.5-2.5 2.5",
  interrupted: "M-2.5 2.5 2.5-2.5",
  cancelled: "M-2.5 0H2.5",
};

/**
 * Shows the parts of a job, if it has any. `update(job)` tells of each change of the job.
 *
 * They are read at once, every few seconds while the job is running, and at its end; a job that is not split is
 * asked about once more at most, as it begins to run.
 */
export function followParts(api, jobId, signal) {
  const view = makeView();
  let told = null; // the job's status as `update` has it, and as it was read with the parts
  let read = null;
  let changed = new AbortController();

  async function turn(shown, fine) {
    const before = told;
    changed = new AbortController();
    const { job, parts } = await api.json(jobPath(jobId, "?include=parts"), { signal: shown });
    fine();
    read = job.status;
    if (parts.length) view.show(parts, job, api.now());
    if (isOver(job) || (!parts.length && job.status !== "queued")) return true;
    const outrun = told !== before && told !== read;
    const ms = job.status === "queued" ? LONG_MS : Math.max(EVERY_MS, EACH_MS * parts.length);
    if (!outrun) await pause(ms, AbortSignal.any([shown, changed.signal]));
    return false;
  }

  // Trouble and refusals are told by the job's stream, which has them too.
  keepOn(turn, { trouble: () => {}, refused: () => {} }, signal);

  return function update(job) {
    told = job.status;
    if (read !== null && told !== read) changed.abort();
  };
}

function makeView() {
  const section = find("parts");
  const title = el("h2", { id: "parts-title" });
  const legend = el("ul", { class: "legend", "aria-label": "Parts by state" });
  const trouble = el("p", { class: "note", role: "status", hidden: true });
  const listbox = { role: "listbox", "aria-labelledby": "parts-title", "aria-orientation": "horizontal" };
  const bars = el("div", { class: "bars", ...listbox });
  const detail = el("p", { class: "hint" });
  section.replaceChildren(el("div", { class: "heading" }, title, legend), trouble, bars, detail);

  let shown = [];
  let readAt = 0;
  let chosen = 0;
  let pointedAt = null;

  function show(parts, job, at) {
    shown = parts;
    readAt = at;
    section.hidden = false;
    say(title, `${count(parts.length)} parts`);
    if (bars.children.length !== parts.length) makeBars(parts.length);
    const states = parts.map((part) => stateOf(part, at));
    parts.forEach((part, n) => drawBar(bars.children[n], part, states[n]));
    drawLegend(countsOf(states));
    const found = troubleOf(parts, job, at);
    trouble.hidden = !found;
    if (found) trouble.dataset.tone = found.tone;
    say(trouble, found?.text ?? "");
    tell();
  }

  function makeBars(many) {
    bars.dataset.size = many <= FEW ? "few" : many <= SOME ? "some" : "many";
    bars.replaceChildren(...Array.from({ length: many }, (_, n) => makeBar(n + 1, many <= FEW)));
    choose(0);
  }

  /** Says more of the part that is pointed at, or has the focus. */
  function tell() {
    const part = shown[pointedAt ?? (bars.contains(document.activeElement) ? chosen : -1)];
    if (!part) return say(detail, "Choose a part to see more of it.");
    const heard = part.heartbeatAt ? ` Last heartbeat ${ago(part.heartbeatAt, readAt)}.` : "";
    say(detail, `P${nameOf(part, stateOf(part, readAt)).slice(1)}.${heard}`);
  }

  // One tab stop, and arrow keys from there on.
  function choose(n) {
    bars.children[chosen]?.setAttribute("tabindex", "-1");
    bars.children[chosen]?.setAttribute("aria-selected", "false");
    chosen = n;
    bars.children[n].setAttribute("tabindex", "0");
    bars.children[n].setAttribute("aria-selected", "true");
  }

  function point(n) {
    pointedAt = n;
    tell();
  }

  const indexOf = (target) => [...bars.children].indexOf(target.closest("[role=option]"));
  bars.addEventListener("focusin", ({ target }) => {
    choose(indexOf(target));
    tell();
  });
  bars.addEventListener("focusout", tell);
  bars.addEventListener("pointerover", ({ target }) => point(target === bars ? null : indexOf(target)));
  bars.addEventListener("pointerleave", () => point(null));
  bars.addEventListener("keydown", (event) => {
    const row = inARow();
    const to = {
      ArrowLeft: chosen - 1,
      ArrowRight: chosen + 1,
      ArrowUp: chosen - row,
      ArrowDown: chosen + row,
      Home: 0,
      End: shown.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    bars.children[to]?.focus();
  });

  function inARow() {
    const [first, ...others] = bars.children;
    const wraps = others.findIndex((each) => each.offsetTop > first.offsetTop);
    return wraps < 0 ? shown.length : wraps + 1;
  }

  function drawLegend(counts) {
    const drawn = JSON.stringify(counts);
    if (legend.dataset.drawn === drawn) return;
    legend.dataset.drawn = drawn;
    const swatch = (state) => makeCell(state, state === "running" ? 50 : 0);
    const text = (state, n) => `${count(n)} ${wordsOf(state)}`;
    legend.replaceChildren(
      ...counts.map(([state, n]) => el("li", { "data-state": state }, swatch(state), text(state, n))),
    );
  }

  return { show };
}

/** The bar of a part, which `drawBar` fills; where there is room, its number and how far it is stand above it. */
function makeBar(number, withText) {
  const texts = [el("span", {}, `Part ${number}`), el("span")];
  const text = withText ? el("span", { class: "text", "aria-hidden": "true" }, texts) : null;
  return el("div", { role: "option", tabindex: "-1", "aria-selected": "false" }, text);
}

function drawBar(bar, part, state) {
  const name = nameOf(part, state);
  if (bar.getAttribute("aria-label") === name) return;
  bar.setAttribute("aria-label", name);
  bar.dataset.state = state;
  const { percent } = progressOf(part);
  bar.querySelector("svg")?.remove();
  bar.append(makeCell(state, percent));
  const text = bar.querySelector(".text");
  const [word] = wordsOf(state).split(" "); // "waiting" has to do
  if (text) say(text.lastChild, state === "running" && percent !== null ? share(percent) : word);
}

/** A small bar: filled as far as the part is, with a mark of its state, since not everybody sees colours. */
function makeCell(state, percent) {
  const width = state === "completed" ? 100 : (percent ?? 100);
  return el(
    "svg",
    { class: "cell", "aria-hidden": "true", focusable: "false" },
    el("rect", { class: percent === null ? "fill uncounted" : "fill", height: "100%", width: `${width}%` }),
    MARKS[state] && el("svg", { x: "50%", y: "50%", overflow: "visible" }, el("path", { d: MARKS[state] })),
  );
}
