/* The form of a connection: checks it and looks at the URL while somebody types. Without it, both buttons do the same. */
"use strict";

const form = document.getElementById("edit");
const panel = document.getElementById("look");
const said = document.getElementById("said");
const url = document.getElementById("fhirBaseUrl");
const base = `/organizations/${form.dataset.organization}/edit`;
const touched = new Set([...form.querySelectorAll(".problem:not([hidden])")].map((p) => p.dataset.field));
const WAIT = 400;

async function ask(path, signal) {
  const answer = await fetch(`${base}/${path}`, { method: "POST", body: new URLSearchParams(new FormData(form)), signal });
  if (!answer.ok && answer.status !== 429) throw new Error(String(answer.status));
  return answer.json();
}

/* One question at a time: a newer one ends the one before. */
function latest(work) {
  let timer, running;
  return (wait) => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      running?.abort();
      running = new AbortController();
      try { await work(running.signal); } catch { /* ended by a newer one, or the server will say it when the form is sent */ }
    }, wait);
  };
}

// --- problems ---

const check = latest(async (signal) => {
  const { problems } = await ask("check", signal);
  let wrong = 0;
  for (const place of form.querySelectorAll(".problem")) {
    const mine = problems.filter((p) => p.field === place.dataset.field && touched.has(p.field));
    place.replaceChildren(...mine.map((p) => Object.assign(document.createElement("p"), { textContent: p.message, className: p.severity })));
    place.hidden = mine.length === 0;
    const invalid = mine.some((p) => p.severity === "error");
    wrong += invalid;
    const field = document.getElementById(place.dataset.field);
    if (field) invalid ? field.setAttribute("aria-invalid", "true") : field.removeAttribute("aria-invalid");
  }
  const words = wrong ? `${wrong} of the fields that you filled in ${wrong === 1 ? "is" : "are"} not right yet.` : "";
  if (said.textContent !== words) said.textContent = words;
});

// --- the URL ---

let seen = null;
const look = latest(async (signal) => {
  const asked = `${url.value}\n${form.elements.ehr.value}`;
  if (asked === seen || !url.value.trim()) return;
  panel.classList.add("busy");
  try {
    const found = await ask("probe", signal);
    seen = asked;
    show(found.html);
  } finally { panel.classList.remove("busy"); }
});

function show(html) {
  panel.innerHTML = html; // a template of this portal's, with everything of the server escaped
  ready();
}

function ready() {
  for (const button of panel.querySelectorAll("button.use")) {
    button.hidden = false;
    button.addEventListener("click", () => { url.value = button.dataset.url; url.focus(); changed(url); look(0); });
  }
  for (const button of panel.querySelectorAll("button.list")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const field = document.getElementById("tokenEndpointOrigins");
      if (!field.value.split(/\s+/).includes(button.dataset.origin)) field.value = `${field.value.trimEnd()}\n${button.dataset.origin}`.trim();
      field.focus(); changed(field);
    });
  }
}

// --- fields that only some choices need ---

const NEEDS = { client_secret_basic: ["secret"], private_key_jwt: ["key", "algorithm"], none: [] };
function fit() {
  for (const group of form.querySelectorAll("[data-client]")) {
    const at = `clients.${group.dataset.client}.authentication`;
    const method = form.elements[`${at}.method`];
    if (method) for (const name of ["secret", "key", "algorithm"]) shown(`${at}.${name}`, NEEDS[method.value].includes(name));
  }
  const other = form.elements.approver.value === "new";
  shown("approver.objectId", other);
  shown("approver.displayName", other);
}
function shown(name, is) {
  const field = form.querySelector(`[data-of="${name}"]`);
  if (field) field.hidden = !is;
}

function changed(field) {
  touched.add(field.name);
  fit();
  check(WAIT);
}

form.addEventListener("input", (event) => { changed(event.target); if (event.target === url) look(900); });
form.addEventListener("change", (event) => { changed(event.target); if (event.target === url || event.target.name === "ehr") look(0); });
document.getElementById("look-now").addEventListener("click", (event) => { event.preventDefault(); seen = null; look(0); });
fit();
ready();
document.getElementById("errors")?.focus();
if (url.value && !panel.hasChildNodes()) look(0);
