// The right pane: everything about the customer, written by the server; personal data only with a reason.

const part = (name) => import(document.querySelector(`link[rel=modulepreload][href*="/console_${name}.js"]`).href);
const [{ $, announce, happen, later, on, words }, { call, told }, talk] = await Promise.all(
  ["kit", "link", "talk"].map(part),
);

const panel = $("customer");
const nothing = panel.innerHTML;

async function load(id) {
  try {
    show(await call("GET", `/desk/conversations/${id}/panel`), id);
  } catch {
    if (talk.isOpen(id)) panel.textContent = words.panel_failed;
  }
}

function show(html, id) {
  if (talk.isOpen(id)) panel.innerHTML = html;
}

on("opened", (found) => {
  if (found) load(found.conversation.id);
  else panel.innerHTML = nothing;
});

// who is writing may become known in the middle of the conversation, and promises come and go
const again = later((id) => talk.isOpen(id) && load(id), 500);
let known = "";
on("became", ({ id, account, rank }) => {
  const facts = [id, account, rank].join();
  if (known && known !== facts && known.startsWith(`${id},`)) again(id);
  known = facts;
});
on("promise", ({ conversation }) => talk.isOpen(conversation) && again(conversation));

panel.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { id } = talk.open;
  try {
    show(await call("POST", event.target.getAttribute("action"), new FormData(event.target)), id);
    panel.querySelector("[autofocus], [role=status]")?.focus();
  } catch (error) {
    announce(told(error), { bad: true });
  }
});

panel.addEventListener("click", ({ target }) => {
  const other = target.closest("[data-open]");
  if (other) happen("open", { id: Number(other.dataset.open) });
});
