// The left pane: who waits, in the order of service, and my own conversations.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }] = await Promise.all(["kit", "link"].map(part));
const { $, announce, channelMark, cloned, count, happen, me, nameOf, named, now, on, rankMark, reconcile } = kit;
const { said, span, store, synchronise, words, write } = kit;

export const mine = new Map(); // conversations that are mine, by number
export let queue = { entries: [] };
export let seat = null; // what I am doing

// -- what an entry says ----------------------------------------------------------------------------------------------

const spoken = (language) => (language === words.language ? "" : named("language_name", language));

/** What an entry wants, in a line: language where it is not mine, skill, why it joined. */
export function facts(entry) {
  return [named("channel", entry.channel), spoken(entry.language), named("skill", entry.skill), named("reason", entry.reason)]
    .filter(Boolean)
    .join(words.dot);
}

/** Why an entry stands where it stands. */
export function place(entry) {
  const time = span((now() - new Date(entry.joined_at)) / 1000);
  const flags = ["large", "coal_mine"].filter((flag) => entry[flag]).map((flag) => words.flag[flag]);
  return [
    said("waits_first", { position: entry.position ?? "–", rank: words.rank_long[entry.rank], time }),
    words.waits_rule,
    entry.target_s && said("target", { time: span(entry.target_s) }),
    flags.length && said("flagged", { flags: flags.join(words.comma) }),
    entry.manager === me.id && words.is_yours,
    entry.status === "offered" && words.being_offered,
  ]
    .filter(Boolean)
    .join(words.stop) + words.stop;
}

// -- the queue --------------------------------------------------------------------------------------------------------

function showEntry(row, entry) {
  rankMark(row, entry.rank);
  write(row, ".name", nameOf(entry));
  channelMark(row, entry.channel);
  write(row, ".facts-line", facts(entry));
  write(row, ".why", place(entry));
  row.querySelector(".yours").hidden = entry.manager !== me.id;
  row.classList.toggle("offered", entry.status === "offered");
  const open = String(entry.conversation) === document.body.dataset.open;
  row.firstElementChild.toggleAttribute("aria-current", open);
  count(row.querySelector(".waits"), { since: entry.joined_at, target: entry.target_s });
}

function entryRow(entry) {
  const row = cloned("an-entry");
  row.firstElementChild.addEventListener("click", () => happen("open", { id: entry.conversation }));
  return row;
}

function hearQueue(found) {
  synchronise(found.at);
  queue = found;
  showQueue();
}

function showQueue() {
  const waiting = queue.entries;
  reconcile($("queue"), waiting, { key: (entry) => entry.id, make: entryRow, show: showEntry });
  $("queue-count").textContent = waiting.length || "";
  $("queue-none").hidden = waiting.length > 0;
  $("work-loading").hidden = true;
  $("storm").hidden = !queue.storm;
  if (queue.storm) write($("storm"), "span", said("stormy", { text: queue.storm.message || words.storm_default }));
  showNext();
  happen("queue-shown");
}

/** The one primary action: come online first, then the next customer. */
function showNext() {
  const button = $("next");
  const online = seat?.status === "online";
  const waiting = queue.entries.filter((entry) => entry.status === "waiting");
  const full = online && mine.size >= seat.capacity;
  button.disabled = !seat;
  write(button, "span", online || !seat ? words.next : words.go_online);
  button.querySelector("kbd").hidden = !online;
  button.classList.toggle("primary", !online || (waiting.length > 0 && !full));
  const first = waiting[0];
  if (!online) $("next-who").textContent = waiting.length ? said("waiting_now", { count: waiting.length }) : words.nobody_waits;
  else if (full) $("next-who").textContent = words.next_full;
  else if (!first) $("next-who").textContent = words.nobody_waits;
  else $("next-who").textContent = said("next_is", { name: nameOf(first), rank: words.rank_long[first.rank] });
}

/** What was decided and why, in a sentence. */
function reason(why) {
  const passed = (why.passed_over || []).filter((each) => each.cause && each.cause !== "picked");
  const list = passed.map((each) => said("passed", { name: each.name ?? words.rank_long[each.rank], cause: named("cause", each.cause) }));
  const claimed = said("claim_why", { rank: words.rank_long[why.rank], time: span(why.waited_s), count: why.waiting });
  return claimed + (list.length ? words.stop + said("passed_over", { list: list.join(words.comma) }) : "");
}

/** Takes the next customer, or the one of this entry. */
export async function claim(entry = null) {
  if (document.body.dataset.claiming) return;
  if (seat?.status !== "online") {
    happen("be", { status: "online" });
    return;
  }
  document.body.dataset.claiming = "yes";
  $("next").setAttribute("aria-busy", "true");
  try {
    const taken = await call("POST", entry ? `/queue/${entry}/claims` : "/queue/claims");
    if (!taken) {
      announce(words.nothing_for_me);
      return;
    }
    const why = reason(taken.why);
    announce(said("claimed", { name: nameOf(taken.conversation), why }));
    keep(taken.conversation);
    happen("open", { id: taken.conversation.id, why });
    happen("claimed", taken.conversation);
  } catch (error) {
    announce(told(error), { bad: true });
  } finally {
    delete document.body.dataset.claiming;
    $("next").removeAttribute("aria-busy");
  }
}

