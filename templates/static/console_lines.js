// The lines of a conversation as the desk sees them: how one looks, and where it stands among the others.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [{ $, atClock, cloned, day, fileElement, named, openSources, picture, said, tell, words, write }, { call }] = await Promise.all(
  ["kit", "link"].map(part),
);

export const lines = $("lines");

// -- how a line looks -------------------------------------------------------------------------------------------------

function placeElement({ latitude, longitude }) {
  const element = cloned("a-place");
  const text = `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
  write(element, ".number", `${words.place} ${text}`);
  return element;
}

function sourceElement(source, many) {
  const element = cloned("a-source");
  Object.assign(element.dataset, { entry: source.entry, version: source.version });
  const document = source.document ? said("source", { document: source.document }) : source.title;
  const article = source.article ? words.article + source.article : "";
  write(element, ".cited", document + article + (many ? `\n${source.title}` : ""));
  write(element, "strong", source.title);
  return element;
}

/** Who says it, in a word. */
function speaker(line) {
  if (line.direction === "note") return `${line.whisper ? words.whisper : words.note} · ${line.by}`;
  if (line.who === "bot") return words.who.bot;
  if (line.who === "customer") return words.who.customer;
  return line.who === "agent" ? line.by : words.who[line.who];
}

/** What stands in a conversation as a rule across it: who came and who went. */
const isMark = (line) => line.direction === "out" && line.name in words.mark;

/** A line as an element that stands nowhere yet. */
export function lineElement(line) {
  const element = cloned(isMark(line) ? "line-mark" : `line-${line.direction}`);
  Object.assign(element.dataset, { id: line.id ?? "", at: line.at });
  element.id = line.id ? `m${line.id}` : "";
  Object.assign(write(element, "time", atClock(line.at)), { dateTime: line.at });
  if (isMark(line)) {
    write(element, ".rule span", words.mark[line.name] || line.text);
    return element;
  }
  const bubble = element.querySelector(".bubble");
  element.classList.add(line.who);
  element.classList.toggle("whisper", Boolean(line.whisper));
  write(bubble, ".by", speaker(line));
  tell(bubble, line.text || (line.attachments?.length || line.location ? "" : words.chosen));
  for (const file of line.attachments || []) bubble.append(fileElement(file, words.pictures));
  if (line.location) bubble.append(placeElement(line.location));
  for (const source of line.sources || []) bubble.append(sourceElement(source, line.sources.length > 1));
  if (line.choices?.length) {
    const list = cloned("some-choices");
    list.append(...line.choices.map((choice) => Object.assign(cloned("a-choice"), { textContent: choice.label })));
    bubble.append(list);
  }
  if (line.direction === "out") fate(element, line.fate ?? "sent", line.cause);
  return element;
}

const TICKS = { held: "undo-2", waiting: "wifi-off", queued: "clock-3", sending: "clock-3", sent: "check" };
const TROUBLE = { unknown: "circle-question-mark", failed: "circle-alert", unreachable: "circle-alert", cancelled: "x" };

/** Shows what became of a message of ours: a tick, or what went wrong and another try. */
export function fate(element, state, cause = "") {
  const tick = element.querySelector(".tick");
  if (!tick) return;
  element.dataset.fate = state;
  picture(tick, TICKS[state] || TROUBLE[state] || "circle-question-mark");
  write(tick, ".unseen", named("fate", state));
  const failure = element.querySelector(".failure");
  failure.hidden = !(state in TROUBLE);
  write(failure, "span", [named("fate", state), cause].filter(Boolean).join(words.colon));
  failure.querySelector(".retry").hidden = state === "cancelled";
}

// -- where it stands --------------------------------------------------------------------------------------------------

/** Puts a line where its number belongs; what is not sent yet stays last. False if it stood there already. */
export function place(line) {
  const number = Number(line.dataset.id || Infinity);
  let before = lines.lastElementChild;
  const numberOf = (each) => Number(each.dataset.id || Infinity);
  while (before && (before.matches(".day") || numberOf(before) > number)) before = before.previousElementSibling;
  lines.insertBefore(line, before ? before.nextSibling : lines.firstChild);
}

/** Writes the days between lines anew. */
export function divide() {
  let last = "";
  for (const each of [...lines.children]) {
    if (each.matches(".day")) {
      each.remove();
      continue;
    }
    const name = day(each.dataset.at);
    if (name !== last) lines.insertBefore(Object.assign(cloned("a-day"), { textContent: name }), each);
    last = name;
  }
}

openSources(lines, words, (path) => call("GET", path), () => "");
