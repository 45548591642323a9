// My seat: what I am doing, and how I am told: sound, desktop notification, the count in title and icon.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }, { mine }, talk] = await Promise.all(["kit", "link", "list", "talk"].map(part));
const { $, announce, ask, atClock, happen, me, nameOf, named, now, on, picture, said, store, words, write } = kit;

// -- presence ---------------------------------------------------------------------------------------------------------

let seat = null;

// who has never sat at the desk has no seat yet
const NOBODY = { id: me.id, status: "offline", until: null, load: 0, capacity: null, skills: [], languages: [] };

on("agents", (agents) => show(agents.find((agent) => agent.id === me.id) ?? NOBODY));
on("presence", (agent) => agent.id === me.id && show(agent));

function show(agent) {
  seat = agent;
  const { status, until, capacity } = agent;
  const place = $("presence").querySelector("summary");
  place.querySelector(".dot").className = `dot ${status}`;
  const text = status === "break" && until ? said("break_until", { time: atClock(until) }) : named("status", status);
  write(place, ".state", text);
  showLoad();
  if (document.activeElement !== $("capacity")) $("capacity").value = capacity;
  $("skills").textContent = agent.skills.map((skill) => named("skill", skill)).join(words.comma) || words.all_skills;
  $("languages").textContent = agent.languages.map((each) => named("language_name", each)).join(words.comma);
  for (const button of $("presence").querySelectorAll("[data-status]")) {
    button.toggleAttribute("aria-current", button.dataset.status === status);
  }
  happen("seat", agent);
}

const showLoad = () =>
  write($("presence"), ".load", seat?.capacity ? `${mine.size}/${seat.capacity}` : "");
on("mine-shown", showLoad);

/** Says what I am doing: {status, minutes?} or {capacity}. */
async function be({ status = seat.status, minutes = null, capacity = null }) {
  const body = { status };
  // whoever leaves gives their customers back
  if (status === "offline" && mine.size) {
    write($("leaving"), "p", said("leaving", { count: mine.size }));
    if (!(await ask($("leaving")))) return;
  }
  if (minutes) body.until = new Date(now() + minutes * 60000).toISOString();
  if (capacity) body.capacity = capacity;
  try {
    show(await call("PUT", "/agents/me/presence", body));
  } catch (error) {
    announce(said("presence_failed", { why: told(error) }), { bad: true });
  }
}

on("be", be);
$("presence").addEventListener("click", ({ target }) => {
  const { status, minutes } = target.closest("[data-status]")?.dataset ?? {};
  if (status) be({ status, minutes: Number(minutes) || null });
});
$("capacity").addEventListener("change", ({ target }) => target.reportValidity() && be({ capacity: Number(target.value) }));

// -- sound ------------------------------------------------------------------------------------------------------------

let audio = null;
let muted = store.get("muted") ?? false;
let volume = store.get("volume") ?? 60;

/** Notes one after the other: [hertz, seconds]. */
export function play(notes) {
  if (muted || !volume) return;
  audio ??= new AudioContext();
  audio.resume();
  let at = audio.currentTime + 0.02;
  for (const [hertz, seconds] of notes) {
    const [tone, loudness] = [audio.createOscillator(), audio.createGain()];
    tone.type = "sine";
    tone.frequency.value = hertz;
    loudness.gain.setValueAtTime(0, at);
    loudness.gain.linearRampToValueAtTime((volume / 100) ** 2 * 0.5, at + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.0001, at + seconds);
    tone.connect(loudness).connect(audio.destination);
    tone.start(at);
    tone.stop(at + seconds);
    at += seconds;
  }
  document.body.dataset.played = Number(document.body.dataset.played ?? 0) + 1;
}

export const ASSIGNED = [[659, 0.18], [880, 0.3]];
const MESSAGE = [[740, 0.16]];
export const DANGER = [[880, 0.2], [620, 0.2], [880, 0.2], [620, 0.35]];

function showSound() {
  $("mute").checked = muted;
  $("volume").value = volume;
  picture($("sound").querySelector("summary"), muted || !volume ? "volume-x" : "volume-2");
  document.body.classList.toggle("muted", muted);
}

/** Mutes everything, or lets it sound again. */
export function mute(yes = !muted) {
  muted = yes;
  store.set("muted", muted);
  showSound();
  announce(muted ? words.muted : words.unmuted);
}

$("mute").addEventListener("change", ({ target }) => mute(target.checked));
$("volume").addEventListener("input", ({ target }) => {
  volume = Number(target.value);
  store.set("volume", volume);
  showSound();
});
$("listen").addEventListener("click", () => play(ASSIGNED));

// -- notification -----------------------------------------------------------------------------------------------------

const allowed = () => "Notification" in window && Notification.permission === "granted";

function showNotify() {
  $("notify").hidden = !("Notification" in window) || allowed();
  $("notify-told").textContent = allowed() ? words.notify_on : "";
}

$("notify").addEventListener("click", async () => {
  const answer = await Notification.requestPermission();
  showNotify();
  if (answer !== "granted") $("notify-told").textContent = words.notify_off;
});

/** Tells somebody who looks elsewhere. */
export function notify(text, conversation) {
  if (muted || !document.hidden || !allowed()) return;
  const shown = new Notification(text, { tag: String(conversation), lang: words.language });
  shown.onclick = () => {
    focus();
    shown.close();
    happen("open", { id: conversation });
  };
}

const taken = new Set(); // claimed by hand, here
on("claimed", ({ id }) => taken.add(id));
on("handed", (view) => {
  if (document.body.dataset.claiming || taken.delete(view.id)) return;
  play(ASSIGNED);
  const text = said("handed", { name: nameOf(view) });
  announce(text);
  notify(text, view.id);
});
on("wanted", ({ entry, text }) => {
  play(ASSIGNED);
  notify(`${text}${words.colon}${nameOf(entry)}`, entry.conversation);
});

let heardAt = 0;
on("line", ({ conversation, line }) => {
  const view = mine.get(conversation);
  if (!view || line.direction !== "in" || (talk.isOpen(conversation) && !document.hidden)) return;
  // many at once make one sound
  if (Date.now() - heardAt > 2000) play(MESSAGE);
  heardAt = Date.now();
  notify(said("new_message", { name: nameOf(view) }), conversation);
});

// -- title and icon ---------------------------------------------------------------------------------------------------

const title = document.title;
const icon = document.querySelector("link[rel=icon]");
const plain = { href: icon.href, type: icon.type };
let drawn = 0;

/** The icon with a number on it. */
function draw(count) {
  if (count === drawn) return;
  drawn = count;
  if (!count) {
    Object.assign(icon, plain);
    return;
  }
  const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
  const pen = canvas.getContext("2d");
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  pen.fillStyle = token("--red");
  pen.arc(16, 16, 16, 0, 2 * Math.PI);
  pen.fill();
  pen.fillStyle = token("--surface");
  pen.font = `bold ${count > 9 ? 18 : 22}px sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(count > 99 ? "99" : count, 16, 17);
  Object.assign(icon, { type: "image/png", href: canvas.toDataURL() });
}

on("mine-shown", () => {
  const unread = [...mine.values()].reduce((sum, view) => sum + view.unread, 0);
  document.title = unread ? said("unread_title", { count: unread, title }) : title;
  draw(unread);
});

showSound();
showNotify();
