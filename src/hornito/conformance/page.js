// SPDX-License-Identifier: MIT
// Shows what a cell stands for: by click, by touch, and by Tab and the arrow keys.
"use strict";
const detail = document.getElementById("detail");
const heading = detail.querySelector("b");
const text = detail.querySelector(".what");
const command = detail.querySelector("code");
let chosen = null;

function choose(cell) {
  if (chosen) chosen.classList.remove("chosen");
  chosen = cell;
  detail.hidden = !cell;
  if (!cell) return;
  cell.classList.add("chosen");
  const [, name, rest] = /^(.*?): ([^]*)$/.exec(cell.title);
  heading.textContent = name;
  text.textContent = rest;
  command.textContent = cell.dataset.saved || "";
}

// The next cell in a direction: of a table by its place, of a row of cells by its order.
function neighbour(cell, key) {
  const forward = key === "ArrowRight" || key === "ArrowDown";
  const place = cell.closest("td");
  if (!place) return cell[forward ? "nextElementSibling" : "previousElementSibling"];
  const table = place.closest("table").tBodies[0];
  let row = place.parentElement.sectionRowIndex, column = place.cellIndex;
  for (;;) {
    if (key === "ArrowLeft" || key === "ArrowRight") column += forward ? 1 : -1;
    else row += forward ? 1 : -1;
    const next = table.rows[row] && table.rows[row].cells[column];
    if (!next) return null;
    const found = next.querySelector("button");
    if (found) return found;
  }
}

for (const map of document.querySelectorAll(".map tbody, .cells")) {
  // One stop of the Tab key for each map; the arrow keys go on from there.
  const stop = (cell) => {
    for (const other of map.querySelectorAll("button[tabindex='0']")) other.tabIndex = -1;
    cell.tabIndex = 0;
  };
  const cells = map.querySelectorAll("button");
  for (const cell of cells) cell.tabIndex = -1;
  if (cells.length) cells[0].tabIndex = 0;
  map.addEventListener("click", (event) => {
    const cell = event.target.closest("button");
    if (cell) { stop(cell); choose(cell); }
  });
  map.addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const next = neighbour(event.target, event.key);
    if (next) { stop(next); next.focus(); choose(next); }
  });
}
detail.querySelector(".close").addEventListener("click", () => choose(null));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") choose(null); });
