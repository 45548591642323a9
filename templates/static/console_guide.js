// The service guide beside the conversation: what the customer asked last, or what the agent types.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, told }, lines, talk, composer, { choose }] = await Promise.all(
  ["kit", "link", "lines", "talk", "composer", "list"].map(part),
);
const { $, announce, cloned, later, on, said, tell, words, write } = kit;

const box = $("question");
let question = ""; // what is looked up now
let asked = null; // the customer's line it came from
let number = 0; // of the latest search: slower ones that were overtaken are dropped

/** Looks a question up and lists what the guide has. */
async function search(text, line = null) {
  question = text.trim();
  asked = line;
  const mine = ++number;
  $("asked").textContent = line ? said("asked", { text: question.slice(0, 60) }) : "";
  $("gap").hidden = true;
  if (!question) {
    show([], words.no_answer_yet);
    return;
  }
  nothing(words.searching);
  try {
    const found = await call("POST", "/guide/questions", { question: question.slice(0, 2000) });
    if (mine !== number) return;
    const answered = found.answer && { answer: found.answer, source: found.sources[0] };
    const matches = found.matches.map((match, place) => ({ ...match, ...(place ? null : answered) }));
    const useful = found.decision === "abstain" ? matches.filter((match) => match.score >= 0.05) : matches;
    show(useful.slice(0, 5), words.no_match);
    $("gap").hidden = false;
  } catch (error) {
    if (mine === number) show([], told(error));
  }
}

function nothing(text) {
  $("matches-none").textContent = text;
  $("matches-none").hidden = !text;
}

function show(matches, none) {
  nothing(matches.length ? "" : none);
  $("matches").replaceChildren(...matches.map(matchElement));
  const first = $("matches").firstElementChild;
  if (first && matches[0].answer) first.querySelector("details").open = true;
}

function matchElement(match) {
  const element = cloned("a-match");
  write(element, ".title", match.title);
  write(element, ".share", `${Math.round(match.score * 100)}%`);
  element.match = match;
  const fill = ({ answer, source }) => {
    tell(element, answer.trim());
    write(element, ".cited", citation(source));
  };
  if (match.answer) fill(match);
  element.querySelector("details").addEventListener("toggle", async () => {
    if (match.answer) return;
    await read(match).then(fill, (error) => tell(element, told(error)));
  });
  element.querySelector(".insert").addEventListener("click", () => insert(element));
  return element;
}

/** Reads the whole entry of a match. */
async function read(match) {
  const found = await call("GET", `/guide/entries/${encodeURIComponent(match.entry)}`);
  return Object.assign(match, { answer: found.answer, source: found });
}

function citation({ document, article, title }) {
  const where = article ? words.article + article : "";
  return document ? said("cited", { document, article: where }) : title;
}

/** Puts an answer with its source into the reply. */
async function insert(element) {
  const { match } = element;
  try {
    if (!match.answer) await read(match);
  } catch (error) {
    announce(told(error), { bad: true });
    return;
  }
  if (!talk.mayReply()) return;
  if (composer.writesTo() !== "reply") composer.turn("reply");
  const { box: reply } = composer;
  const gap = reply.value && !reply.value.slice(0, reply.selectionStart).endsWith("\n") ? "\n" : "";
  talk.show("talk");
  composer.cite(match.source, citation(match.source));
  composer.insert(gap + match.answer.trim());
  announce(words.inserted);
}

/** Inserts the open match, or else the first. */
export function insertBest() {
  const open = $("matches").querySelector("details[open]")?.closest(".match") || $("matches").firstElementChild;
  if (open) insert(open);
}

/** Goes to the search. */
export function goTo() {
  talk.show("about");
  choose($("tab-guide"));
  box.focus();
  box.select();
}

const typed = later(() => search(box.value), 300);
box.addEventListener("input", (event) => !event.isComposing && typed());
box.addEventListener("compositionend", typed);
box.addEventListener("keydown", (event) => {
  if (composer.composing(event)) return;
  if (event.key === "Enter") {
    event.preventDefault();
    insertBest();
  } else if (event.key === "ArrowDown") {
    event.preventDefault();
    $("matches").querySelector("summary")?.focus();
  }
});

$("gap").addEventListener("click", async () => {
  const body = { question };
  if (asked) body.conversation_line = asked.id;
  try {
    await call("POST", "/guide/gaps", body);
    $("gap").hidden = true;
    nothing(words.gap_told);
  } catch (error) {
    announce(told(error), { bad: true });
  }
});

on("opened", (found) => {
  box.value = "";
  const last = found?.lines.findLast((line) => line.direction === "in" && line.text);
  search(last?.text ?? "", last ?? null);
});
on("customer-said", (line) => line.text && !box.value && search(line.text, line));
