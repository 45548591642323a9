// The way to the server: single calls, files, and the live stream of one conversation with everything that was missed.

const { Problem, readEvents, sendFile } = await import(
  document.querySelector('link[rel=modulepreload][href*="/wire.js"]').href
);
const api = "/api/v1/chat";
const embedded = document.body.classList.contains("embedded");
const { language } = JSON.parse(document.getElementById("words").textContent);

/** What the server said about a failure; the browser's own words are not for customers. */
export const told = (error) => (error instanceof Problem && error.message) || "";

let hear = {};

/** Whom to tell: messages(lines), conversation(state), typing(), reachable(yes). */
export function onNews(listeners) {
  hear = listeners;
}

// Storage may be forbidden (embedded, private browsing); the chat works without.
export const store = {
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(`greenline.${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null || value === "") localStorage.removeItem(`greenline.${key}`);
      else localStorage.setItem(`greenline.${key}`, JSON.stringify(value));
    } catch {
      /* nothing to do */
    }
  },
};

// -- calls ------------------------------------------------------------------------------------------------------------

// an embedded page may be refused its cookie, so it keeps the token itself
let token = embedded ? store.get("token") : null;

function addressed(path) {
  const url = new URL(path, location.origin);
  url.searchParams.set("lang", language);
  return [url, token ? { Authorization: `Bearer ${token}` } : {}];
}

/** JSON from the server; with a body it is a POST. Raises Problem, or whatever the browser has when it is not reached. */
export async function call(path, body) {
  const [url, headers] = addressed(path);
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), 30000);
  const options = { headers, signal: patience.signal };
  if (body) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  try {
    const answer = await fetch(url, options);
    const found = await answer.json().catch(() => null);
    if (!answer.ok || !found) throw new Problem(answer.status, found);
    reach(true);
    return found;
  } catch (error) {
    // 502-504: a proxy answers while the server is away
    if (!(error instanceof Problem) || (error.status > 501 && error.status < 505)) reach(false);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Tells whoever answers that the customer is writing; nobody misses it when it is lost. */
export const typing = () => call(`${api}/typing`, {}).catch(() => {});

/** Sends a message; repeating its client_id does no harm. */
export const post = (message) => call(`${api}/messages`, message);

/** Stores a file and gives its facts; `progress` hears the share that is sent. */
export function upload(file, progress) {
  const [url, headers] = addressed(`${api}/attachments`);
  return sendFile(url, headers, file, progress).catch((error) => {
    if (!error.status) reach(false);
    throw error;
  });
}

/** A picture that needs the token, where the cookie was refused: an address for it, or null. */
export async function fetchPicture(path) {
  const [url, headers] = addressed(path);
  if (!token) return null;
  const answer = await fetch(url, { headers });
  return answer.ok ? URL.createObjectURL(await answer.blob()) : null;
}

// -- the conversation -------------------------------------------------------------------------------------------------

let beginning = null;
let following = false;
let last = 0; // everything up to this line has been heard

/** Lines up to this one stood in the page already. */
export function startAfter(id) {
  last = id;
}

/** The conversation: begun or resumed once, and again after it was forgotten. */
export function session() {
  beginning ??= begin().catch((error) => {
    beginning = null;
    throw error;
  });
  return beginning;
}

/** The server does not know this conversation any more: the next session() begins anew. */
export function forget() {
  beginning = null;
}

async function begin() {
  if (!(embedded && token)) await enter();
  await catchUp().catch(async (error) => {
    if (error.status !== 401) throw error;
    await enter();
    return catchUp();
  });
  if (!following) follow();
}

async function enter() {
  token = null;
  ({ token } = await call(`${api}/sessions`, { language }));
  if (embedded) store.set("token", token);
}

function heard(messages) {
  for (const { id } of messages) last = Math.max(last, id);
  hear.messages(messages);
}

async function catchUp() {
  for (;;) {
    const { messages, conversation } = await call(`${api}/messages?after=${last}`);
    heard(messages);
    hear.conversation(conversation);
    if (messages.length < 200) return;
  }
}

let hangUp = () => {}; // ends the stream

/** Reads the live stream until it ends. */
async function listen() {
  const [url, headers] = addressed(`${api}/events`);
  headers["Last-Event-ID"] = String(last);
  await readEvents(url, headers, {
    patience: 40000, // the server says something every 15 s
    hanging: (end) => (hangUp = end),
    opened: () => reach(true),
    hear(name, data) {
      if (!data) return;
      if (name === "conversation") hear.conversation(data);
      else if (name === "typing") hear.typing();
      else heard([data]);
    },
  });
}

let wake = () => {}; // ends the nap early
const nap = (ms) => new Promise((done) => setTimeout((wake = done), ms));

/** Follows the conversation for ever: the stream, or a look every three seconds while there is none. */
async function follow() {
  following = true;
  const unless401 = (error) => error.status === 401 && forget();
  for (let failures = 0; ; ) {
    const since = Date.now();
    await listen().catch(unless401);
    failures = Date.now() - since > 20000 ? 0 : failures + 1;
    const until = Date.now() + Math.min(30000, 1000 * 2 ** failures);
    do {
      await nap(Math.min(3000, 500 * 2 ** failures));
      await (beginning ? catchUp() : session()).catch(unless401);
    } while (Date.now() < until);
  }
}

// -- the connection ---------------------------------------------------------------------------------------------------

let reached = true;

function reach(yes) {
  if (yes === reached || !following) return;
  reached = yes;
  if (!yes) hangUp(); // so that it is tried anew
  hear.reachable(yes);
}

/** Whether the server answered last time. */
export const isReached = () => reached;

addEventListener("offline", () => reach(false));
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => wake());
