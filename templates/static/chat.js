// The customer's chat: writes, sends, shows. The page reads and posts without it.

// The other modules are imported by the addresses in the page, which carry their versions.
const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/${name}.js"]`).href);
const [connection, transcript] = await Promise.all(["connection", "transcript"].map(part));
const { call, fetchPicture, forget, isReached, onNews, post, session, startAfter, store, told, upload } = connection;
const { $, cloned, dress, lineElement, lines, mark, openSources, place, plain, reveal, spoken, tell, toEnd, words, write } = transcript;

const embedded = document.body.classList.contains("embedded");
const [box, tray, notice] = ["text", "tray", "notice"].map($);
const LARGEST = 20 * 1024 * 1024; // bytes of a file
const LONGEST = 20000; // characters of a message
const MOST = 10; // files of a message

// -- receiving --------------------------------------------------------------------------------------------------------

let handler = "bot";

onNews({
  messages: receive,
  conversation: answering,
  typing: writes,
  reachable(yes) {
    $("offline").hidden = yes;
    if (yes) flush();
  },
});

/** Shows what the server says; each line once, whichever way it comes. */
function receive(messages) {
  let first = null;
  for (const message of messages) {
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
  reveal(first);
  if (embedded) parent.postMessage({ greenline: "message" }, "*");
}

/** Says in the header who answers. */
function answering(conversation) {
  handler = conversation.handler;
  const { agent, queue } = conversation;
  const waits = queue && [
    words.place.replace("{position}", queue.position),
    queue.agents && queue.estimate_s > 0 && words.minutes.replace("{minutes}", Math.ceil(queue.estimate_s / 60)),
  ];
  const who = { bot: words.bot, queue: waits?.filter(Boolean).join(" · ") || words.queue };
  $("who").textContent = who[handler] || words.agent.replace("{number}", agent);
}

let hush; // ends the sign that an answer is coming

/** An agent is writing. */
function writes() {
  clearTimeout(hush);
  $("typing").hidden = false;
  toEnd({ ifThere: true });
  hush = setTimeout(() => ($("typing").hidden = true), 6000);
}

openSources(lines, words, (path) => call(`/api/v1${path}`), told);

// A picture that needs the token, where the cookie was refused.
lines.addEventListener(
  "error",
  async ({ target }) => {
    if (target.dataset?.fetched || !target.matches?.(".picture img")) return;
    target.dataset.fetched = "yes";
    const found = await fetchPicture(target.getAttribute("src"));
    if (found) target.parentElement.href = target.src = found;
  },
  true,
);

// -- sending ----------------------------------------------------------------------------------------------------------

function uuid() {
  // crypto.randomUUID is missing on plain http
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

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
  for (let item; isReached() && (item = outbox.find((one) => one.state === "waiting")); ) await deliver(item);
  sending = false;
}

async function deliver(item, again = true) {
  item.state = "sending";
  const dots = setTimeout(() => {
    $("typing").hidden = handler !== "bot";
    toEnd({ ifThere: true });
  }, 300);
  try {
    await session();
    const files = await Promise.all(item.files.map((file) => file.sent()));
    const body = { client_id: item.client_id };
    if (item.text) body.text = item.text;
    if (item.choice) body.choice = item.choice;
    if (item.location) body.location = item.location;
    if (files.length) body.attachments = files.map((file) => file.id);
    const { messages, conversation } = await post(body);
    item.state = "sent";
    receive(messages);
    answering(conversation);
    if (item.choice?.startsWith("lang:")) switchTo(item.choice.slice(5));
    followFocus(item);
  } catch (error) {
    if (error.status === 401 && again) {
      forget();
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
  item.state = isReached() ? "failed" : "waiting";
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
  toEnd({ ifThere: true });
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
  const found = { facts, shown, id: facts?.id, progress: () => {} };
  let going = null;
  found.sent = () => {
    if (found.facts) return Promise.resolve(found.facts);
    going ??= session()
      .then(() => upload(file, (share) => found.progress(share)))
      .then((stored) => Object.assign(found, { facts: stored, id: stored.id }).facts);
    going.catch(() => (going = null));
    return going;
  };
  return found;
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
    say("");
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
    const drop = () => ready.files.splice(ready.files.indexOf(found), 1);
    const element = waitsInTray(file.name, picture, drop);
    found.progress = (share) => (element.querySelector("progress").value = share);
    found.sent().then(
      () => element.classList.add("ready"),
      (error) => {
        say(told(error) || words.not_uploaded);
        element.classList.add("failed");
        if (!told(error) || !element.isConnected) return;
        drop(); // refused for good
        element.remove();
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

let toldAt = 0; // when the agent last heard that something is being written

box.addEventListener("input", () => {
  store.set("draft", box.value);
  grow();
  if (handler !== "agent" || !box.value || Date.now() - toldAt < 4000) return;
  toldAt = Date.now();
  connection.typing();
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

// -- the page ---------------------------------------------------------------------------------------------------------

$("print").addEventListener("click", () => print());
$("tell").addEventListener("click", () => $("about").showModal());
$("about").addEventListener("close", () => $("more").querySelector("summary").focus());
$("download").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([plain()], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href: url, download: `${words.file_name}.txt` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
});

function leave() {
  parent.postMessage({ greenline: "close" }, "*");
}

if (embedded) {
  $("leave").addEventListener("click", leave);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !$("about").open) leave();
  });
  addEventListener("message", ({ source, data }) => {
    if (source === parent && data?.greenline === "open") box.focus();
  });
  parent.postMessage({ greenline: "ready" }, "*");
}

async function start() {
  $("trouble").hidden = true;
  try {
    await session();
    $("trouble").hidden = true;
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
  toEnd(); // first, so that what is in view stays where it is
  for (const line of lines.children) {
    dress(line);
    for (const button of line.querySelectorAll(".choice")) spoken[button.value] = button.textContent;
  }
  startAfter(Math.max(0, ...[...lines.children].map((line) => Number(line.dataset.id))));
  for (const { files, ...item } of store.get("outbox") || []) {
    enqueue({ ...item, files: files.map((facts) => parcel(null, facts)) });
  }
  box.value ||= store.get("draft") || "";
  grow();
  toEnd();
}

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
