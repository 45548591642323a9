// The floor, for supervisors: who works, how much they have, who waits. Conversations open in the console.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [kit, { call, follow, told }] = await Promise.all(["kit", "link"].map(part));
const { $, atClock, cloned, count, later, nameOf, named, now, on, rankMark, reconcile, said, span } = kit;
const { synchronise, words, write } = kit;

let agents = [];
let conversations = [];
let queue = { entries: [] };

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
  const held = conversations.filter((each) => each.agent === agent.id);
  const make = () => cloned("a-held");
  reconcile(row.querySelector(".held"), held, { key: (each) => each.id, make, show: showHeld });
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
  reconcile($("agents"), sorted, { key: (agent) => agent.id, make: () => cloned("an-agent"), show: showAgent });
  $("agents-none").hidden = agents.length > 0;
  const { entries } = queue;
  const byAge = [...entries].sort((one, other) => new Date(one.joined_at) - new Date(other.joined_at));
  const ranks = RANKS.map((rank) => ({ rank, entries: byAge.filter((entry) => entry.rank === rank) }));
  reconcile($("ranks"), ranks, { key: ({ rank }) => rank, make: () => cloned("a-rank"), show: showRank });
  const longest = byAge.slice(0, 5).map((entry) => ({ ...entry, id: entry.conversation, waiting_since: entry.joined_at, entry }));
  reconcile($("longest"), longest, { key: (each) => each.id, make: () => cloned("a-held"), show: showHeld });
  $("longest-none").hidden = entries.length > 0;
  $("storm").hidden = !queue.storm;
  if (queue.storm) write($("storm"), "span", queue.storm.message);
  $("summary").textContent = said("summary", {
    online: agents.filter((agent) => agent.status === "online").length,
    held: conversations.length,
    waiting: entries.length,
    late: entries.filter(late).length,
  });
}

async function load() {
  try {
    const [people, talks, line] = await Promise.all([
      call("GET", "/agents"),
      call("GET", "/conversations?handler=agent"),
      call("GET", "/queue"),
    ]);
    [agents, conversations, queue] = [people, talks.conversations, line];
    synchronise(line.at);
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
  queue = line;
  synchronise(line.at);
  show();
  soon();
});
on("reachable", ({ yes }) => {
  $("lost").hidden = yes;
  if (!yes) write($("lost"), "span", words.lost);
});
setInterval(() => !document.hidden && load(), 15000);
follow();
