// The middle pane: one conversation, live; what is seen is remembered by the server.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }, list, { divide, fate, lineElement, lines, place }] = await Promise.all(
  ["kit", "link", "list", "lines"].map(part),
);
const { $, announce, count, happen, later, me, nameOf, named, on, rankMark, said, words, write } = kit;
const { keep, mine } = list;

const view = $("transcript");
export let open = null; // the conversation in view, as the server describes it
let oldest = null;
let more = false;
let unseen = 0; // lines below what is in view

/** The newest line that was in view: what a reply may answer. */
export let seen = 0;
export const isOpen = (id) => open?.id === Number(id);
export const isMine = () => open?.handler === "agent" && open.agent === me.id;
/** Where the assistant answers, a person's reply takes over. */
export const mayReply = () => isMine() || open?.handler === "bot";

// -- opening ----------------------------------------------------------------------------------------------------------

/** Shows a pane where there is no room for all. */
export function show(pane) {
  document.body.dataset.pane = pane;
}

on("open", openConversation);

/** Opens a conversation by its number; `why` is said above it when it was just claimed. */
async function openConversation({ id, why = "" }) {
  const already = isOpen(id);
  show("talk");
  if (already) {
    happen("focus-reply");
    return;
  }
  happen("leaving", open);
  open = { id };
  document.body.dataset.open = id;
  history.replaceState(null, "", `?c=${id}`);
  [oldest, more, unseen, seen] = [null, false, 0, 0];
  $("idle").hidden = true;
  $("talk").hidden = false;
  $("pill").hidden = $("typing").hidden = true;
  $("beginning").hidden = true;
  lines.replaceChildren();
  header(mine.get(id) || list.queue.entries.find((entry) => entry.conversation === id) || { id });
  await load({ why });
}

async function load({ why = "" } = {}) {
  const { id } = open;
  $("trouble").hidden = true;
  view.setAttribute("aria-busy", "true");
  try {
    const found = await call("GET", `/conversations/${id}`);
    if (!isOpen(id)) return;
    become(found.conversation);
    add(found.lines);
    more = found.lines.length >= 100;
    $("beginning").hidden = more;
    happen("opened", { ...found, why });
    toEnd();
  } catch (error) {
    if (!isOpen(id)) return;
    write($("trouble"), "span", said("not_loaded", { why: told(error) }));
    $("trouble").hidden = false;
  } finally {
    view.removeAttribute("aria-busy");
  }
}

/** What is known of the conversation in view, in its header and for the other parts. */
function become(conversation) {
  open = conversation;
  header(conversation);
  happen("became", conversation);
}

function header(conversation) {
  const name = write($("talk-title"), ".name", nameOf(conversation));
  name.title = name.textContent;
  const bar = $("talk").querySelector(".bar");
  if (conversation.rank) rankMark(bar, conversation.rank);
  bar.querySelector(".rank").hidden = !conversation.rank;
  const facts = [
    conversation.channel && named("channel", conversation.channel),
    conversation.language && conversation.language !== words.language && named("language_name", conversation.language),
    conversation.account,
    conversation.handler === "agent" && conversation.agent !== me.id && conversation.agent_name,
  ];
  $("talk-facts").textContent = facts.filter(Boolean).join(words.dot);
  count(bar.querySelector(".waits"), { since: conversation.waiting_since, target: conversation.entry?.target_s });
}

/** Nothing is open any more. */
export function closeView(next = null) {
  happen("leaving", open);
  open = null;
  delete document.body.dataset.open;
  history.replaceState(null, "", location.pathname);
  $("talk").hidden = true;
  $("idle").hidden = false;
  happen("opened", null);
  if (next) happen("open", { id: next });
  else show("list");
}

// -- lines ------------------------------------------------------------------------------------------------------------

/** Puts lines in, each once; gives those that were not there. */
function add(found) {
  const fresh = found.filter((line) => !$(`m${line.id}`));
  for (const line of fresh) place(lineElement(line));
  divide();
  if (fresh.length) oldest = Math.min(oldest ?? Infinity, ...fresh.map((line) => line.id));
  return fresh;
}

on("line", ({ conversation, line }) => {
  if (!isOpen(conversation)) return;
  happen("arrived", line);
  if (!add([line]).length) return;
  $("typing").hidden = true;
  if (line.direction === "in") happen("customer-said", line);
  if (atEnd || line.by === me.name) {
    toEnd();
    return;
  }
  unseen += 1;
  write($("pill"), "span", said("pill", { count: unseen }));
  $("pill").hidden = false;
});

on("delivery", ({ conversation, line, fate: state, cause }) => {
  const element = isOpen(conversation) && $(`m${line}`);
  if (element) fate(element, state, cause);
});

on("conversation", (changed) => {
  if (isOpen(changed.id)) become(changed);
});

