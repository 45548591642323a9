// The lines of a conversation: how a message looks, where it stands, and what stays in view.

export const { $, cloned, write, tell, fileElement, openSources } = await import(
  document.querySelector('link[rel=modulepreload][href*="/bubble.js"]').href
);
export const words = JSON.parse($("words").textContent);
export const lines = $("lines");
const view = $("transcript");
const locale = words.language.replace("_", "-");
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(locale, { month: "long", day: "numeric", weekday: "long" });
const near = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

// -- how a message looks ----------------------------------------------------------------------------------------------

/** What a tapped choice says, by its id. */
export const spoken = { ...words.spoken };

/** A message as an element that stands nowhere yet. */
export function lineElement(message) {
  const element = cloned(`line-${message.direction}`);
  const bubble = element.querySelector(".bubble");
  element.id = message.id ? `m${message.id}` : "";
  if (message.id) element.dataset.id = message.id;
  else element.removeAttribute("data-id");
  element.dataset.at = message.at;
  element.querySelector("time").dateTime = message.at;
  element.classList.toggle("system", message.by === "system");
  if (message.by === "agent") {
    write(bubble, ".by", words.agent.replace("{number}", message.agent)).classList.remove("unseen");
  }
  tell(bubble, message.text || (message.choice ? spoken[message.choice] || words.chosen : ""));
  for (const file of message.attachments || []) bubble.append(fileElement(file, words.pictures));
  if (message.location) {
    const { latitude, longitude } = message.location;
    const place = cloned("a-place");
    write(place, "span", `${words.spot} ${latitude.toFixed(5)}, ${longitude.toFixed(5)}`);
    bubble.append(place);
  }
  for (const source of message.sources || []) {
    const cited = cloned("a-source");
    Object.assign(cited.dataset, { entry: source.entry, version: source.version });
    const article = source.article ? words.article + source.article : "";
    const title = message.sources.length > 1 ? `\n${source.title}` : "";
    write(cited, ".cited", words.source.replace("{document}", () => source.document) + article + title);
    write(cited, "strong", source.title);
    bubble.append(cited);
  }
  const choices = (message.choices || []).map((choice) => {
    spoken[choice.id] = choice.label;
    return Object.assign(cloned("a-choice"), { value: choice.id, textContent: choice.label });
  });
  if (choices.length) element.querySelector(".choices").replaceChildren(...choices);
  else element.querySelector(".choices")?.remove();
  return element;
}

// -- where it stands --------------------------------------------------------------------------------------------------

/** Writes the time of a line, and the day above it where a new one begins. */
export function dress(line) {
  const at = new Date(line.dataset.at);
  const day = at.toDateString();
  line.dataset.day = day;
  line.querySelector("time").textContent = clock.format(at);
  line.querySelector(".day")?.remove();
  if (line.previousElementSibling?.dataset.day === day) return;
  const ago = Math.round((new Date(day) - new Date(new Date().toDateString())) / 86400000);
  const heading = document.createElement("p");
  heading.className = "day";
  heading.textContent = ago > -2 ? near.format(ago, "day") : date.format(at);
  line.prepend(heading);
}

/** Shows a line where its number belongs; lines still being sent stay last. */
export function place(line) {
  const number = Number(line.dataset.id || Infinity);
  let before = lines.lastElementChild;
  while (before && Number(before.dataset.id || (number === Infinity ? 0 : Infinity)) > number) {
    before = before.previousElementSibling;
  }
  lines.insertBefore(line, before ? before.nextSibling : lines.firstChild);
  dress(line);
  if (line.nextElementSibling) dress(line.nextElementSibling);
  $("empty")?.remove();
}

/** Shows what became of a message of the customer's. */
export function mark(line, icon, said) {
  line.querySelector(".fate use").setAttribute("href", `${words.icons}#${icon}`);
  write(line, ".fate .unseen", said);
}

/** The conversation as plain text. */
export function plain() {
  const told = [...lines.querySelectorAll(".line")].map((line) => {
    const at = new Date(line.dataset.at).toLocaleString(locale);
    const text = (name) => [...line.querySelectorAll(name)].map((found) => found.innerText);
    const pictures = [...line.querySelectorAll(".picture img")].map((image) => image.alt);
    const parts = [...text(".bubble > .words"), ...pictures, ...text(".name"), ...text(".place"), ...text(".cited")];
    return `${at}  ${text(".by")[0]}\n${parts.filter(Boolean).join("\n")}`;
  });
  return [words.transcript, ...told].join("\n\n");
}

// -- what stays in view -----------------------------------------------------------------------------------------------

let atEnd = true;

/** Goes to the last line; `ifThere` only when it was in view before. */
export function toEnd({ ifThere = false } = {}) {
  if (ifThere && !atEnd) return;
  view.scrollTop = view.scrollHeight;
  atEnd = true;
}

/** Shows a new line, but never past its beginning; whoever reads further up is only told of it. */
export function reveal(line) {
  if (atEnd) view.scrollTop = Math.min(view.scrollHeight, line.offsetTop - 8);
  else $("pill").hidden = false;
}

view.addEventListener("scroll", () => {
  atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 64;
  if (atEnd) $("pill").hidden = true;
});
new ResizeObserver(() => toEnd({ ifThere: true })).observe(view);
$("pill").addEventListener("click", () => {
  toEnd();
  $("text").focus();
});

// the time of a line is shown on tap
lines.addEventListener("click", ({ target }) => {
  const bubble = target.closest(".bubble");
  if (bubble && !target.closest("a, summary")) bubble.closest(".line").classList.toggle("timed");
});
