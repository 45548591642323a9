// The customer's chat: sends messages, follows the live stream, keeps drafts. The page reads and posts without it.

const $ = (id) => document.getElementById(id);
const words = JSON.parse($("words").textContent);
const api = "/api/v1/chat";
const embedded = document.body.classList.contains("embedded");
const [view, lines, box, tray, notice] = ["transcript", "lines", "text", "tray", "notice"].map($);
const LARGEST = 20 * 1024 * 1024; // bytes of a file
const LONGEST = 20000; // characters of a message
const MOST = 10; // files of a message

let wake = () => {}; // ends the nap early
const nap = (ms) => new Promise((done) => setTimeout((wake = done), ms));
const cloned = (id) => $(id).content.firstElementChild.cloneNode(true);
const locale = words.language.replace("_", "-");
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(locale, { month: "long", day: "numeric", weekday: "long" });
const near = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

function uuid() {
  // crypto.randomUUID is missing on plain http
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// Storage may be forbidden (embedded, private browsing); the chat works without.
const store = {
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

// -- the server -------------------------------------------------------------------------------------------------------

class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || "");
    Object.assign(this, { status, title: body?.title });
  }
}

/** What the server said about a failure; the browser's own words are not for customers. */
const told = (error) => (error instanceof Problem && error.message) || "";

// an embedded page may be refused its cookie, so it keeps the token itself
let token = embedded ? store.get("token") : null;
let beginning = null;
let following = false;
let last = 0;
let handler = "bot";

function request(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const url = new URL(path, location.origin);
  url.searchParams.set("lang", words.language);
  return [url, headers];
}

async function call(path, body) {
  const [url, headers] = request(path);
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), 30000);
  try {
    if (body) headers["Content-Type"] = "application/json";
    const options = { method: body ? "POST" : "GET", headers, signal: patience.signal };
    const answer = await fetch(url, body ? { ...options, body: JSON.stringify(body) } : options);
    const found = await answer.json().catch(() => null);
    if (!answer.ok || !found) throw new Problem(answer.status, found);
    reachable(true);
    return found;
  } finally {
    clearTimeout(timer);
  }
}

/** The conversation: begun or resumed once, and again after `beginning` is cleared. */
function session() {
  beginning ??= begin().catch((error) => {
    beginning = null;
    throw error;
  });
  return beginning;
}

async function begin() {
  if (!(embedded && token)) await enter();
  await catchUp().catch(async (error) => {
    if (error.status !== 401) throw error;
    await enter();
    return catchUp();
  });
  $("trouble").hidden = true;
  if (!following) follow();
}

async function enter() {
  token = null;
  ({ token } = await call(`${api}/sessions`, { language: words.language }));
  if (embedded) store.set("token", token);
}

async function catchUp() {
  for (;;) {
    const { messages, conversation } = await call(`${api}/messages?after=${last}`);
    receive(messages);
    answering(conversation);
    if (messages.length < 200) return;
  }
}

