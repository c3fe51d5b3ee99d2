// <batch-status job="…" ticket="…">: the progress of one job, for anybody's page (docs/pages.md).
//
// Attributes: `job`, `ticket`, and `base`, where the service is if this file comes from elsewhere. Set `ticket` anew
// when it has ended. Events: `batch-status` with the job as its `detail` at each change, `batch-status-refused` when
// the ticket has ended or there is no such job. Colours and font are CSS variables, `--batch-status-…`.

import { Api, BASE } from "./api.js";
import { makeBar } from "./bar.js";
import { el, say } from "./dom.js";
import { completion, describe, followJob, isOver, nameOf, pace } from "./job-state.js";
import { share } from "./format.js";

const STYLE = `
:host { display: block; font: var(--batch-status-font, 15px/1.4 system-ui, sans-serif); color: var(--batch-status-text, inherit); }
:host([hidden]) { display: none; }
.line { display: flex; flex-wrap: wrap; gap: .1em .8em; align-items: baseline; }
.name { font-weight: 600; overflow-wrap: anywhere; flex: 1 1 auto; }
.percent { font-variant-numeric: tabular-nums; font-weight: 600; }
.note { opacity: .8; font-size: .92em; }
.bar { height: var(--batch-status-height, 8px); margin: .4em 0; border-radius: 99px; overflow: hidden;
  background: var(--batch-status-track, color-mix(in srgb, currentColor 14%, transparent)); }
svg { display: block; width: 100%; height: 100%; }
rect { transition: width .4s, x .4s; }
.succeeded { fill: var(--batch-status-good, #1a9d63); }
.skipped { fill: var(--batch-status-skipped, #8b95a7); }
.failed { fill: var(--batch-status-bad, #d5404a); }
.runner { display: none; transform-box: fill-box; fill: var(--batch-status-accent, #3352d6); }
.bar.unknown .runner { display: inline; animation: run 1.6s ease-in-out infinite alternate; }
:host(:is([data-state="queued"], [data-state="paused"], [data-state="awaiting"], [data-state="dead"])) .bar.unknown .runner { display: none; }
@keyframes run { to { transform: translateX(233%); } }
@media (prefers-reduced-motion: reduce) { rect, .bar.unknown .runner { transition: none; animation: none; } }
`;

class BatchStatus extends HTMLElement {
  static observedAttributes = ["job", "ticket", "base"];

  #over = null;
  #parts = null;
  #starting = false;

  connectedCallback() {
    if (!this.#parts) this.#make();
    this.#start();
  }

  disconnectedCallback() {
    this.#over?.abort();
  }

  attributeChangedCallback() {
    if (this.isConnected && this.#parts) this.#start();
  }

  #make() {
    const bar = makeBar("Progress");
    const [name, percent] = ["name", "percent"].map((each) => el("span", { class: each, part: each }));
    const [note, pace] = [
      el("span", { class: "note", part: "note", role: "status" }),
      el("span", { class: "note", part: "pace" }),
    ];
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    bar.element.setAttribute("part", "bar");
    root.append(
      el("div", { class: "line" }, name, percent),
      bar.element,
      el("div", { class: "line" }, note, pace),
    );
    this.#parts = { bar, name, percent, note, pace };
  }

  /** Start to follow; attributes that are set together start it once. */
  #start() {
    this.#over?.abort();
    if (this.#starting) return;
    this.#starting = true;
    queueMicrotask(() => {
      this.#starting = false;
      const jobId = this.getAttribute("job");
      if (!this.isConnected || !jobId) return;
      const over = (this.#over = new AbortController());
      const base = this.hasAttribute("base")
        ? new URL(`${this.getAttribute("base").replace(/\/+$/, "")}/`, location.href)
        : BASE;
      const api = new Api(this.getAttribute("ticket"), base);
      followJob(
        api,
        jobId,
        {
          job: (job) => this.#show(job, api.now()),
          trouble: (error) => say(this.#parts.note, `${error.message} Trying again…`),
          refused: (error) => {
            say(
              this.#parts.note,
              error.status === 404 ? "There is no such import." : "This import cannot be shown any more.",
            );
            this.dispatchEvent(
              new CustomEvent("batch-status-refused", { detail: { status: error.status, code: error.code } }),
            );
          },
        },
        over.signal,
      );
    });
  }

  #show(job, now) {
    const words = describe(job, now);
    const { percent, text } = completion(job);
    const { bar, name, percent: figure, note, pace: speed } = this.#parts;
    this.dataset.state = words.state;
    say(name, nameOf(job));
    say(figure, percent === null ? "" : share(percent));
    say(
      note,
      isOver(job) || words.tone === "warn" || words.state === "paused"
        ? words.headline
        : `${words.label}: ${text}`,
    );
    say(speed, pace(job, now).join(" · "));
    bar.update(job, words.label);
    this.dispatchEvent(new CustomEvent("batch-status", { detail: job }));
  }
}

customElements.define("batch-status", BatchStatus);