lines.addEventListener("click", async ({ target }) => {
  const line = target.closest(".retry")?.closest(".line[data-id]");
  if (!line?.dataset.id) return;
  fate(line, "sending");
  try {
    await call("POST", `/conversations/${open.id}/messages/${line.dataset.id}/retry`);
  } catch (error) {
    fate(line, "failed", told(error));
  }
});

let hush;
on("typing", ({ conversation }) => {
  if (!isOpen(conversation)) return;
  clearTimeout(hush);
  $("typing").hidden = false;
  if (atEnd) toEnd();
  hush = setTimeout(() => ($("typing").hidden = true), 6000);
});

/** Older lines when the beginning of what is there comes into view; what is read stays where it is. */
async function loadOlder() {
  if (!more || !oldest) return;
  more = false;
  const { id } = open;
  try {
    const found = await call("GET", `/conversations/${id}?before=${oldest}`);
    if (!isOpen(id)) return;
    const below = view.scrollHeight - view.scrollTop;
    add(found.lines);
    view.scrollTop = view.scrollHeight - below;
    more = found.lines.length >= 100;
    $("beginning").hidden = more;
  } catch {
    more = true;
  }
}

/** What came while the connection was away; the stream brings it too, so each line is shown once. */
on("caught-up", async () => {
  if (!open) return;
  const found = await call("GET", `/conversations/${open.id}`).catch(() => null);
  if (!found || !isOpen(found.conversation.id)) return;
  become(found.conversation);
  const wasAtEnd = atEnd;
  add(found.lines);
  for (const line of found.lines) if (line.fate) fate($(`m${line.id}`), line.fate, line.cause);
  if (wasAtEnd) toEnd();
});

// -- what stays in view, and what was seen ----------------------------------------------------------------------------

let atEnd = true;

const remember = later(async (id, line) => {
  happen("read", { id });
  await call("PUT", `/conversations/${id}/read`, { line }).catch(() => {});
}, 300);

function look() {
  if (!open || document.hidden || !atEnd) return;
  const numbers = [...lines.querySelectorAll(".line[data-id]")].map((line) => Number(line.dataset.id));
  const newest = Math.max(0, ...numbers);
  unseen = 0;
  $("pill").hidden = true;
  if (newest <= seen) return;
  seen = newest;
  if (isMine()) remember(open.id, newest);
}

/** Goes to the last line. */
export function toEnd() {
  view.scrollTop = view.scrollHeight;
  atEnd = true;
  look();
}

/** Whether there are lines that were not in view. */
export const hasUnseen = () => unseen > 0;

view.addEventListener("scroll", () => {
  atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 48;
  if (atEnd) look();
  if (view.scrollTop < 120) loadOlder();
});
document.addEventListener("visibilitychange", look);
on("became", look);
new ResizeObserver(() => atEnd && toEnd()).observe(view);
new ResizeObserver(() => atEnd && toEnd()).observe(lines);
$("pill").addEventListener("click", () => {
  toEnd();
  happen("focus-reply");
});
$("again").addEventListener("click", () => load());
document.addEventListener("click", ({ target }) => {
  const pane = target.closest("[data-show]")?.dataset.show;
  if (pane) show(pane);
});

// -- what is heard of a conversation that is not mine ------------------------------------------------------------------

let watched = null;

/** Tells the server which conversation is in view: its lines come by the stream, and who is writing. */
function watch(id, { anew = false } = {}) {
  if (id === watched && !anew) return;
  watched = id;
  call("PUT", `/agents/me/watch${id ? `?conversation=${id}` : ""}`).catch(() => {});
}

on("opened", (found) => watch(found?.conversation.id ?? null));
on("caught-up", () => watch(watched, { anew: true }));

// -- who may write here -----------------------------------------------------------------------------------------------

/** Below a conversation that is not mine stands who has it, and what can be done. */
on("became", (conversation) => {
  const own = isMine();
  const { handler, entry } = conversation;
  const waits = handler === "queue" && entry;
  const supervises = words.may.supervise && handler !== "queue";
  $("outside").hidden = own;
  $("deeds").hidden = !own;
  if (own) return;
  const kind = waits ? (entry.status === "offered" ? "offered" : "waiting") : handler;
  write($("outside"), "p", words.outside[kind].replace("{who}", conversation.agent_name ?? ""));
  $("claim-it").hidden = !(waits && entry.status === "waiting");
  $("claim-it").dataset.entry = entry?.id ?? "";
  $("take-it").hidden = !supervises;
});

$("claim-it").addEventListener("click", ({ target }) => list.claim(target.dataset.entry));

on("gone", (conversation) => {
  if (!isOpen(conversation.id)) return;
  if (conversation.handler === "agent") announce(said("moved_on", { name: nameOf(conversation) }));
});

on("claimed", (conversation) => {
  keep(conversation);
  if (isOpen(conversation.id)) become(conversation);
});