/** Reads the live stream until it ends. fetch instead of EventSource, which cannot send the token. */
async function listen() {
  const [url, headers] = request(`${api}/events`);
  const patience = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => patience.abort(), 40000); // the server says something every 15 s
  };
  try {
    heard();
    headers["Last-Event-ID"] = String(last);
    const answer = await fetch(url, { headers, signal: patience.signal, cache: "no-store" });
    if (!answer.ok || !answer.body) throw new Problem(answer.status);
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let buffer = "";
    reachable(true);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      buffer += decoder.decode(value, { stream: true });
      const events = buffer.split(/\r?\n\r?\n/);
      buffer = events.pop();
      for (const event of events) {
        const field = (name) => new RegExp(`^${name}: ?(.*)$`, "m").exec(event)?.[1];
        if (!field("data")) continue;
        const data = JSON.parse(field("data"));
        if (field("event") === "conversation") answering(data);
        else receive([data]);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Follows the conversation for ever: the stream, or a look every three seconds while there is none. */
async function follow() {
  following = true;
  for (let failures = 0; ; ) {
    const since = Date.now();
    await listen().catch((error) => error.status === 401 && (beginning = null));
    failures = Date.now() - since > 20000 ? 0 : failures + 1;
    const until = Date.now() + Math.min(30000, 1000 * 2 ** failures);
    do {
      await nap(failures ? 3000 : 500);
      await (beginning ? catchUp() : session()).catch((error) => {
        if (error.status === 401) beginning = null;
        else reachable(false);
      });
    } while (Date.now() < until);
  }
}

/** Shows or hides that the connection is cut; what waited for it goes out. */
function reachable(yes) {
  const back = yes && !$("offline").hidden;
  $("offline").hidden = yes;
  if (!back) return;
  outbox.filter((item) => item.state === "failed").forEach(retry);
  flush();
}

// -- lines ------------------------------------------------------------------------------------------------------------

const spoken = { ...words.spoken };
let atEnd = true;

function write(place, name, text) {
  const found = place.querySelector(name);
  found.textContent = text;
  return found;
}

/** Text as blocks, list lines hanging: the same as the macro `said`. */
function tell(place, text) {
  const parts = text.split("\n").map((part) => {
    const [, dot, rest] = /^(•|\d{1,2}\.) (.*)$/.exec(part) || [];
    const block = cloned(dot ? "a-point" : "a-part");
    if (dot) write(block, "b", dot);
    block.append(dot ? rest : part);
    return block;
  });
  place.querySelector(".words").replaceChildren(...(text ? parts : []));
}

function fileElement(file) {
  const image = file.url && file.media_type.startsWith("image/");
  const element = cloned(image ? "a-picture" : "a-file");
  if (file.url) element.href = file.url;
  else element.removeAttribute("href");
  if (image) Object.assign(element.firstElementChild, { src: file.url, alt: file.name });
  else write(element, ".name", file.name);
  return element;
}

function lineElement(message) {
  const element = cloned(`line-${message.direction}`);
  const bubble = element.querySelector(".bubble");
  element.id = message.id ? `m${message.id}` : "";
  if (message.id) element.dataset.id = message.id;
  else element.removeAttribute("data-id");
  element.dataset.at = message.at;
  element.querySelector("time").dateTime = message.at;
  if (message.direction === "out" && message.by !== "bot") {
    write(bubble, ".by", message.by).classList.remove("unseen");
  }
  tell(bubble, message.text || (message.choice ? spoken[message.choice] || words.chosen : ""));
  for (const file of message.attachments || []) bubble.append(fileElement(file));
  if (message.location) {
    const { latitude, longitude } = message.location;
    const place = cloned("a-place");
    write(place, "span", `${words.place} ${latitude.toFixed(5)}, ${longitude.toFixed(5)}`);
    bubble.append(place);
  }
  for (const source of message.sources || []) {
    const cited = cloned("a-source");
    Object.assign(cited.dataset, { entry: source.entry, version: source.version });
    const article = source.article ? words.article + source.article : "";
    write(cited, ".cited", words.source.replace("{document}", () => source.document) + article);
    write(cited, "strong", source.title);
    bubble.append(cited);
  }
  const choices = (message.choices || []).map((choice) => {
    spoken[choice.id] = choice.label;
    return Object.assign(cloned("a-choice"), { value: choice.id, textContent: choice.label });
  });
  if (choices.length) element.querySelector(".choices").replaceChildren(...choices);
  else element.querySelector(".choices")?.remove();
  return element;
}

/** Writes the time of a line, and the day above it where a new one begins. */
function dress(line) {
  const at = new Date(line.dataset.at);
  const day = at.toDateString();
  line.dataset.day = day;
  line.querySelector("time").textContent = clock.format(at);
  line.querySelector(".day")?.remove();
  if (line.previousElementSibling?.dataset.day === day) return;
  const ago = Math.round((new Date(day) - new Date(new Date().toDateString())) / 86400000);
  const heading = document.createElement("p");
  heading.className = "day";
  heading.textContent = ago > -2 ? near.format(ago, "day") : date.format(at);
  line.prepend(heading);
}

/** Shows a line where its number belongs; lines still being sent stay last. */
function place(line) {
  const number = Number(line.dataset.id || Infinity);
  let before = lines.lastElementChild;
  while (before && Number(before.dataset.id || (number === Infinity ? 0 : Infinity)) > number) {
    before = before.previousElementSibling;
  }
  lines.insertBefore(line, before ? before.nextSibling : lines.firstChild);
  dress(line);
  if (line.nextElementSibling) dress(line.nextElementSibling);
  $("empty")?.remove();
}

function mark(line, icon, said) {
  line.querySelector(".fate use").setAttribute("href", `${words.icons}#${icon}`);
  write(line, ".fate .unseen", said);
}

/** Shows what the server says; each line once, whichever way it comes. */
function receive(messages) {
  let first = null;
  for (const message of messages) {
    last = Math.max(last, message.id);
    if ($(`m${message.id}`)) continue;
    const item = message.direction === "in" && outbox.find((one) => one.client_id === message.client_id);
    if (item) {
      settle(item, message);
      continue;
    }
    const line = lineElement(message);
    place(line);
    if (message.direction === "out") first ??= line;
  }
  if (!first) return;
  if (outbox.every((item) => item.state !== "sending")) $("typing").hidden = true;
  if (atEnd) reveal(first);
  else $("pill").hidden = false;
  if (embedded) parent.postMessage({ greenline: "message" }, "*");
}

function toEnd() {
  view.scrollTop = view.scrollHeight;
  atEnd = true;
}

/** Scrolls to the end, but never past the beginning of a new long line. */
function reveal(line) {
  view.scrollTop = Math.min(view.scrollHeight, line.offsetTop - 8);
}

function answering(conversation) {
  handler = conversation.handler;
  const person = `${words.agent} ${handler.replace(/^agent:?/, "")}`.trim();
  $("who").textContent = { bot: words.bot, queue: words.queue }[handler] || person;
}

// -- sending ----------------------------------------------------------------------------------------------------------

const outbox = []; // what the server has not confirmed yet, oldest first
let sending = false;

function keep() {
  const kept = outbox.filter((item) => item.files.every((file) => file.id));
  store.set("outbox", kept.map(({ line, state, button, files, ...rest }) => ({ ...rest, files: files.map((f) => f.facts) })));
}

function send(content) {
  const item = { client_id: uuid(), at: new Date().toISOString(), files: [], ...content };
  enqueue(item);
  toEnd();
  flush();
}

function enqueue(item) {
  const attachments = item.files.map((file) => file.shown);
  item.line = lineElement({ ...item, direction: "in", text: item.text || item.label, attachments });
  item.state = "waiting";
  mark(item.line, "clock-3", words.sending);
  outbox.push(item);
  place(item.line);
  keep();
}

async function flush() {
  if (sending) return;
  sending = true;
  for (let item; $("offline").hidden && (item = outbox.find((one) => one.state === "waiting")); ) await deliver(item);
  sending = false;
}

async function deliver(item, again = true) {
  item.state = "sending";
  const dots = setTimeout(() => {
    $("typing").hidden = handler !== "bot";
    if (atEnd) toEnd();
  }, 300);
  try {
    await session();
    const files = await Promise.all(item.files.map((file) => file.sent()));
    const body = { client_id: item.client_id };
    if (item.text) body.text = item.text;
    if (item.choice) body.choice = item.choice;
    if (item.location) body.location = item.location;
    if (files.length) body.attachments = files.map((file) => file.id);
    const { messages, conversation } = await call(`${api}/messages`, body);
    item.state = "sent";
    receive(messages);
    answering(conversation);
    if (item.choice?.startsWith("lang:")) switchTo(item.choice.slice(5));
    followFocus(item);
  } catch (error) {
    if (error.status === 401 && again) {
      beginning = null;
      return await deliver(item, false);
    }
    if (outbox.includes(item)) fail(item, error);
  } finally {
    clearTimeout(dots);
    $("typing").hidden = true;
  }
}

/** Puts the server's line in the place of the one shown at once; its pictures stay. */
function settle(item, message) {
  outbox.splice(outbox.indexOf(item), 1);
  item.line.querySelector(".failure")?.remove();
  item.line.classList.remove("failed");
  item.line.id = `m${message.id}`;
  Object.assign(item.line.dataset, { id: message.id, at: message.at });
  mark(item.line, "check", words.sent);
  dress(item.line);
  keep();
}

function fail(item, error) {
  item.state = $("offline").hidden ? "failed" : "waiting";
  if (item.state === "waiting") return; // goes out by itself when the connection is back
  mark(item.line, "circle-alert", words.failed);
  item.line.classList.add("failed");
  item.line.querySelector(".failure")?.remove();
  const failure = cloned("a-failure");
  write(failure, "span", [words.failed, told(error)].filter(Boolean).join(" · "));
  failure.querySelector(".retry").addEventListener("click", () => {
    box.focus();
    retry(item);
    flush();
  });
  item.line.append(failure);
  if (atEnd) toEnd();
}

function retry(item) {
  item.state = "waiting";
  item.line.classList.remove("failed");
  item.line.querySelector(".failure")?.remove();
  mark(item.line, "clock-3", words.sending);
}

/** After a choice made with the keyboard the next choices are one step away. */
function followFocus(item) {
  if (!item.button || document.activeElement !== item.button) return;
  const next = lines.lastElementChild.querySelector(".choice");
  (next && next !== item.button ? next : box).focus({ preventScroll: true });
}

function switchTo(language) {
  const address = new URL("/chat", location.origin);
  address.searchParams.set("lang", language);
  if (embedded) address.searchParams.set("embed", "1");
  location.assign(address);
}

// -- files and place --------------------------------------------------------------------------------------------------

/** A file on its way to the server, or one that is already there. */
function parcel(file, facts = null) {
  const shown = facts || { name: file.name, media_type: file.type, url: URL.createObjectURL(file) };
  const found = { file, facts, shown, id: facts?.id, progress: () => {} };
  let going = null;
  found.sent = () => {
    if (found.facts) return Promise.resolve(found.facts);
    going ??= session().then(() => upload(found));
    going.catch(() => (going = null));
    return going;
  };
  return found;
}

function upload(found) {
  return new Promise((done, failed) => {
    const [url, headers] = request(`${api}/attachments`);
    const sender = new XMLHttpRequest(); // fetch tells nothing about progress
    sender.open("POST", url);
    for (const [name, value] of Object.entries(headers)) sender.setRequestHeader(name, value);
    sender.responseType = "json";
    sender.upload.onprogress = (event) => event.total && found.progress(event.loaded / event.total);
    sender.onerror = () => failed(new Problem(0));
    sender.onload = () => {
      if (sender.status >= 300) return failed(new Problem(sender.status, sender.response));
      found.facts = sender.response;
      found.id = found.facts.id;
      return done(found.facts);
    };
    const form = new FormData();
    form.append("file", found.file);
    sender.send(form);
  });
}

const ready = { files: [], location: null }; // what goes out with the next message

function waitsInTray(name, picture, remove) {
  const element = cloned("a-parcel");
  write(element, ".name", name);
  if (picture) {
    const image = Object.assign(new Image(), { src: picture, alt: "" });
    element.querySelector(".icon").replaceWith(image);
  }
  element.querySelector("progress").setAttribute("aria-label", words.uploading);
  element.querySelector("button").addEventListener("click", () => {
    remove();
    element.remove();
    box.focus();
  });
  tray.append(element);
  return element;
}

function attach(files) {
  say("");
  for (const file of files) {
    if (file.size > LARGEST) {
      say(words.too_large);
      continue;
    }
    if (ready.files.length === MOST) {
      say(words.too_many);
      break;
    }
    const found = parcel(file);
    ready.files.push(found);
    const picture = file.type.startsWith("image/") ? found.shown.url : null;
    const element = waitsInTray(file.name, picture, () => ready.files.splice(ready.files.indexOf(found), 1));
    found.progress = (share) => (element.querySelector("progress").value = share);
    found.sent().then(
      () => element.classList.add("ready"),
      (error) => {
        element.classList.add("failed");
        say(told(error) || words.not_uploaded);
      },
    );
  }
  box.focus();
}

function locate() {
  say(words.locating);
  const failed = () => say(words.no_place);
  if (!navigator.geolocation) return failed();
  return navigator.geolocation.getCurrentPosition(
    ({ coords: { latitude, longitude } }) => {
      say("");
      tray.querySelector("[data-place]")?.remove();
      ready.location = { latitude, longitude };
      const name = `${words.mine} ${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
      const element = waitsInTray(name, null, () => (ready.location = null));
      element.dataset.place = "";
      element.classList.add("ready");
      element.querySelector("use").setAttribute("href", `${words.icons}#map-pin`);
      box.focus();
    },
    failed,
    { timeout: 15000, maximumAge: 60000 },
  );
}

// -- the composer -----------------------------------------------------------------------------------------------------

function say(text) {
  notice.textContent = text;
}

function grow() {
  box.style.blockSize = "auto";
  box.style.blockSize = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
}

function submit() {
  const text = box.value.trim();
  if (text.length > LONGEST) return say(words.too_long);
  if (!text && !ready.files.length && !ready.location) return box.focus();
  say("");
  send({ text, files: ready.files.splice(0), location: ready.location });
  ready.location = null;
  tray.replaceChildren();
  box.value = "";
  store.set("draft", null);
  grow();
  return box.focus();
}

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button?.name !== "choice") return submit();
  if (outbox.some((item) => item.choice === button.value)) return undefined; // tapped twice
  const label = spoken[button.value] || button.textContent.trim();
  button.closest("details.menu")?.removeAttribute("open");
  const own = button.classList.contains("choice");
  return send({ choice: button.value, label: own ? button.textContent : label, button: own ? button : null });
});

