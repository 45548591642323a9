// What ends or moves a conversation: transfer, return to the bot, close, take over; and what is offered to me.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }, list, talk] = await Promise.all(["kit", "link", "list", "talk"].map(part));
const { $, announce, ask, cloned, count, happen, me, nameOf, named, on, rankMark, reconcile, said, words, write } = kit;

/** Does something with the conversation in view; gives what the server says, or null when it refuses. */
async function act(deed, body) {
  const { id } = talk.open;
  try {
    return await call("POST", `/conversations/${id}/${deed}`, body);
  } catch (error) {
    announce(told(error), { bad: true });
    return null;
  }
}

/** The conversation leaves my hands: the next of mine comes into view. */
function leave(view, text) {
  const next = list.ordered().find((each) => each.id !== view.id);
  list.keep(view);
  announce(text);
  talk.closeView(next?.id);
}

/** Opens one of the dialogs for the conversation in view, if it is mine. */
async function about(dialog) {
  if (!talk.open || !talk.isMine()) return null;
  dialog.querySelector("form").reset();
  const form = await ask(dialog);
  return form && talk.open ? form : null;
}

export async function close() {
  const form = await about($("closing"));
  const closed = form && (await act("close", form));
  if (closed) leave(closed, words.closed);
}

export async function giveBack() {
  const form = await about($("returning"));
  const returned = form && (await act("return", form));
  if (returned) leave(returned, words.returned);
}

// -- transfer ---------------------------------------------------------------------------------------------------------

let agents = [];
on("agents", (found) => (agents = found));
on("presence", (agent) => (agents = [...agents.filter((each) => each.id !== agent.id), agent]));

function colleagues() {
  const there = agents.filter((agent) => agent.id !== me.id && agent.status === "online");
  there.sort((one, other) => one.load / one.capacity - other.load / other.capacity);
  const options = [{ id: "", name: words.to_queue, about: words.to_queue_why }];
  for (const agent of there) {
    const skills = agent.skills.map((skill) => named("skill", skill)).join(words.comma) || words.all_skills;
    options.push({ ...agent, about: said("agent_load", { load: agent.load, capacity: agent.capacity, skills }) });
  }
  return options;
}

export async function transfer() {
  const legend = $("whom-to").querySelector("legend");
  const options = colleagues().map(({ id, name, about: text, load, capacity }) => {
    const option = cloned("a-colleague");
    Object.assign(option.querySelector("input"), { value: id, disabled: load >= capacity });
    write(option, "strong", name);
    write(option, ".soft", text);
    return option;
  });
  $("whom-to").replaceChildren(legend, ...options);
  const form = await about($("transferring"));
  if (!form) return;
  const to = form.to ? Number(form.to) : null;
  const moved = await act("transfer", { to, skill: form.skill || null, summary: form.summary });
  if (!moved) return;
  if (to) {
    const who = agents.find((agent) => agent.id === to).name;
    list.keep(moved);
    announce(said("transferred_to", { who }));
    happen("conversation", moved);
  } else {
    leave(moved, words.requeued);
  }
}

// -- take over --------------------------------------------------------------------------------------------------------

export async function takeOver() {
  if (!talk.open || talk.isMine() || !words.may.supervise) return;
  $("taking").querySelector("form").reset();
  const form = await ask($("taking"));
  const taken = form && (await act("takeover", form));
  if (!taken) return;
  announce(words.taken);
  happen("claimed", taken);
  happen("caught-up");
}

for (const [button, deed] of [
  ["close-it", close],
  ["return-it", giveBack],
  ["transfer-it", transfer],
  ["take-it", takeOver],
]) {
  $(button).addEventListener("click", deed);
}

// -- offered to me ----------------------------------------------------------------------------------------------------

const offers = new Map(); // entries that wait for my word

async function offer(entry) {
  if (entry.offered_to !== me.id || (entry.offer_until && new Date(entry.offer_until) < kit.now())) {
    withdraw(entry.id);
    return;
  }
  const known = offers.has(entry.id);
  offers.set(entry.id, { ...offers.get(entry.id), ...entry });
  showOffers();
  if (known) return;
  const handed = entry.status === "transferring";
  happen("wanted", { entry, text: said(handed ? "handed" : "offered", { name: nameOf(entry) }) });
  if (!handed) return;
  // what the colleague has written for whoever takes over
  const { lines } = await call("GET", `/conversations/${entry.conversation}`).catch(() => ({ lines: [] }));
  const note = lines.findLast((line) => line.direction === "note" && line.mentions.includes(me.id));
  if (!note || !offers.has(entry.id)) return;
  offers.get(entry.id).summary = note.text;
  showOffers();
}

on("offer", ({ entry, name }) => offer({ ...entry, name }));
on("conversation", ({ entry }) => {
  if (entry && offers.has(entry.id) && entry.offered_to !== me.id) withdraw(entry.id);
});
on("queue", ({ entries }) => {
  const there = new Set(entries.map((entry) => entry.id));
  for (const { id, status } of offers.values()) if (status === "offered" && !there.has(id)) withdraw(id);
  for (const entry of entries) if (entry.offered_to === me.id || offers.has(entry.id)) offer(entry);
});

function withdraw(id) {
  if (offers.delete(id)) showOffers();
}

function showOffers() {
  reconcile($("offers"), offers.values(), {
    key: (entry) => entry.id,
    make: offerRow,
    show(row, entry) {
      rankMark(row, entry.rank);
      write(row, ".name", nameOf(entry));
      write(row, ".facts-line", list.facts(entry));
      write(row, ".summary", entry.summary ? said("summary_is", { text: entry.summary }) : "").hidden = !entry.summary;
      row.setAttribute("aria-label", nameOf(entry));
      count(row.querySelector(".left"), { until: entry.offer_until, target: 10 });
    },
  });
}

function offerRow({ id }) {
  const row = cloned("an-offer");
  row.querySelector(".accept").addEventListener("click", () => accept(offers.get(id)));
  row.querySelector(".decline").addEventListener("click", () => decline(offers.get(id)));
  return row;
}

async function accept(entry) {
  const handed = entry.status === "transferring";
  try {
    const path = handed ? `/conversations/${entry.conversation}/transfer/accept` : `/queue/${entry.id}/claims`;
    const taken = await call("POST", path);
    const view = taken.conversation ?? taken;
    list.keep(view);
    happen("open", { id: view.id });
    happen("claimed", view);
  } catch (error) {
    announce(error.status === 409 ? words.offer_gone : told(error), { bad: true });
  }
  withdraw(entry.id);
}

async function decline(entry) {
  const handed = entry.status === "transferring";
  const path = handed ? `/conversations/${entry.conversation}/transfer/decline` : `/queue/${entry.id}/decline`;
  try {
    await call("POST", path);
    announce(words.declined);
  } catch (error) {
    announce(told(error), { bad: true });
  }
  withdraw(entry.id);
}

/** Accepts what was offered first. */
export function acceptFirst() {
  const [first] = offers.values();
  if (first) accept(first);
}

setInterval(() => {
  for (const entry of offers.values()) if (entry.offer_until && new Date(entry.offer_until) < kit.now()) withdraw(entry.id);
}, 1000);
