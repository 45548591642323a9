// What I have written and the server has not confirmed: held for some seconds, sent in order, never twice.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { Problem, call, isReached, told }, { fate, lineElement, place }, talk] = await Promise.all(
  ["kit", "link", "lines", "talk"].map(part),
);
const { $, announce, cloned, happen, me, now, on, said, store, uuid, words, write } = kit;

/** Each: {client_id, conversation, text, files, location, at, state: waiting|posting|held, release_at, line}. */
const outbox = [];
let sending = false;

const keep = () =>
  store.set(
    "outbox",
    outbox
      .filter((item) => item.state !== "held" && item.files.every((file) => file.id))
      .map(({ line, files, state, ...rest }) => ({ ...rest, files: files.map((file) => file.facts) })),
  );

/** A message on its way; it is shown at once. */
export function send({ text, files, sources, location }) {
  const at = new Date(now()).toISOString();
  const item = { client_id: uuid(), conversation: talk.open.id, seen: talk.seen, text, files, sources, location, at };
  enqueue(item, "waiting");
  talk.toEnd();
  flush();
}

function enqueue(item, state) {
  item.state = state;
  outbox.push(item);
  if (talk.isOpen(item.conversation)) draw(item);
  keep();
}

/** Shows what is not confirmed yet below the conversation it belongs to. */
function draw(item) {
  const shown = { ...item, attachments: item.files.map((file) => file.shown), direction: "out", who: "agent", by: me.name };
  item.line = lineElement(shown);
  item.line.classList.add("pending");
  fate(item.line, item.state === "held" ? "held" : isReached() ? "sending" : "waiting");
  if (item.state === "held") offerUndo(item);
  place(item.line);
}

const drop = (item) => {
  const at = outbox.indexOf(item);
  if (at >= 0) outbox.splice(at, 1);
  item.line?.remove();
  keep();
};

async function flush() {
  if (sending) return;
  sending = true;
  for (let item; isReached() && (item = outbox.find((each) => each.state === "waiting")); ) await deliver(item);
  sending = false;
}

async function deliver(item) {
  item.state = "posting";
  if (item.line) fate(item.line, "sending");
  try {
    const files = await Promise.all(item.files.map((file) => file.sent()));
    const { client_id, text, sources, location, seen } = item;
    const body = { client_id, text, attachments: files.map((file) => file.id), sources, seen };
    if (location) body.location = location;
    const held = await call("POST", `/conversations/${item.conversation}/messages`, body);
    hold(item, held);
  } catch (error) {
    if (!(error instanceof Problem) || !error.status) {
      item.state = "waiting"; // goes out by itself when the connection is back
      if (item.line) fate(item.line, "waiting");
      keep();
      return;
    }
    refuse(item, error);
  }
}

/** The server keeps it for some seconds, in which it can be taken back. */
function hold(item, { release_at }) {
  item.state = "held";
  item.release_at = release_at;
  if (item.line?.isConnected) {
    fate(item.line, "held");
    offerUndo(item);
  }
  keep();
}

function offerUndo(item) {
  const button = cloned("an-undo");
  item.line.querySelector(".undo")?.remove();
  item.line.append(button);
  button.addEventListener("click", () => undo(item));
  const tick = () => {
    const left = Math.ceil((new Date(item.release_at) - now()) / 1000);
    if (left < 1 || !button.isConnected) {
      button.remove();
      if (item.line.isConnected && outbox.includes(item)) fate(item.line, "sending");
      return;
    }
    write(button, "span", said("undo", { count: left }));
    setTimeout(tick, 200);
  };
  tick();
}

async function undo(item) {
  item.line.querySelector(".undo")?.remove();
  item.undoing = true; // the stream may tell of it first
  try {
    const back = await call("DELETE", `/conversations/${item.conversation}/messages/${item.client_id}`);
    if (!outbox.includes(item)) return;
    drop(item);
    happen("put-back", { ...item, text: back.text });
    announce(words.undone);
  } catch (error) {
    item.undoing = false;
    announce(error.status === 409 ? words.too_late : told(error), { bad: true });
  }
}

/** Takes back the message sent last, while that is possible. */
export function undoLast() {
  const last = outbox.findLast((item) => item.state === "held" && talk.isOpen(item.conversation));
  if (last) undo(last);
}

/** Not accepted: what was written goes back to where it was written, and the reason is said. */
function refuse(item, error) {
  drop(item);
  happen("put-back", item);
  if (error.status === 409 && error.code === "newer_unseen") {
    happen("caught-up");
    happen("notice", words.newer);
  } else {
    happen("notice", told(error));
  }
}

// -- what becomes of them ---------------------------------------------------------------------------------------------

on("held", ({ conversation, client_id, state, line }) => {
  const item = outbox.find((each) => each.client_id === client_id);
  if (!item) return;
  if (state === "released") {
    if (line && talk.isOpen(conversation) && !$(`m${line}`)) {
      adopt(item, line);
      return;
    }
    drop(item);
  } else if (state === "refused") {
    drop(item);
    happen("put-back", item);
    happen("caught-up");
    happen("notice", words.newer);
  } else if (state === "undone" && !item.undoing) {
    drop(item);
  }
});

/** The line of the server takes the place of the one shown at once. */
function adopt(item, id) {
  outbox.splice(outbox.indexOf(item), 1);
  keep();
  const { line } = item;
  line.querySelector(".undo")?.remove();
  line.classList.remove("pending");
  line.id = `m${id}`;
  line.dataset.id = id;
  if (line.dataset.fate === "held") fate(line, "queued");
  place(line);
}

// a line that comes before its release is heard of stands for the one shown at once
on("arrived", (line) => {
  if (line.direction !== "out" || line.who !== "agent" || $(`m${line.id}`)) return;
  const same = (item) =>
    talk.isOpen(item.conversation) && item.state === "held" && (line.client_id ? item.client_id === line.client_id : item.text === line.text);
  const item = outbox.find(same);
  if (!item) return;
  if (item.line) {
    adopt(item, line.id);
    fate(item.line, line.fate ?? "queued", line.cause);
  } else {
    drop(item);
  }
});

// what this browser did not know of, or has written before a reload
on("opened", (found) => {
  if (!found) return;
  const { id } = found.conversation;
  for (const item of outbox) if (item.conversation === id) draw(item);
  for (const held of found.held || []) {
    if (outbox.some((item) => item.client_id === held.client_id)) continue;
    const files = (held.attachments || []).map((facts) => ({ id: facts.id, facts, shown: facts, sent: async () => facts }));
    enqueue({ ...held, conversation: id, files, at: new Date(now()).toISOString() }, "held");
  }
});

on("reachable", ({ yes }) => {
  for (const item of outbox) if (item.line && item.state === "waiting") fate(item.line, yes ? "sending" : "waiting");
  if (yes) flush();
});

/** What was waiting when the page was left. */
export function restore() {
  for (const { files, ...item } of store.get("outbox") || []) {
    const there = files.map((facts) => ({ id: facts.id, facts, shown: facts, sent: async () => facts }));
    enqueue({ ...item, files: there }, "waiting");
  }
  flush();
}

addEventListener("beforeunload", (event) => {
  if (outbox.some((item) => item.state !== "held" && item.files.some((file) => !file.id))) event.preventDefault();
});