box.addEventListener("keydown", (event) => {
  // 229: Safari ends a composition before it tells of the Enter that ended it
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});

box.addEventListener("input", () => {
  store.set("draft", box.value);
  grow();
});

box.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  attach([...event.clipboardData.files]);
});

addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  attach([...event.dataTransfer.files]);
});

for (const input of [$("photo"), $("file")]) {
  input.addEventListener("change", () => {
    attach([...input.files]);
    input.value = "";
  });
}

$("attach").addEventListener("click", (event) => {
  const pick = event.target.closest("[data-pick]");
  if (pick) $(pick.dataset.pick).click();
  if (event.target.closest("#locate")) locate();
});

// -- the transcript ---------------------------------------------------------------------------------------------------

view.addEventListener("scroll", () => {
  atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 64;
  if (atEnd) $("pill").hidden = true;
});
new ResizeObserver(() => atEnd && toEnd()).observe(view);
$("pill").addEventListener("click", () => {
  toEnd();
  box.focus();
});

lines.addEventListener("click", (event) => {
  const bubble = event.target.closest(".bubble");
  if (bubble && !event.target.closest("a, summary")) bubble.closest(".line").classList.toggle("timed");
});

// A source opens the entry that was cited, in the version that was cited.
lines.addEventListener(
  "toggle",
  async ({ target }) => {
    if (!target.open || !target.matches?.(".source") || target.dataset.read) return;
    const { entry, version } = target.dataset;
    tell(target, words.opening);
    try {
      const found = await call(`/api/v1/guide/entries/${encodeURIComponent(entry)}?version=${version}`);
      const said = target.closest(".bubble").querySelector(":scope > .words").innerText;
      const answer = found.answer.trim();
      write(target, "strong", found.title);
      tell(target, said.includes(answer) ? words.verbatim : answer);
      target.dataset.read = "yes";
    } catch (error) {
      tell(target, told(error) || words.not_opened);
    }
  },
  true,
);

