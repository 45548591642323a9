// What the customer's chat and the agents' console have in common: elements from templates, and what a message says.

export const $ = (id) => document.getElementById(id);
export const cloned = (id) => $(id).content.firstElementChild.cloneNode(true);

/** Writes text into the first `name` of an element, and gives that. */
export function write(place, name, text) {
  const found = place.querySelector(name);
  if (found.textContent !== String(text)) found.textContent = text;
  return found;
}

/** Text as blocks, list lines hanging: the same as the macro `said`. */
export function tell(place, text) {
  const parts = text.split("\n").map((part) => {
    const [, dot, rest] = /^(•|\d{1,2}\.) (.*)$/.exec(part) || [];
    const block = cloned(dot ? "a-point" : "a-part");
    if (dot) write(block, "b", `${dot} `);
    block.append(dot ? rest : part);
    return block;
  });
  place.querySelector(".words").replaceChildren(...(text ? parts : []));
}

/** A picture to look at, or a file to open. */
export function fileElement(file, pictures) {
  const image = file.url && pictures.includes(file.media_type);
  const element = cloned(image ? "a-picture" : "a-file");
  if (file.url) element.href = file.url;
  else element.removeAttribute("href");
  if (image) Object.assign(element.firstElementChild, { src: file.url, alt: file.name });
  else write(element, ".name", file.name);
  return element;
}

/** A source opens the entry that was cited, in the version that was cited. `load` fetches it, `why` words a failure. */
export function openSources(lines, words, load, why) {
  lines.addEventListener(
    "toggle",
    async ({ target }) => {
      if (!target.open || !target.matches?.(".source") || target.dataset.read) return;
      const { entry, version } = target.dataset;
      tell(target, words.opening);
      try {
        const found = await load(`/guide/entries/${encodeURIComponent(entry)}?version=${version}`);
        const answered = target.closest(".bubble").querySelector(":scope > .words").textContent;
        const letters = (text) => text.replace(/\s/g, "");
        write(target, "strong", found.title);
        tell(target, letters(answered).includes(letters(found.answer)) ? words.verbatim : found.answer.trim());
        target.dataset.read = "yes";
      } catch (error) {
        tell(target, why(error) || words.not_opened);
      }
    },
    true,
  );
}
