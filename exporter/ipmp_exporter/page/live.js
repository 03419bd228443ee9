"use strict";
// Keeps what <main> shows up to date. Without this script the page reloads itself instead.
const main = document.querySelector("main");
const sign = document.querySelector("#live");

function states() {
  const rows = [...main.querySelectorAll("tr[data-state]")];
  return new Map(rows.map((row) => [row.dataset.key, row.dataset.state]));
}

// Only what differs is replaced, so that a table that someone reads or copies from stays as it is.
function show(html) {
  const fresh = [...new DOMParser().parseFromString(html, "text/html").body.children];
  const shown = [...main.children];
  const before = states();
  if (fresh.length !== shown.length) {
    main.replaceChildren(...fresh);
  } else {
    fresh.forEach((element, i) => element.isEqualNode(shown[i]) || shown[i].replaceWith(element));
  }
  for (const row of main.querySelectorAll("tr[data-state]")) {
    const state = before.get(row.dataset.key);
    row.classList.toggle("changed", state !== undefined && state !== row.dataset.state);
  }
  document.title = main.firstElementChild?.dataset.title ?? document.title;
}

const source = new EventSource("-/live");
source.addEventListener("state", (message) => show(message.data));
source.addEventListener("open", () => { sign.textContent = "Live"; });
source.addEventListener("error", () => {
  sign.textContent = source.readyState === EventSource.CLOSED
    ? "Not live: reload the page" : "Not live: trying to reach the exporter again";
});