// A picture that needs the token, where the cookie was refused.
lines.addEventListener(
  "error",
  async ({ target }) => {
    if (!token || target.dataset?.fetched || !target.matches?.(".picture img")) return;
    target.dataset.fetched = "yes";
    const [url, headers] = request(target.getAttribute("src"));
    const answer = await fetch(url, { headers });
    if (answer.ok) target.parentElement.href = target.src = URL.createObjectURL(await answer.blob());
  },
  true,
);

function transcript() {
  const spokenLines = [...lines.querySelectorAll(".line")].map((line) => {
    const at = new Date(line.dataset.at).toLocaleString(locale);
    const text = (name) => [...line.querySelectorAll(name)].map((found) => found.innerText);
    const pictures = [...line.querySelectorAll(".picture img")].map((image) => image.alt);
    const parts = [...text(".bubble > .words"), ...pictures, ...text(".name"), ...text(".place"), ...text(".cited")];
    return `${at}  ${text(".by")[0]}\n${parts.filter(Boolean).join("\n")}`;
  });
  return [words.transcript, ...spokenLines].join("\n\n");
}

// -- menus ------------------------------------------------------------------------------------------------------------

const menus = [...document.querySelectorAll("details.menu")];

document.addEventListener("click", ({ target }) => {
  for (const menu of menus) if (!menu.contains(target) || target.closest(".items")) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const open = menus.find((menu) => menu.open);
  if (open && event.key === "Escape") {
    open.open = false;
    open.querySelector("summary").focus();
  } else if (open && /^Arrow(Up|Down)$/.test(event.key)) {
    event.preventDefault();
    const items = [...open.querySelectorAll(".items > *")];
    const step = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    items[(step + items.length) % items.length].focus();
  } else if (event.key === "Escape" && embedded && !$("about").open) {
    leave();
  }
});