// -- my conversations -------------------------------------------------------------------------------------------------

const isMine = (view) => view.handler === "agent" && view.agent === me.id;

/** Knows a conversation, or forgets it when it is not mine any more. */
export function keep(view) {
  if (isMine(view)) mine.set(view.id, view);
  else if (mine.delete(view.id)) happen("gone", view);
  showMine();
}

/** The last words, and who said them. */
function lastWords({ last }) {
  if (!last) return "";
  const text = last.text || words.files_sent;
  return last.direction === "out" ? said("ours", { text }) : text;
}

function showConversation(row, view) {
  rankMark(row, view.rank);
  channelMark(row, view.channel);
  write(row, ".name", nameOf(view));
  write(row, ".last", lastWords(view));
  row.classList.toggle("fresh", view.unread > 0);
  row.querySelector(".unread").hidden = !view.unread;
  write(row, ".unread .count", view.unread);
  row.firstElementChild.toggleAttribute("aria-current", String(view.id) === document.body.dataset.open);
  count(row.querySelector(".waits"), { since: view.waiting_since, target: view.entry?.target_s });
}

function conversationRow(view) {
  const row = cloned("a-conversation");
  row.firstElementChild.addEventListener("click", () => happen("open", { id: view.id }));
  return row;
}

/** Whoever waits longest for an answer comes first, then whoever spoke last. */
const urgency = (one, other) =>
  (one.waiting_since ? 0 : 1) - (other.waiting_since ? 0 : 1) ||
  (one.waiting_since ? new Date(one.waiting_since) - new Date(other.waiting_since) : 0) ||
  one.id - other.id;

export const ordered = () => [...mine.values()].sort(urgency);

function showMine() {
  showNext();
  reconcile($("mine"), ordered(), { key: (view) => view.id, make: conversationRow, show: showConversation });
  $("mine-count").textContent = mine.size || "";
  $("mine-none").hidden = mine.size > 0;
  happen("mine-shown");
}

/** Everything of the left pane from the server; also after the connection was away. */
export async function load() {
  const [waiting, own, agents] = await Promise.all([
    call("GET", "/queue"),
    call("GET", "/conversations?mine=true"),
    call("GET", "/agents"),
  ]);
  mine.clear();
  for (const view of own.conversations) mine.set(view.id, view);
  happen("agents", agents);
  hearQueue(waiting);
  showMine();
}

/** One step through my conversations. */
export function step(by) {
  const all = ordered();
  const at = all.findIndex((view) => String(view.id) === document.body.dataset.open);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length];
  if (next) happen("open", { id: next.id });
}

on("queue", hearQueue);
on("conversation", keep);
on("handed", keep);
on("opened", () => {
  showMine();
  showQueue();
});
on("read", ({ id }) => {
  const view = mine.get(id);
  if (view) keep({ ...view, unread: 0 });
});
on("seat", (view) => {
  seat = view;
  showNext();
});
$("next").addEventListener("click", () => claim());

// -- why, on hover and focus ------------------------------------------------------------------------------------------

const tip = $("tip");

function explain({ target }) {
  const row = target.closest?.(".entry");
  if (!row) return hush();
  tip.textContent = row.querySelector(".why").textContent;
  tip.showPopover();
  const box = row.getBoundingClientRect();
  const under = box.bottom + tip.offsetHeight > innerHeight;
  tip.style.insetBlockStart = `${under ? box.top - tip.offsetHeight : box.bottom}px`;
  tip.style.insetInlineStart = `${box.left}px`;
  return undefined;
}

function hush() {
  if (tip.matches(":popover-open")) tip.hidePopover();
}

$("queue").addEventListener("mouseover", explain);
$("queue").addEventListener("focusin", explain);
$("queue").addEventListener("mouseleave", hush);
$("queue").addEventListener("focusout", hush);
document.addEventListener("keydown", ({ key }) => key === "Escape" && hush());

// -- the two lists ----------------------------------------------------------------------------------------------------

/** Shows one tab of a row of tabs. */
export function choose(tab, { focus = false } = {}) {
  for (const each of tab.parentElement.querySelectorAll("[role=tab]")) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
  store.set(tab.parentElement.getAttribute("aria-label"), tab.id);
  happen("chosen", tab.id);
}

for (const row of document.querySelectorAll("[role=tablist]")) {
  const tabs = [...row.querySelectorAll("[role=tab]")];
  for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
  row.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (step) choose(tabs[(tabs.findIndex((tab) => tab.tabIndex === 0) + step + tabs.length) % tabs.length], { focus: true });
  });
}
