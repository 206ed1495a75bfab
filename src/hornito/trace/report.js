// SPDX-License-Identifier: MIT
// Opens what lies behind a job, by click, touch or keyboard; draws the tensors once they are scrolled to.
"use strict";
const dialog = document.querySelector("dialog");
let data = null;
// Read when first needed: the page is there before.
const known = () => data || (data = JSON.parse(document.getElementById("data").textContent));
let chosen = "";

function figure(picture) {
  const figure = document.createElement("figure"), image = document.createElement("img");
  const words = document.createElement("figcaption");
  image.src = "data:image/png;base64," + picture.png;
  image.alt = words.textContent = picture.caption;
  image.width = picture.width;
  image.height = picture.height;
  figure.append(image, words);
  return figure;
}

function show(name) {
  const job = known().jobs[name];
  if (!job) return;
  chosen = name;
  for (const cell of document.querySelectorAll("[data-job]")) cell.classList.toggle("chosen", cell.dataset.job === name);
  dialog.querySelector("h2").textContent = job.title;
  const list = dialog.querySelector("dl");
  list.replaceChildren();
  for (const [term, text] of job.facts) {
    const head = document.createElement("dt"), body = document.createElement("dd");
    head.textContent = term;
    body.textContent = text;
    list.append(head, body);
  }
  const pictures = job.pictures.map((one) => figure(known().pictures[one]));
  dialog.querySelector(".pictures").replaceChildren(...pictures);
  list_lines();
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

// Only while it is open.
function list_lines() {
  const text = known().jobs[chosen].listing, box = dialog.querySelector("details");
  const lines = text ? text.split("\n").length + " lines" : "left out of this page";
  box.querySelector("summary").textContent = "Listing: " + lines;
  box.querySelector("pre").textContent = box.open ? text : "";
}

function step(by) {
  const names = Object.keys(known().jobs), next = names[names.indexOf(chosen) + by];
  if (next) show(next);
}

document.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-job]");
  if (cell) show(cell.dataset.job);
  const button = event.target.closest("[data-step]");
  if (button) step(Number(button.dataset.step));
  if (event.target === dialog) dialog.close();
});
dialog.querySelector("details").addEventListener("toggle", list_lines);
dialog.addEventListener("keydown", (event) => {
  if (event.target.closest("pre")) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("close", () => {
  const row = [...document.querySelectorAll(".graph [data-job]")].find((cell) => cell.dataset.job === chosen);
  if (row && document.activeElement.dataset.job !== chosen && !document.activeElement.closest("dialog")) row.focus();
});

for (const group of document.querySelectorAll("[data-arrows]")) {
  // One stop of the Tab key for each; the arrow keys go on from there, in the order of the jobs.
  const place = (cell) => cell.dataset.job.split(".").map(Number);
  const cells = [...group.querySelectorAll("[data-job]")].sort((a, b) => place(a)[1] - place(b)[1]);
  cells.forEach((cell, number) => { cell.tabIndex = number ? -1 : 0; });
  group.addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow") && event.key !== "Home" && event.key !== "End") return;
    const at = cells.indexOf(event.target);
    const forward = event.key === "ArrowRight" || event.key === "ArrowDown";
    const next = event.key === "Home" ? cells[0] : event.key === "End" ? cells.at(-1) : cells[at + (forward ? 1 : -1)];
    event.preventDefault();
    if (!next) return;
    for (const cell of cells) cell.tabIndex = cell === next ? 0 : -1;
    next.focus();
  });
}

const gallery = document.querySelector(".gallery");
if (gallery) {
  const fill = () => gallery.replaceChildren(...Object.values(known().pictures).map(figure));
  const watch = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) { watch.disconnect(); fill(); }
  }, { rootMargin: "300px" });
  watch.observe(gallery);
}
