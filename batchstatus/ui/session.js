// Who is signed in: a key or ticket for this tab, typed in or out of the address, which then no longer shows it.

import { Api, ApiError, BASE } from "./api.js";
import { el, find, say } from "./dom.js";

const NAME = `batchstatus ${BASE.pathname}`;
const SECRET = /^bs[kt]_[\w-]{43}$/;

/** Take a secret out of the address: `#ticket=…` or `#key=…`. */
function takeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const secret = given.get("ticket") ?? given.get("key");
  if (secret === null) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  sessionStorage.setItem(NAME, secret);
}

/**
 * Call `start(api, who)` once it is known who looks, `who` being the answer of `/batch-import/caller`. Without a
 * secret, the host's own login may do; else the form asks for one. Returns `signOut(why)`.
 */
export function signIn(start) {
  const form = find("sign-in");
  const input = find("secret");
  const problem = find("sign-in-problem");

  function ask(why) {
    sessionStorage.removeItem(NAME);
    document.body.classList.remove("waiting", "signed-in");
    form.hidden = false;
    say(problem, why);
    input.value = "";
    if (why) input.focus();
  }

  async function enter(secret) {
    const api = new Api(secret);
    try {
      const who = await api.json("batch-import/caller");
      if (secret) sessionStorage.setItem(NAME, secret);
      form.hidden = true;
      document.body.classList.remove("waiting");
      document.body.classList.add("signed-in");
      find("sign-out").hidden = !secret;
      start(api, who);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) ask(secret ? "This key or ticket is unknown, or its time is up." : "");
      else if (error.status === 403) ask("This key may not read imports.");
      else {
        document.body.classList.remove("waiting");
        form.hidden = false;
        say(problem, `${error.message} Try again in a moment.`);
        input.value = secret ?? "";
      }
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const secret = input.value.trim();
    if (SECRET.test(secret)) enter(secret);
    else say(problem, "A key begins with bsk_, a ticket with bst_; this is neither.");
  });
  find("sign-out").addEventListener("click", () => {
    sessionStorage.removeItem(NAME);
    location.reload();
  });
  addEventListener("hashchange", () => {
    takeFromAddress();
    if (sessionStorage.getItem(NAME)) location.reload();
  });
  takeFromAddress();
  enter(sessionStorage.getItem(NAME));
  return ask;
}

/** Show whether what is on the page is live: `live`, `trouble`, `over` or `idle`. */
export function connection(state, text) {
  const place = find("connection");
  place.dataset.state = state;
  say(place, text);
}

/** The head of a page says whose jobs these are. */
export function showCaller({ caller }) {
  find("whose").replaceChildren(
    el("span", { class: "org" }, caller.org),
    caller.ticket ? " · read-only ticket" : "",
  );
}
