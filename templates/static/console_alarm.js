// Danger: a red banner across everything, with a sound that goes on until somebody takes it.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }, seat] = await Promise.all(["kit", "link", "seat"].map(part));
const { $, announce, cloned, happen, nameOf, on, reconcile, said, words, write } = kit;

const EVERY = 4000; // milliseconds between two soundings
const alarms = new Map();

function hear(alarm) {
  if (alarm.acknowledged_at) alarms.delete(alarm.id);
  else if (!alarms.has(alarm.id)) {
    alarms.set(alarm.id, alarm);
    seat.play(seat.DANGER);
    seat.notify(said("alarm", { name: nameOf(alarm) }), alarm.conversation);
  } else alarms.set(alarm.id, alarm);
  show();
}

function show() {
  reconcile($("alarms"), alarms.values(), { key: (alarm) => alarm.id, make: row, show: fill });
}

function fill(element, alarm) {
  write(element, ".what", said("alarm", { name: nameOf(alarm) }));
  write(element, ".text", alarm.text);
  const names = alarm.told.map((each) => each.name).join(words.comma);
  write(element, ".told-whom", names ? said("alarm_told", { names }) : "");
}

function row(alarm) {
  const element = cloned("an-alarm");
  element.setAttribute("role", "alert");
  const open = () => happen("open", { id: alarm.conversation });
  element.querySelector(".look").addEventListener("click", open);
  element.querySelector(".acknowledge").addEventListener("click", async () => {
    try {
      await call("POST", `/alarms/${alarm.id}/acknowledge`);
    } catch (error) {
      announce(told(error), { bad: true });
      return;
    }
    alarms.delete(alarm.id);
    show();
    announce(words.acknowledged);
    open();
  });
  return element;
}

/** What is still open, when the page opens and after the connection was away. */
export async function load() {
  const { alarms: open } = await call("GET", "/alarms?open=true");
  const there = new Set(open.map((alarm) => alarm.id));
  for (const id of alarms.keys()) if (!there.has(id)) alarms.delete(id);
  open.forEach(hear);
  show();
}

on("alarm", hear);
setInterval(() => alarms.size && seat.play(seat.DANGER), EVERY);
