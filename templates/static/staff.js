// The staff area by keyboard: "/" goes to the search, j and k walk through rows, Enter opens (rows are links).

const typing = (target) => target.closest("input:not([type=radio], [type=checkbox]), textarea, select");
const rows = () => [...document.querySelectorAll("a[data-row]")];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const find = document.querySelector("[data-find]");
  const { key, target } = event;
  if (typing(target)) {
    if (target === find && key === "ArrowDown" && rows().length) {
      event.preventDefault();
      rows()[0].focus();
    }
    return;
  }
  if (key === "/" && find) {
    event.preventDefault();
    find.focus();
    find.select();
  } else if (key === "j" || key === "k") {
    const all = rows();
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? all[key === "j" ? 0 : all.length - 1] : all[at + (key === "j" ? 1 : -1)];
    next?.focus();
    next?.closest("tr").scrollIntoView({ block: "nearest" });
  }
});

// what is shown once can be copied
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    getSelection().selectAllChildren(text);
    return;
  }
  const [before, after] = button.querySelectorAll("span");
  before.hidden = true;
  after.hidden = false;
});

document.documentElement.classList.add("live");

// one key for each thing that can be made of a question
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
  document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
});
