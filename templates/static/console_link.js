// The way to the server: single calls, files, and the stream of everything that concerns this agent, with replay.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const { happen, synchronise, words } = await part("kit");
export const { Problem, readEvents, sendFile } = await import(
  document.querySelector('link[rel=modulepreload][href*="/wire.js"]').href
);

/** What to say about a failure. */
export const told = (error) => {
  if (error instanceof Problem && error.status) return [error.title, error.message].filter(Boolean).join(words.colon);
  return words.not_reached;
};

// -- calls ------------------------------------------------------------------------------------------------------------

const away = (status) => status > 501 && status < 505; // a proxy answers while the server is gone

/** JSON from the server, null when it has nothing to say. Raises Problem; with status 0 the server was not reached. */
export async function call(method, path, body) {
  const url = new URL(path.startsWith("/desk") ? path : `/api/v1${path}`, location.origin);
  url.searchParams.set("lang", words.language);
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), 30000);
  const options = { method, signal: patience.signal, headers: {}, cache: "no-store" };
  if (body instanceof FormData) options.body = body;
  else if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  let found;
  try {
    answer = await fetch(url, options);
    if (path.startsWith("/desk")) found = await answer.text();
    else found = answer.status === 204 ? null : await answer.json().catch(() => null);
  } catch {
    reach(false);
    throw new Problem(0);
  } finally {
    clearTimeout(timer);
  }
  if (away(answer.status)) reach(false);
  if (answer.status === 401) signIn();
  if (!answer.ok) throw new Problem(away(answer.status) ? 0 : answer.status, found);
  return found;
}

function signIn() {
  location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Brings a file to a conversation; `progress` hears the share that is there. */
export const upload = (conversation, file, progress) =>
  sendFile(`/api/v1/conversations/${conversation}/attachments?lang=${words.language}`, {}, file, progress);

// -- the stream -------------------------------------------------------------------------------------------------------

let last = ""; // the id of the last event heard
let reached = true;
let lostAt = null;
let hangUp = () => {};
let wake = () => {};
const nap = (ms) => new Promise((done) => setTimeout((wake = done), ms));

/** Whether the server answered last time. */
export const isReached = () => reached;

function reach(yes) {
  if (yes === reached) return;
  reached = yes;
  if (!yes) {
    lostAt ??= Date.now();
    hangUp();
  }
  happen("reachable", { yes, away: yes ? (Date.now() - lostAt) / 1000 : 0, since: lostAt });
  if (yes) lostAt = null;
}

async function listen() {
  const url = `/api/v1/agents/me/events?beat=answered&lang=${words.language}`;
  await readEvents(url, last ? { "Last-Event-ID": last } : {}, {
    patience: 25000, // a beat comes every 8 s
    hanging: (end) => (hangUp = end),
    opened() {
      reach(true);
      happen("connected");
    },
    hear(name, data, id) {
      last = id || last;
      if (!data) return;
      if (name === "beat") {
        synchronise(data.at);
        call("PUT", "/agents/me/beat").catch(() => {});
      } else {
        happen(name, data);
      }
    },
  }).catch((error) => {
    if (error.status === 401) signIn();
    throw error;
  });
}

/** Follows the stream for ever; what was missed comes first when it is back. */
export async function follow() {
  for (let failures = 0; ; ) {
    const since = Date.now();
    await listen().catch(() => {});
    failures = Date.now() - since > 20000 ? 0 : failures + 1;
    if (failures > 1) reach(false);
    await nap(Math.min(10000, 300 * 2 ** failures));
  }
}

addEventListener("offline", () => reach(false));
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => !document.hidden && wake());
