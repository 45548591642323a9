// Where replies and notes are written: text that grows, files, a place, and a draft for every conversation.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, isReached, told, upload }, talk, outbox] = await Promise.all(
  ["kit", "link", "talk", "outbox"].map(part),
);
const { $, cloned, happen, later, on, picture, store, words, write } = kit;

export const box = $("text");
const tray = $("tray");
const LARGEST = 20 * 1024 * 1024; // bytes of a file
const LONGEST = 20000; // characters of a message
const MOST = 10; // files of a message

/** Whether a composition is under way: Enter then belongs to the input method. */
// 229: Safari ends a composition before it tells of the Enter that ended it
export const composing = (event) => event.isComposing || event.keyCode === 229;

const say = (text) => ($("notice").textContent = text);
on("notice", say);

// -- what is written to whom ------------------------------------------------------------------------------------------

let mode = "reply";
const hints = { reply: words.reply_hint, note: words.note_hint, whisper: words.whisper_hint };

/** Writes to the customer, to colleagues, or to the agent alone. */
export function turn(to) {
  const choice = document.querySelector(`#modes [value="${to}"]`);
  if (!choice) return;
  keepDraft();
  choice.checked = true;
  mode = to;
  $("say").dataset.mode = to;
  box.placeholder = hints[to];
  box.setAttribute("aria-label", words[to]);
  $("attach").hidden = to !== "reply";
  restoreDraft();
}

$("modes").addEventListener("change", ({ target }) => {
  turn(target.value);
  box.focus();
});

/** How the box is used now. */
export const writesTo = () => mode;

// -- drafts -----------------------------------------------------------------------------------------------------------

let draft = null; // whose words stand in the box

function keepDraft() {
  if (draft) store.set(draft, box.value);
}

function restoreDraft() {
  if (!talk.open) return;
  const early = draft ? "" : box.value; // written before the conversation was there
  draft = `draft.${talk.open.id}.${mode}`;
  box.value = store.get(draft) || early;
  grow();
}

export function grow() {
  box.style.blockSize = "auto";
  box.style.blockSize = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
}

