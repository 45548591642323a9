// <script src="https://host/static/embed.js" async></script> puts the chat on any page: a round button that opens it.
// data-lang="en" or "zh_CN" on the script chooses the language. A strict host page allows us in script, style and frame.
(() => {
  const script = document.currentScript;
  const host = new URL(script.src).origin;
  const key = "greenline.open";
  // These words stand here and not in the catalogues: one file for all pages and languages, kept by every cache,
  // which asks our server for nothing until the button is pressed.
  const said = {
    zh_CN: { open: "在线客服", close: "关闭在线客服", news: "在线客服：有新消息", title: "绿线 · 供电客服" },
    en: { open: "Chat with us", close: "Close the chat", news: "Chat: new message", title: "Greenline · Power service" },
  };
  const asked = script.dataset.lang || document.documentElement.lang || "zh_CN";
  const language = asked.toLowerCase().startsWith("en") ? "en" : "zh_CN";
  const words = said[language];
  // from Lucide, see LICENSES.md; a sprite cannot be used across origins
  const icons = {
    open: "M2.992 16.342a2 2 0 0 1 .094 1.167l-1.065 3.29a1 1 0 0 0 1.236 1.168l3.413-.998a2 2 0 0 1 1.099.092 10 10 0 1 0-4.777-4.719",
    close: "M18 6 6 18M6 6l12 12",
  };
  const style = `
    :host { all: initial; }
    button, iframe { position: fixed; z-index: 2147483000; inset-inline-end: max(var(--s5), env(safe-area-inset-right)); }
    button { inset-block-end: max(var(--s5), env(safe-area-inset-bottom)); display: grid; place-items: center;
      inline-size: var(--launcher); block-size: var(--launcher); padding: 0; border: 0; border-radius: var(--round);
      background: var(--green); color: var(--on-green); cursor: pointer; transition: background-color var(--quick); }
    button:hover { background: var(--green-strong); }
    button:focus-visible { outline: var(--focus) solid var(--blue); outline-offset: var(--focus); }
    button.news::after { content: ""; position: absolute; inset: 0 0 auto auto; inline-size: var(--s4);
      block-size: var(--s4); border: var(--focus) solid var(--surface); border-radius: var(--round); background: var(--red); }
    svg { inline-size: var(--s6); block-size: var(--s6); fill: none; stroke: currentcolor; stroke-width: 2;
      stroke-linecap: round; stroke-linejoin: round; }
    iframe { inset-block-end: calc(var(--s5) + var(--launcher) + var(--s3)); inline-size: var(--panel-wide);
      block-size: min(var(--panel-tall), calc(100% - 2 * var(--s5) - var(--launcher) - var(--s3)));
      border: var(--hair) solid var(--edge); border-radius: var(--radius); background: var(--paper); }
    [hidden] { display: none; }
    @media (max-width: 480px) {
      iframe { inset: 0; inline-size: 100%; block-size: 100%; border: 0; border-radius: 0; }
      button[aria-expanded="true"] { display: none; }
    }`;

  const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);
  const place = make("div");
  const root = place.attachShadow({ mode: "open" });
  const button = make("button", { type: "button" });
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  let frame = null;

  function show(state, news = false) {
    button.setAttribute("aria-label", news ? words.news : words[state]);
    button.setAttribute("aria-expanded", String(state === "close"));
    button.classList.toggle("news", news);
    path.setAttribute("d", icons[state]);
  }

  function remember(open) {
    try {
      sessionStorage.setItem(key, open ? "yes" : "");
    } catch {
      // the host page may forbid storage
    }
  }

  function remembered() {
    try {
      return sessionStorage.getItem(key) === "yes";
    } catch {
      return false;
    }
  }

  let eager = false; // the page gets the focus once it listens

  function open({ focus = true } = {}) {
    if (!frame) {
      frame = make("iframe", { title: words.title, allow: "geolocation", src: `${host}/chat?embed=1&lang=${language}` });
      root.prepend(frame);
      eager = focus;
    } else if (focus) {
      frame.hidden = false;
      enter();
    }
    frame.hidden = false;
    show("close");
    remember(true);
  }

  function enter() {
    frame.focus();
    frame.contentWindow.postMessage({ greenline: "open" }, host);
  }

  function close() {
    if (!isOpen()) return;
    frame.hidden = true;
    show("open");
    remember(false);
    button.focus();
  }

  const isOpen = () => Boolean(frame && !frame.hidden);

  button.addEventListener("click", () => (isOpen() ? close() : open()));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isOpen() && document.activeElement === place) close();
  });
  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== host || source !== frame?.contentWindow) return;
    // its load is too early: the page may still be fetching what listens
    if (data?.greenline === "ready" && eager && isOpen()) enter();
    if (data?.greenline === "close") close();
    if (data?.greenline === "message" && !isOpen()) show("open", true);
  });

  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  icon.append(path);
  button.append(icon);
  show("open");
  const tokens = make("link", { rel: "stylesheet", href: `${host}/static/tokens.css` });
  root.append(make("style", { textContent: style }), tokens, button);
  button.hidden = true; // until it has its colours
  tokens.addEventListener("load", () => (button.hidden = false));
  tokens.addEventListener("error", () => (button.hidden = false));
  const begin = () => {
    document.body.append(place);
    // on a phone the chat covers the page, so it opens only when asked
    if (remembered() && !matchMedia("(max-width: 480px)").matches) open({ focus: false });
  };
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
})();
