// The floor, for supervisors: who works, how much they have, who waits. Conversations open in the console.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, follow, told }] = await Promise.all(["kit", "link"].map(part));
const { $, announce, ask, atClock, cloned, count, later, length, moment, nameOf, named, now, on, rankMark } = kit;
const { reconcile, said, span, synchronise, words, write } = kit;

let agents = [];
let conversations = [];
let queue = { entries: [] };
let storms = null; // the latest first, with their reports

const RANKS = ["A", "important", "B", "C", "D"]; // in service order
const address = (id) => `/desk?c=${id}`;

function showHeld(row, { id, name, rank, waiting_since, entry }) {
  row.querySelector("a").href = address(id);
  write(row, ".name", nameOf({ id, name }));
  rankMark(row, rank);
  count(row.querySelector(".waits"), { since: waiting_since, target: entry?.target_s });
}

function showAgent(row, agent) {
  write(row, ".name", agent.name);
  write(row, ".no", agent.number);
  row.querySelector(".dot").className = `dot ${agent.status}`;
  const resting = agent.status === "break" && agent.until;
  write(row, ".state", resting ? said("break_until", { time: atClock(agent.until) }) : named("status", agent.status));
  write(row, ".load", `${agent.load}/${agent.capacity}`);
  row.classList.toggle("ended", agent.status === "offline");
  write(row, ".skills", agent.skills.map((skill) => named("skill", skill)).join(words.comma) || words.all_skills);
  write(row, ".set .unseen", ` ${agent.name}`);
  const held = conversations.filter((each) => each.agent === agent.id);
  const make = () => cloned("a-held");
  reconcile(row.querySelector(".held"), held, { key: (each) => each.id, make, show: showHeld });
}

function agentRow({ id }) {
  const row = cloned("an-agent");
  row.querySelector(".set").addEventListener("click", () => equip(agents.find((agent) => agent.id === id)));
  return row;
}

const waited = (entry) => (now() - new Date(entry.joined_at)) / 1000;
const late = (entry) => entry.target_s && waited(entry) > entry.target_s;

function showRank(row, { rank, entries }) {
  rankMark(row, rank);
  write(row, ".many", entries.length);
  const [oldest] = entries;
  count(row.querySelector(".waits"), { since: oldest?.joined_at, target: oldest?.target_s });
  write(row, ".goal", oldest?.target_s ? span(oldest.target_s) : "–");
}

function show() {
  const order = { online: 0, break: 1, away: 2, offline: 3 };
  const sorted = [...agents].sort((one, other) => order[one.status] - order[other.status] || other.load - one.load);
  reconcile($("agents"), sorted, { key: (agent) => agent.id, make: agentRow, show: showAgent });
  $("agents-none").hidden = agents.length > 0;
  const { entries } = queue;
  const byAge = [...entries].sort((one, other) => new Date(one.joined_at) - new Date(other.joined_at));
  const ranks = RANKS.map((rank) => ({ rank, entries: byAge.filter((entry) => entry.rank === rank) }));
  reconcile($("ranks"), ranks, { key: ({ rank }) => rank, make: () => cloned("a-rank"), show: showRank });
  const longest = byAge.slice(0, 5).map((entry) => ({ ...entry, id: entry.conversation, waiting_since: entry.joined_at, entry }));
  reconcile($("longest"), longest, { key: (each) => each.id, make: () => cloned("a-held"), show: showHeld });
  $("longest-none").hidden = entries.length > 0;
  showStorm();
  $("summary").textContent = said("summary", {
    online: agents.filter((agent) => agent.status === "online").length,
    held: conversations.length,
    waiting: entries.length,
    late: entries.filter(late).length,
  });
}

// -- storm mode -------------------------------------------------------------------------------------------------------

const BY_ITSELF = "greenline"; // begun by a surge
const COUNTED = ["joined", "served", "left", "expired", "waiting"];
const textOf = (message) => message || words.storm_default;

/** The strip while a storm is on, else the form that begins one. */
function showStorm() {
  const { storm } = queue;
  $("storm").hidden = !storm;
  $("storm-running").hidden = !storm;
  $("storm-form").hidden = Boolean(storm);
  if (!storm) return;
  write($("storm"), ".text", textOf(storm.message));
  const known = storms?.find((each) => !each.ended_at);
  $("storm").querySelector(".counted").hidden = !known;
  if (!known) return;
  const itself = known.began_by === BY_ITSELF;
  const since = said(itself ? "storm_since_itself" : "storm_since", { time: moment(known.began_at), name: known.began_by });
  write($("storm"), ".since", since);
  const sums = COUNTED.map((name) => [name, known.report.reduce((sum, row) => sum + row[name], 0)]);
  write($("storm"), ".counted", said("storm_counts", Object.fromEntries(sums)));
}

function showResult(row, result) {
  rankMark(row, result.rank);
  for (const name of [...COUNTED, "promised"]) write(row, `.${name}`, result[name]);
  write(row, ".median", length(result.median_s));
  write(row, ".p95", length(result.p95_s));
}

function showPast(row, storm) {
  const itself = storm.began_by === BY_ITSELF;
  write(row, ".when", `${moment(storm.began_at)} – ${moment(storm.ended_at)}`);
  write(row, ".who", itself ? words.storm_by_itself : said("storm_by", { name: storm.began_by }));
  write(row, ".text", textOf(storm.message));
  row.querySelector(".sheet").hidden = !storm.report.length;
  row.querySelector(".empty").hidden = storm.report.length > 0;
  const make = () => cloned("a-result");
  reconcile(row.querySelector("tbody"), storm.report, { key: ({ rank }) => rank, make, show: showResult });
}

