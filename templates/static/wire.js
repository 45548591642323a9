// What both ends of the product's pages know of HTTP: refusals, files on their way, and a stream of events.

/** What the server refused, with its own words as the message. Status 0: it was not reached. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || "");
    Object.assign(this, { status, title: body?.title, code: body?.code });
  }
}

/** Stores a file and gives its facts; `progress` hears the share that is there. Raises Problem. */
export function sendFile(url, headers, file, progress) {
  return new Promise((done, failed) => {
    const sender = new XMLHttpRequest(); // fetch tells nothing about progress
    sender.open("POST", url);
    for (const [name, value] of Object.entries(headers)) sender.setRequestHeader(name, value);
    sender.responseType = "json";
    sender.upload.onprogress = (event) => event.total && progress(event.loaded / event.total);
    sender.onerror = () => failed(new Problem(0));
    sender.onload = () =>
      sender.status < 300 ? done(sender.response) : failed(new Problem(sender.status, sender.response));
    const form = new FormData();
    form.append("file", file);
    sender.send(form);
  });
}

/** Reads a stream of events until it ends: `hear(name, data, id)`, data from JSON or null; `patience` in ms of silence.
 *  fetch instead of EventSource, which can neither send a token nor be given a cursor. Raises Problem. */
export async function readEvents(url, headers, { patience, opened, hear, hanging }) {
  const ending = new AbortController();
  hanging(() => ending.abort());
  let timer;
  const stillThere = () => {
    clearTimeout(timer);
    timer = setTimeout(() => ending.abort(), patience);
  };
  try {
    stillThere();
    const answer = await fetch(url, { headers, signal: ending.signal, cache: "no-store" });
    if (!answer.ok || !answer.body) throw new Problem(answer.status);
    opened();
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    for (let buffer = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      stillThere();
      buffer += decoder.decode(value, { stream: true });
      const events = buffer.split(/\r?\n\r?\n/);
      buffer = events.pop();
      for (const event of events) {
        const field = (name) => new RegExp(`^${name}: ?(.*)$`, "m").exec(event)?.[1];
        const data = field("data");
        if (data || field("id")) hear(field("event") || "message", data ? JSON.parse(data) : null, field("id"));
      }
    }
  } finally {
    clearTimeout(timer);
  }
}
