// Small things every part of the console uses: elements from templates, words with facts, times, what is remembered.

export const { $, cloned, write, tell, fileElement, openSources } = await import(
  document.querySelector('link[rel=modulepreload][href*="/bubble.js"]').href
);
export const words = JSON.parse($("desk-words").textContent);
export const me = words.me;

// -- elements ---------------------------------------------------------------------------------------------------------

/** Shows an icon of the set in an element. */
export const picture = (place, name) => place.querySelector("use").setAttribute("href", `${words.icons}#${name}`);

/** Brings a list in line with its items: rows stay where their key stays, so that the focus and a selection survive. */
export function reconcile(list, items, { key, make, show }) {
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  let last = null;
  for (const item of items) {
    const name = String(key(item));
    let row = rows.get(name);
    rows.delete(name);
    if (!row) {
      row = make(item);
      row.dataset.key = name;
    }
    show(row, item);
    const place = last ? last.nextElementSibling : list.firstElementChild;
    if (place !== row) list.insertBefore(row, place);
    last = row;
  }
  for (const row of rows.values()) row.remove();
}

/** A dialog that gives the filled-in form, or null when it was left. */
export function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener(
      "close",
      () => done(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(dialog.querySelector("form"))) : null),
      { once: true },
    );
  });
}

// -- words ------------------------------------------------------------------------------------------------------------

/** Words with facts: `said("waited", {time})`. A count of one may have words of its own (`name_one`). */
export function said(name, facts = {}) {
  const text = (facts.count === 1 && words[`${name}_one`]) || words[name];
  return text.replace(/\{(\w+)\}/g, (all, fact) => (fact in facts ? facts[fact] : all));
}

/** One of several words: `named("skill", "fault")`; what nobody named is shown as it is. */
export const named = (kind, code) => words[kind][code] ?? code;

/** What a customer is called whose name nobody knows. */
export const nameOf = ({ name, conversation, id }) => name || said("nameless", { number: conversation ?? id });

/** What is happening, for everybody: seen for a while and read out once. */
let quiet;
export function announce(text, { bad = false } = {}) {
  clearTimeout(quiet);
  $("told").textContent = text;
  $("told").classList.toggle("bad", bad);
  $("told").hidden = !text;
  quiet = setTimeout(() => ($("told").hidden = true), bad ? 12000 : 6000);
}

// -- marks ------------------------------------------------------------------------------------------------------------

/** The mark of a rank: a letter or a word, never colour alone. */
export function rankMark(place, rank) {
  const element = place.querySelector(".rank");
  element.className = `tier rank ${rank === "important" ? "important" : rank.toLowerCase()}`;
  write(element, ".unseen", words.rank_long[rank]);
  write(element, ".letter", words.rank[rank]);
}

/** Web or Telegram. */
export function channelMark(place, channel) {
  const element = place.querySelector(".channel");
  picture(element, channel === "telegram" ? "send" : "globe");
  write(element, ".unseen", named("channel", channel));
}

// -- times ------------------------------------------------------------------------------------------------------------

const locale = words.language.replace("_", "-");
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(locale, { month: "long", day: "numeric", weekday: "long" });
const brief = new Intl.DateTimeFormat(locale, { month: "numeric", day: "numeric" });
const near = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
let ahead = 0; // milliseconds the server's clock is ahead of this one

/** Learns the server's time from something it has just said. */
export const synchronise = (at) => (ahead = new Date(at) - Date.now());
/** The server's time. */
export const now = () => Date.now() + ahead;
export const atClock = (at) => clock.format(new Date(at));

const daysAgo = (at) => Math.round((new Date(new Date(at).toDateString()) - new Date(new Date(now()).toDateString())) / 864e5);

/** The day of a line, as people say it. */
export function day(at) {
  const ago = daysAgo(at);
  return ago > -2 ? near.format(ago, "day") : date.format(new Date(at));
}

/** A moment in a list: the time today, else the day before it. */
export const moment = (at) => (daysAgo(at) ? `${brief.format(new Date(at))} ` : "") + atClock(at);

/** Seconds as 03:12 or 1:02:03. */
export function length(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(all / 60) % 60;
  return `${all >= 3600 ? `${Math.floor(all / 3600)}:` : ""}${two(minutes)}:${two(all % 60)}`;
}

/** A span in words: 3 minutes. */
export function span(seconds) {
  const [unit, size] = seconds < 60 ? ["second", 1] : seconds < 5400 ? ["minute", 60] : ["hour", 3600];
  const value = Math.max(0, Math.round(seconds / size));
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(value);
}

/** Makes an element count up from `since` (amber at 80 % of `target` seconds, red past it), or down to `until`. */
export function count(element, { since = null, until = null, target = null }) {
  Object.assign(element.dataset, { since: since ?? "", until: until ?? "", target: target ?? "" });
  element.classList.add("timer");
  element.hidden = !since && !until;
  tick(element);
}

function tick(element) {
  const { since, until, target } = element.dataset;
  if (!since && !until) return;
  const left = until ? (new Date(until) - now()) / 1000 : 0;
  const spent = since ? (now() - new Date(since)) / 1000 : 0;
  const goal = Number(target);
  const late = until ? left <= 0 : target && spent > goal;
  const soon = !late && target && (until ? left < goal : spent >= 0.8 * goal);
  element.classList.toggle("late", Boolean(late));
  element.classList.toggle("soon", Boolean(soon));
  write(element, "time", since ? length(spent) : left > 0 ? length(left) : length(-left));
  write(element, ".unseen", late ? words.late : soon ? words.soon : "");
}

setInterval(() => document.querySelectorAll(".timer").forEach(tick), 1000);

// -- what is remembered -----------------------------------------------------------------------------------------------

/** This browser's memory, one for each member of staff; it may be forbidden. */
export const store = {
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(`greenline.desk.${me.id}.${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      const empty = value === null || value === "" || (Array.isArray(value) && !value.length);
      if (empty) localStorage.removeItem(`greenline.desk.${me.id}.${key}`);
      else localStorage.setItem(`greenline.desk.${me.id}.${key}`, JSON.stringify(value));
    } catch {
      /* nothing to do */
    }
  },
};

/** crypto.randomUUID is missing on plain http. */
export const uuid = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// -- who listens to what ----------------------------------------------------------------------------------------------

const listeners = new Map();

/** Calls `listener` whenever `name` happens, in the server's stream or in another part of the page. */
export function on(name, listener) {
  listeners.set(name, [...(listeners.get(name) || []), listener]);
}

/** Says that something happened. */
export function happen(name, data) {
  for (const listener of listeners.get(name) || []) listener(data);
}

/** Waits until nothing more comes for `ms` before it acts. */
export function later(act, ms) {
  let timer;
  return (...facts) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...facts), ms);
  };
}
