// What was promised to customers: due today, overdue, mine; taken, tried, kept.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }, list, talk] = await Promise.all(["kit", "link", "list", "talk"].map(part));
const { $, announce, ask, atClock, cloned, count, happen, later, me, moment, nameOf, named, on, rankMark, reconcile, said } = kit;
const { words, write } = kit;

let view = "today";
let promises = [];
const SOON = 3600; // seconds before the deadline in which a promise is due soon

/** The list as the server has it now. */
export async function load() {
  try {
    const found = await call("GET", `/promises?view=${view}`);
    promises = found.promises;
    show();
  } catch (error) {
    $("promises-none").textContent = said("not_loaded", { why: told(error) });
    $("promises-none").hidden = false;
  }
}

function show() {
  reconcile($("promises"), promises, { key: (promise) => promise.id, make: row, show: fill });
  $("promises-none").textContent = words.promises_none[view];
  $("promises-none").hidden = promises.length > 0;
  if (view === "today") $("promises-count").textContent = promises.length || "";
}

function fill(element, promise) {
  const open = promise.status === "open" || promise.status === "overdue";
  const own = promise.owner === me.id;
  if (promise.rank) rankMark(element, promise.rank);
  element.querySelector(".rank").hidden = !promise.rank;
  write(element, ".name", nameOf(promise));
  write(element, ".phone", promise.phone || "");
  write(element, ".facts-line", promise.owner ? said("owned", { name: own ? me.name : promise.owner_name }) : words.nobodys);
  count(element.querySelector(".due"), { until: open ? promise.due_at : null, target: SOON });
  element.querySelector(".due").title = said("due_at", { time: moment(promise.due_at) });
  const text = promise.last.at(-1) ?? "";
  write(element, ".about", text ? said("said_last", { text }) : "").hidden = !text;
  reconcile(element.querySelector(".tries"), promise.attempts, {
    key: (attempt) => attempt.at,
    make: () => document.createElement("li"),
    show: (item, { at, result, note }) => {
      const done = said("attempted", { time: atClock(at), result: named("attempt", result) });
      item.textContent = [done, note].filter(Boolean).join(words.dot);
    },
  });
  element.querySelector(".take").hidden = !open || own;
  element.querySelector(".attempt").hidden = element.querySelector(".keep").hidden = !open || !own;
}

function row({ id }) {
  const element = cloned("a-promise");
  const known = () => promises.find((promise) => promise.id === id);
  const act = (name, deed) => element.querySelector(name).addEventListener("click", deed);
  act(".take", () => change(id, "take"));
  act(".attempt", async () => {
    const form = await fillIn($("trying"));
    if (form) change(id, "attempts", form);
  });
  act(".keep", async () => {
    const form = await fillIn($("keeping"));
    if (form && (await change(id, "keep", form))) announce(words.kept);
  });
  act(".see", () => happen("open", { id: known().conversation }));
  return element;
}

function fillIn(dialog) {
  dialog.querySelector("form").reset();
  return ask(dialog);
}

async function change(id, deed, body) {
  try {
    hear(await call("POST", `/promises/${id}/${deed}`, body));
    return true;
  } catch (error) {
    announce(told(error), { bad: true });
    return false;
  }
}

function hear(promise) {
  const over = promise.status === "kept" || promise.status === "cancelled";
  if (over) promises = promises.filter((each) => each.id !== promise.id);
  else if (promises.some((each) => each.id === promise.id)) {
    promises = promises.map((each) => (each.id === promise.id ? promise : each));
  } else {
    soon();
    return;
  }
  show();
}

const soon = later(load, 300);
on("promise", hear);

$("promise-views").addEventListener("click", ({ target }) => {
  const chosen = target.closest("[data-view]");
  if (!chosen) return;
  for (const chip of $("promise-views").querySelectorAll("[data-view]")) {
    chip.setAttribute("aria-pressed", chip === chosen);
  }
  view = chosen.dataset.view;
  load();
});

/** Goes to the list. */
export function goTo() {
  talk.show("list");
  list.choose($("tab-today"), { focus: true });
  load();
}
