// The agents' console: brings its parts together and follows what the server says.

// The parts are imported by the addresses in the page, which carry their versions.
const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const names = ["kit", "link", "list", "talk", "outbox", "alarm", "promises", "helpers", "side", "seat", "keys"];
const [kit, link, list, , outbox, alarm, promises] = await Promise.all(names.map(part));
const { $, announce, happen, on, said, span, words, write } = kit;

// -- the connection ---------------------------------------------------------------------------------------------------

let back;

on("reachable", ({ yes, away }) => {
  clearTimeout(back);
  $("lost").classList.toggle("back", yes);
  $("lost").hidden = false;
  kit.picture($("lost"), yes ? "circle-check" : "wifi-off");
  write($("lost"), "span", yes ? said("back", { time: span(away) }) : words.lost);
  if (yes) back = setTimeout(() => ($("lost").hidden = true), 8000);
});

// after every beginning of the stream, everything is compared with what the server has now
let begun = false;
on("connected", async () => {
  try {
    await Promise.all([list.load(), alarm.load(), promises.load()]);
  } catch (error) {
    $("work-loading").textContent = said("not_loaded", { why: link.told(error) });
    return;
  }
  if (begun) happen("caught-up");
  else begin();
  begun = true;
});

function begin() {
  const wanted = Number(new URLSearchParams(location.search).get("c"));
  if (wanted) happen("open", { id: wanted });
  outbox.restore();
}

document.body.dataset.pane = "list";
document.documentElement.classList.add("live");
link.follow().catch((error) => announce(link.told(error), { bad: true }));