for (const menu of menus) {
  menu.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
  });
}

$("print").addEventListener("click", () => print());
$("tell").addEventListener("click", () => $("about").showModal());
$("download").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([transcript()], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href: url, download: `${words.file_name}.txt` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
});

function leave() {
  parent.postMessage({ greenline: "close" }, "*");
}

if (embedded) {
  $("leave").addEventListener("click", leave);
  addEventListener("message", ({ source, data }) => {
    if (source === parent && data?.greenline === "open") box.focus();
  });
}

// -- start ------------------------------------------------------------------------------------------------------------

async function start() {
  $("trouble").hidden = true;
  try {
    await session();
    flush();
  } catch (error) {
    write($("trouble"), "strong", error.title || words.no_session);
    write($("trouble"), "span", told(error) || words.no_session_why);
    $("trouble").hidden = false;
    $("empty")?.remove();
    toEnd();
  }
}

function restore() {
  for (const line of lines.children) {
    dress(line);
    last = Math.max(last, Number(line.dataset.id));
    for (const button of line.querySelectorAll(".choice")) spoken[button.value] = button.textContent;
  }
  for (const { files, ...item } of store.get("outbox") || []) {
    enqueue({ ...item, files: files.map((facts) => parcel(null, facts)) });
  }
  box.value ||= store.get("draft") || "";
  grow();
  toEnd();
}

addEventListener("online", () => (following ? wake() : start()));
addEventListener("offline", () => reachable(false));
$("again").addEventListener("click", start);
// the keyboard of a phone covers the page without resizing it on iOS
window.visualViewport?.addEventListener("resize", () => {
  document.documentElement.style.setProperty("--visible", `${window.visualViewport.height}px`);
});

document.documentElement.classList.add("live");
if (new URLSearchParams(location.search).has("lang")) {
  history.replaceState(null, "", embedded ? "/chat?embed=1" : "/chat");
}
restore();
if (matchMedia("(hover: hover)").matches && !embedded) box.focus();
start();
