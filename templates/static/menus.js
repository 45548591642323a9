// Menus: <details class="menu"> close by themselves, arrow keys walk through them, Escape gives the focus back.

const menus = [...document.querySelectorAll("details.menu")];

document.addEventListener("click", ({ target }) => {
  for (const menu of menus) if (!menu.contains(target) || target.closest(".items")) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const open = menus.find((menu) => menu.open);
  if (!open) return;
  if (event.key === "Escape") {
    event.preventDefault();
    open.open = false;
    open.querySelector("summary").focus();
  } else if (/^Arrow(Up|Down)$/.test(event.key)) {
    event.preventDefault();
    const items = [...open.querySelectorAll(".items > *")];
    const at = items.indexOf(document.activeElement);
    const next = event.key === "ArrowDown" ? at + 1 : (at < 0 ? items.length : at) - 1;
    items[(next + items.length) % items.length].focus();
  }
});

for (const menu of menus) {
  menu.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
  });
}
