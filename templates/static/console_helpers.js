// Suggestions while one writes: canned replies after "/", colleagues after "@", walked with the arrow keys.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [{ $, cloned, me, on, words, write }, { call }, talk, composer] = await Promise.all(
  ["kit", "link", "talk", "composer"].map(part),
);
const { box, composing, insert, writesTo } = composer;

const list = $("suggest");
let canned = []; // of the conversation in view, variables filled in
let colleagues = [];
let offered = []; // {title, about, text, from}
let at = 0;

on("opened", async (found) => {
  hide();
  canned = [];
  if (!found) return;
  const { id } = found.conversation;
  const replies = await call("GET", `/conversations/${id}/canned`).catch(() => null);
  if (!replies || !talk.isOpen(id)) return;
  canned = replies;
  if (document.activeElement === box) show();
});
on("agents", (agents) => (colleagues = agents.filter((agent) => agent.id !== me.id)));
on("presence", (agent) => (colleagues = colleagues.map((each) => (each.id === agent.id ? agent : each))));
composer.mentionsFrom(() => colleagues);

/** What the word before the caret asks for. */
function asked() {
  const before = box.value.slice(0, box.selectionStart);
  const [, sign, word] = /(?:^|\s)([/@])(\S*)$/.exec(before) || [];
  if (!sign) return [];
  const from = before.length - word.length - 1;
  const wanted = word.toLowerCase();
  const has = (...texts) => texts.some((text) => text.toLowerCase().includes(wanted));
  if (sign === "/" && writesTo() === "reply") {
    const found = canned.filter((one) => has(one.shortcut, one.text));
    found.sort((one, other) => other.shortcut.startsWith(word) - one.shortcut.startsWith(word));
    return found.map((one) => ({ title: `/${one.shortcut}`, about: one.text, text: one.text, from }));
  }
  if (sign === "@" && writesTo() !== "reply") {
    const found = colleagues.filter((one) => has(one.name));
    return found.map((one) => ({ title: one.name, about: words.status[one.status], text: `@${one.name} `, from }));
  }
  return [];
}

function show() {
  offered = asked().slice(0, 8);
  at = 0;
  list.hidden = !offered.length;
  list.replaceChildren(
    ...offered.map((each, number) => {
      const option = Object.assign(cloned("an-option"), { id: `suggest-${number}` });
      write(option, "strong", each.title);
      write(option, ".soft", each.about);
      option.addEventListener("mousedown", (event) => {
        event.preventDefault(); // the focus stays in the box
        choose(number);
      });
      return option;
    }),
  );
  mark();
}

function mark() {
  [...list.children].forEach((option, number) => option.setAttribute("aria-selected", number === at));
  if (offered.length) box.setAttribute("aria-activedescendant", `suggest-${at}`);
  else box.removeAttribute("aria-activedescendant");
  list.children[at]?.scrollIntoView({ block: "nearest" });
}

function hide() {
  offered = [];
  list.hidden = true;
  box.removeAttribute("aria-activedescendant");
}

function choose(number) {
  const { text, from } = offered[number];
  insert(text, { from, to: box.selectionStart });
  hide();
}

box.addEventListener("input", (event) => !event.isComposing && show());
box.addEventListener("compositionend", show);
box.addEventListener("blur", hide);
// before the composer, which sends on Enter
box.addEventListener(
  "keydown",
  (event) => {
    if (!offered.length || composing(event)) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) at = (at + step + offered.length) % offered.length;
    else if (event.key === "Enter" || event.key === "Tab") choose(at);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
    event.stopPropagation();
    mark();
  },
  true,
);
