// Talks to the API: answers, problems, the token or session, live events.

import { h } from "./format.js";

const KEY = "vigie-token";
let asking = null;

export class ApiProblem extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `the server answered ${status}`);
    this.status = status;
  }
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, authorization: `Bearer ${token}` } : more;
}

// One dialog, however many requests were refused.
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const text = document.getElementById("token-text");
    document.getElementById("token-login").hidden = document.getElementById("account").hidden;
    text.value = "";
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, text.value.trim());
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined));
  const url = query.size ? `${path}?${query}` : path;
  for (;;) {
    const answer = await fetch(url, { headers: headers({ accept: "application/json" }), signal });
    if (answer.status === 401) {
      await askForToken();
      continue;
    }
    if (!answer.ok) throw new ApiProblem(answer.status, await answer.json().catch(() => null));
    return answer.json();
  }
}

// Who has logged in, where one can: the session itself is a cookie that no script reads.
export async function account(element) {
  if (element.hidden) return;
  const { name, csrf } = await get("/login/session");
  if (name === null) {
    element.replaceChildren(h("a", { href: "/login" }, "Log in"));
    return;
  }
  const button = h("button", { type: "button" }, "Log out");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await fetch("/logout", { method: "POST", headers: { "x-csrf-token": csrf } }).catch(() => null);
    location.reload();
  });
  element.replaceChildren(h("span", { title: name }, name), button);
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Server-sent events over fetch: EventSource cannot send a token. Reconnects for ever, and resumes after the last event.
export async function listen(parameters, { onevent, onstate }) {
  let last = null;
  for (let delay = 1000; ; delay = Math.min(delay * 2, 30e3)) {
    try {
      const query = new URLSearchParams(parameters);
      const resume = last ? { "last-event-id": last } : {};
      const answer = await fetch(`/v1/stream?${query}`, { headers: headers({ accept: "text/event-stream", ...resume }), cache: "no-store" });
      if (answer.status === 401) await askForToken();
      if (answer.ok) {
        onstate("live");
        delay = 1000;
        for await (const event of parse(answer.body)) {
          if (event.id) last = event.id;
          onevent(event);
        }
      }
    } catch (error) {
      if (!(error instanceof TypeError)) console.error(error);
    }
    onstate("away");
    await wait(delay * (0.75 + Math.random() / 2));
  }
}

async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split(/\r?\n\r?\n/);
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = { id: null, type: "message", data: "" };
      for (const line of block.split(/\r?\n/)) {
        const colon = line.indexOf(":");
        const [field, text] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
        if (field === "id") event.id = text;
        else if (field === "event") event.type = text;
        else if (field === "data") event.data += text;
      }
      if (event.data) yield event;
    }
  }
}
