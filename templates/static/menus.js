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
    const step = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    items[(step + items.length) % items.length].focus();
  }
});

for (const menu of menus) {
  menu.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
  });
}