async function loadStorms() {
  storms = await call("GET", "/storms");
  const past = storms.filter((each) => each.ended_at);
  $("storms-before").hidden = !past.length;
  reconcile($("storms"), past, { key: ({ id }) => id, make: () => cloned("a-storm"), show: showPast });
  showStorm();
}

/** Takes in the line as it is now. Storms are fetched once, when one begins or ends, and for the numbers of this one. */
async function hear(line, { counted = false } = {}) {
  const changed = line.storm?.since !== queue.storm?.since;
  queue = line;
  synchronise(line.at);
  if (!storms || changed || (counted && line.storm)) await loadStorms();
}

$("storm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const message = $("storm-text").value.trim();
  write($("storming"), ".text", `${textOf(message)}\n${words.storm_asks}`);
  if (!(await ask($("storming")))) return;
  try {
    await call("POST", "/storms", { message });
  } catch (error) {
    announce(told(error), { bad: true });
    return;
  }
  $("storm-text").value = "";
  announce(words.storm_begun);
  await load();
  $("storm").focus();
});

$("storm-end").addEventListener("click", async () => {
  try {
    const ended = await call("POST", "/storms/current/end");
    announce(words.storm_ended);
    await Promise.all([load(), loadStorms()]); // the stream may have told the end already, and its report not be here
    const details = ended && $("storms").querySelector(`[data-key="${ended.id}"] > details`);
    if (!details) return; // somebody else was faster
    details.open = true;
    details.querySelector("summary").focus();
  } catch (error) {
    announce(told(error), { bad: true });
  }
});

// -- what an agent can do ---------------------------------------------------------------------------------------------

const boxes = (name) => [...$(`of-${name}`).querySelectorAll("input")];
let equipped = null;

function addShift({ day, begins, ends }) {
  const row = cloned("a-shift");
  row.querySelector(".day").value = day;
  row.querySelector(".begins").value = begins.slice(0, 5);
  row.querySelector(".ends").value = ends.slice(0, 5);
  row.querySelector(".drop").addEventListener("click", () => {
    row.remove();
    $("shift-more").focus();
  });
  $("shifts").append(row);
  return row;
}

function equip(agent) {
  equipped = agent;
  $("equipping-title").textContent = said("equip", { name: agent.name });
  $("capacity").value = agent.capacity;
  for (const name of ["skills", "languages"]) {
    for (const box of boxes(name)) box.checked = agent[name].includes(box.value);
  }
  $("shifts").replaceChildren();
  agent.shifts.forEach(addShift);
  for (const place of $("equipping").querySelectorAll(".wrong")) complain(place, "");
  $("equipping").showModal();
}

/** Says beside a field what is wrong with it, and whether anything is. */
function complain(place, text, ...fields) {
  place.hidden = !text;
  write(place, "span", text);
  for (const field of fields) field.setAttribute("aria-invalid", Boolean(text));
  return Boolean(text);
}

function checked({ capacity, languages, shifts }) {
  const whole = Number.isInteger(capacity) && capacity >= 1 && capacity <= 50;
  const rows = [...$("shifts").children];
  return [
    complain($("capacity-wrong"), whole ? "" : words.capacity_wrong, $("capacity")),
    complain($("languages-wrong"), languages.length ? "" : words.language_missing, ...boxes("languages")),
    ...shifts.map(({ begins, ends }, number) => {
      const fields = rows[number].querySelectorAll("input");
      return complain(rows[number].querySelector(".wrong"), begins && begins < ends ? "" : words.shift_wrong, ...fields);
    }),
  ].every((wrong) => !wrong);
}

$("shift-more").addEventListener("click", () => {
  const last = $("shifts").lastElementChild;
  const like = last && Object.fromEntries(["day", "begins", "ends"].map((name) => [name, last.querySelector(`.${name}`).value]));
  const day = like ? (Number(like.day) % 7) + 1 : 1;
  addShift({ begins: "08:00", ends: "17:00", ...like, day }).querySelector("select").focus();
});

$("equipping").querySelector("form").addEventListener("submit", async (event) => {
  if (event.submitter?.value === "no") return;
  event.preventDefault(); // it stays open while something is wrong
  const ticked = (name) => boxes(name).filter((box) => box.checked).map((box) => box.value);
  const wanted = {
    capacity: Number($("capacity").value),
    skills: ticked("skills"),
    languages: ticked("languages"),
    shifts: [...$("shifts").children].map((row) => ({
      day: Number(row.querySelector(".day").value),
      begins: row.querySelector(".begins").value,
      ends: row.querySelector(".ends").value,
    })),
  };
  complain($("equip-failed"), "");
  if (!checked(wanted)) {
    $("equipping").querySelector("[aria-invalid=true]").focus();
    return;
  }
  try {
    await call("PUT", `/agents/${equipped.id}`, wanted);
  } catch (error) {
    complain($("equip-failed"), told(error));
    return;
  }
  $("equipping").close();
  announce(said("equipped", { name: equipped.name }));
  await load();
});

// -- what comes from the server ---------------------------------------------------------------------------------------

async function load() {
  try {
    const [people, talks, line] = await Promise.all([
      call("GET", "/agents"),
      call("GET", "/conversations?handler=agent"),
      call("GET", "/queue"),
    ]);
    [agents, conversations] = [people, talks.conversations];
    await hear(line, { counted: true });
    show();
  } catch (error) {
    $("summary").textContent = said("not_loaded", { why: told(error) });
  }
}

const soon = later(load, 300);
on("connected", load);
on("presence", soon);
on("conversation", soon);
on("queue", (line) => {
  hear(line).catch(() => {}); // comes again with the next load
  show();
  soon();
});
on("reachable", ({ yes }) => {
  $("lost").hidden = yes;
  if (!yes) write($("lost"), "span", words.lost);
});
setInterval(() => !document.hidden && load(), 15000);
follow();