/** Puts text where the caret is, as if it had been typed. */
export function insert(text, { from = box.selectionStart, to = box.selectionEnd } = {}) {
  box.setRangeText(text, from, to, "end");
  box.focus();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

on("leaving", () => {
  keepDraft();
  draft = null;
  box.value = "";
  grow();
  ready.files = [];
  ready.sources = [];
  ready.location = null;
  tray.replaceChildren();
  say("");
});

on("became", () => {
  const own = talk.mayReply();
  // a colleague's conversation takes notes, but no replies
  document.querySelector("#modes [value=reply]").disabled = !own;
  document.querySelector("#modes [value=reply]").parentElement.hidden = !own;
  const whisper = document.querySelector("#modes [value=whisper]");
  if (whisper) whisper.parentElement.hidden = own;
  if (!own && mode === "reply") turn(first());
  else if (own && mode === "whisper") turn("reply");
});

/** What is written here first of all. */
export const first = () => (talk.mayReply() ? "reply" : words.may.supervise && talk.open?.handler === "agent" ? "whisper" : "note");

on("opened", (found) => {
  if (!found) return;
  turn(first());
  if (talk.isMine()) box.focus({ preventScroll: true });
});

on("focus-reply", () => {
  box.focus();
});

/** Something that was not sent after all is written again, before what stands there now. */
on("put-back", ({ conversation, text, files, sources, location }) => {
  if (!talk.isOpen(conversation)) {
    const name = `draft.${conversation}.reply`;
    store.set(name, [text, store.get(name)].filter(Boolean).join("\n"));
    return;
  }
  if (mode !== "reply") turn("reply");
  box.value = [text, box.value].filter(Boolean).join("\n");
  for (const file of files || []) attachParcel(file);
  for (const source of sources || []) cite(source, source.title);
  if (location) placeInTray(location);
  keepDraft();
  grow();
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
});

// -- files and place --------------------------------------------------------------------------------------------------

const ready = { files: [], sources: [], location: null }; // what goes out with the next message

/** A file on its way to the server. */
function parcel(file, conversation) {
  const shown = { name: file.name, media_type: file.type, url: URL.createObjectURL(file) };
  const found = { facts: null, shown, id: null, progress: () => {} };
  let going = null;
  found.sent = () => {
    if (found.facts) return Promise.resolve(found.facts);
    going ??= upload(conversation, file, (share) => found.progress(share)).then(
      (stored) => Object.assign(found, { facts: stored, id: stored.id }).facts,
    );
    going.catch(() => (going = null));
    return going;
  };
  return found;
}

function waitsInTray(name, image, remove) {
  const element = cloned("a-parcel");
  write(element, ".name", name);
  if (image) element.querySelector(".icon").replaceWith(Object.assign(new Image(), { src: image, alt: "" }));
  element.querySelector("progress").setAttribute("aria-label", words.uploading);
  element.querySelector("[data-drop]").addEventListener("click", () => {
    remove();
    element.remove();
    box.focus();
  });
  tray.append(element);
  return element;
}

function attachParcel(found) {
  ready.files.push(found);
  const drop = () => ready.files.splice(ready.files.indexOf(found), 1);
  const image = found.shown.media_type?.startsWith("image/") ? found.shown.url : null;
  const element = waitsInTray(found.shown.name, image, drop);
  found.progress = (share) => (element.querySelector("progress").value = share);
  found.sent().then(
    () => element.classList.add("ready"),
    (error) => {
      say(error.status ? told(error) : words.not_uploaded);
      element.classList.add("failed");
      if (!error.status || !element.isConnected) return;
      drop(); // refused for good
      element.remove();
    },
  );
}

function attach(files) {
  say("");
  if (mode !== "reply") return;
  for (const file of files) {
    if (file.size > LARGEST) say(words.too_large);
    else if (ready.files.length === MOST) say(words.too_many);
    else attachParcel(parcel(file, talk.open.id));
  }
  box.focus();
}

/** Says with the next reply where its answer stands. */
export function cite(source, text) {
  const { entry, version, title, document, article } = source;
  if (ready.sources.some((each) => each.entry === entry)) return;
  const cited = { entry, version, title, document, article };
  ready.sources.push(cited);
  const element = waitsInTray(text, null, () => ready.sources.splice(ready.sources.indexOf(cited), 1));
  element.classList.add("ready");
  picture(element, "book-open-text");
}

function placeInTray({ latitude, longitude }) {
  tray.querySelector("[data-place]")?.remove();
  ready.location = { latitude, longitude };
  const name = `${words.my_place} ${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
  const element = waitsInTray(name, null, () => (ready.location = null));
  element.dataset.place = "";
  element.classList.add("ready");
  picture(element, "map-pin");
}

function locate() {
  say(words.locating);
  const failed = () => say(words.no_place);
  if (!navigator.geolocation) return failed();
  return navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      say("");
      placeInTray(coords);
      box.focus();
    },
    failed,
    { timeout: 15000, maximumAge: 60000 },
  );
}

$("attach").addEventListener("click", (event) => {
  const pick = event.target.closest("[data-pick]");
  if (pick) $(pick.dataset.pick).click();
  if (event.target.closest("#locate")) locate();
});

for (const input of [$("photo"), $("file")]) {
  input.addEventListener("change", () => {
    attach([...input.files]);
    input.value = "";
  });
}

box.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  attach([...event.clipboardData.files]);
});

const pane = document.querySelector(".pane.talk");
pane.addEventListener("dragover", (event) => event.preventDefault());
pane.addEventListener("drop", (event) => {
  event.preventDefault();
  if (talk.mayReply()) attach([...event.dataTransfer.files]);
});

// -- sending ----------------------------------------------------------------------------------------------------------

async function submit() {
  const text = box.value.trim();
  if (text.length > LONGEST) return say(words.too_long);
  if (mode !== "reply") return note(text);
  if (!text && !ready.files.length && !ready.location) return box.focus();
  if (talk.hasUnseen()) {
    talk.toEnd();
    return say(words.newer);
  }
  say("");
  const sources = text ? ready.sources.splice(0) : [];
  outbox.send({ text, files: ready.files.splice(0), sources, location: ready.location });
  ready.location = null;
  tray.replaceChildren();
  return clear();
}

function clear() {
  box.value = "";
  keepDraft();
  grow();
  box.focus();
}

async function note(text) {
  if (!text) return box.focus();
  const { id } = talk.open;
  say("");
  try {
    const mentions = mentioned().filter(({ name }) => text.includes(`@${name}`));
    const body = { text, mentions: mentions.map((one) => one.id), whisper: mode === "whisper" };
    const line = await call("POST", `/conversations/${id}/notes`, body);
    happen("line", { conversation: id, line });
    if (talk.isOpen(id)) clear();
  } catch (error) {
    say(told(error)); // the text stays where it is
  }
  return undefined;
}

let mentioned = () => [];
/** Who can be mentioned: tells the composer how to ask. */
export const mentionsFrom = (source) => (mentioned = source);

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

box.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.key !== "Enter" || event.shiftKey || composing(event)) return;
  event.preventDefault();
  submit();
});

let toldAt = 0;
const keepSoon = later(keepDraft, 150);
box.addEventListener("input", () => {
  grow();
  keepSoon();
  if (mode !== "reply" || !talk.isMine() || !box.value || !isReached() || Date.now() - toldAt < 3000) return;
  toldAt = Date.now();
  call("POST", `/conversations/${talk.open.id}/typing`).catch(() => {});
});
addEventListener("pagehide", keepDraft);
