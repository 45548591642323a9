// The console by keyboard: single letters where nobody types, a palette of commands, the sheet of keys.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, list, talk, outbox, composer, guide, deeds, seat, promises] = await Promise.all(
  ["kit", "list", "talk", "outbox", "composer", "guide", "deeds", "seat", "promises"].map(part),
);
const { $, cloned, happen, nameOf, words, write } = kit;

/** Writes in a mode, if there is a conversation to write in. */
function writeTo(mode) {
  if (!talk.open) return;
  talk.show("talk");
  composer.turn(mode === "reply" ? composer.first() : mode);
  composer.box.focus();
}

const go = (address) => () => location.assign(address);
const be = (status) => () => happen("be", { status });

// everything that can be done: [key, command]
const COMMANDS = {
  next: ["n", () => list.claim()],
  reply: ["r", () => writeTo("reply")],
  note: ["o", () => writeTo("note")],
  guide: ["g", guide.goTo],
  close: ["c", deeds.close],
  transfer: ["t", deeds.transfer],
  return: ["b", deeds.giveBack],
  today: ["y", promises.goTo],
  online: [null, be("online")],
  away: [null, be("away")],
  offline: [null, be("offline")],
  mute: ["m", () => seat.mute()],
  keys: ["?", () => $("keys").showModal()],
  customers: [null, go("/desk/customers")],
  canned: [null, go("/desk/canned")],
};
if (words.may.supervise) COMMANDS.floor = [null, go("/desk/floor")];

const KEYS = new Map([
  ...Object.values(COMMANDS).filter(([key]) => key),
  ["a", deeds.acceptFirst],
  ["j", () => list.step(1)],
  ["u", () => list.step(-1)],
  ["k", () => openPalette()],
  ["i", guide.insertBest],
  ["z", outbox.undoLast],
  ["/", () => {
    writeTo("reply");
    composer.insert("/");
  }],
]);

const typing = (target) => target.closest("input:not([type=radio], [type=checkbox], [type=range]), textarea, select");

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.defaultPrevented || composer.composing(event)) return;
  const control = event.ctrlKey || event.metaKey;
  if (control && !event.altKey && key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  if (control && !event.altKey && key.toLowerCase() === "i" && target === composer.box) {
    event.preventDefault();
    guide.insertBest();
    return;
  }
  if (control || event.altKey) return;
  if (key === "Escape" && typing(target)) {
    target.blur();
    if (talk.open) $("transcript").focus({ preventScroll: true });
    return;
  }
  if (typing(target) || target.closest("[role=tab], summary, .items") && key.startsWith("Arrow")) return;
  const deed = KEYS.get(key.length === 1 ? key.toLowerCase() : key);
  if (!deed || event.repeat) return;
  event.preventDefault();
  deed();
});

$("show-keys").addEventListener("click", () => $("keys").showModal());

// -- the palette ------------------------------------------------------------------------------------------------------

const field = $("command");
let found = [];
let at = 0;

/** Commands and conversations that contain what is typed. */
function matching(wanted) {
  const all = [
    ...Object.entries(COMMANDS).map(([name, [key, deed]]) => ({ text: words.command[name], about: key?.toUpperCase() ?? "", deed })),
    ...list.ordered().map((view) => ({ text: nameOf(view), about: words.is_conversation, deed: () => happen("open", { id: view.id }) })),
    ...list.queue.entries.map((entry) => ({
      text: nameOf(entry),
      about: words.is_waiting,
      deed: () => happen("open", { id: entry.conversation }),
    })),
  ];
  return all.filter(({ text }) => text.toLowerCase().includes(wanted.toLowerCase().trim()));
}

function showPalette() {
  found = matching(field.value).slice(0, 12);
  at = 0;
  const options = found.map((each, number) => {
    const option = Object.assign(cloned("an-option"), { id: `command-${number}` });
    write(option, "strong", each.text);
    write(option, ".soft", each.about);
    option.addEventListener("click", () => run(number));
    return option;
  });
  if (!options.length) {
    const none = cloned("an-option");
    none.setAttribute("aria-disabled", "true");
    write(none, ".soft", words.no_command);
    options.push(none);
  }
  $("commands").replaceChildren(...options);
  mark();
}

function mark() {
  [...$("commands").children].forEach((option, number) => {
    option.setAttribute("aria-selected", found.length > 0 && number === at);
  });
  if (found.length) field.setAttribute("aria-activedescendant", `command-${at}`);
  else field.removeAttribute("aria-activedescendant");
  $("commands").children[at].scrollIntoView({ block: "nearest" });
}

function run(number) {
  const chosen = found[number];
  $("palette").close();
  chosen?.deed();
}

function openPalette() {
  if (document.querySelector("dialog[open]")) return;
  field.value = "";
  $("palette").showModal();
  showPalette();
}

field.addEventListener("input", showPalette);
field.addEventListener("keydown", (event) => {
  if (composer.composing(event)) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && found.length) at = (at + step + found.length) % found.length;
  else if (event.key === "Enter") run(at);
  else return;
  event.preventDefault();
  mark();
});
