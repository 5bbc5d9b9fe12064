// What is behind a tile: shown on hover, focus and tap, as text and never as markup; arrow keys move between tiles.
"use strict";
(() => {
  const table = document.getElementById("tiles");
  if (table) {
    const details = JSON.parse(document.getElementById("tile-data").textContent);
    const panel = document.getElementById("detail");
    const body = document.getElementById("detail-body");
    const rows = Array.from(table.tBodies[0].rows, (row) => Array.from(row.cells).slice(1));
    let shown = null;
    let pinned = false;

    const make = (name, text) => {
      const element = document.createElement(name);
      element.textContent = text;
      return element;
    };

    const hide = () => {
      if (shown) shown.classList.remove("on");
      shown = null;
      pinned = false;
      panel.hidden = true;
    };

    const show = (tile) => {
      if (tile === shown) return;
      if (shown) shown.classList.remove("on");
      shown = tile;
      tile.classList.add("on");
      const detail = details[Number(tile.dataset.i)];
      const list = document.createElement("dl");
      for (const [name, text] of detail.pairs) list.append(make("dt", name), make("dd", text));
      body.replaceChildren(make("h3", detail.title), list);
      if (detail.pages.length) {
        const links = make("p", "Pages: ");
        links.className = "cells";
        for (const id of detail.pages) {
          const link = make("a", id);
          link.href = "cells/" + id + ".html";
          links.append(link);
        }
        body.append(links);
      }
      if (detail.command) {
        body.append(make("p", "To compute it again, in the folder of this page:"), make("code", detail.command));
      }
      panel.hidden = false;
    };

    const tileOf = (event) => (event.target.closest ? event.target.closest("td[data-i]") : null);

    const moveTo = (tile) => {
      for (const other of table.querySelectorAll('td[tabindex="0"]')) other.tabIndex = -1;
      tile.tabIndex = 0;
    };

    const go = (row, column, down, right) => {
      let tile;
      do {
        row += down;
        column += right;
        tile = rows[row] && rows[row][column];
      } while (tile && !("i" in tile.dataset));
      if (tile) tile.focus();
    };

    const first = table.querySelector("td[data-i]");
    if (first) first.tabIndex = 0;
    table.addEventListener("mouseover", (event) => {
      const tile = tileOf(event);
      if (tile && !pinned) show(tile);
    });
    table.addEventListener("mouseleave", () => {
      if (!pinned) hide();
    });
    table.addEventListener("focusin", (event) => {
      const tile = tileOf(event);
      if (!tile) return;
      moveTo(tile);
      show(tile);
      pinned = true;
    });
    table.addEventListener("click", (event) => {
      const tile = tileOf(event);
      if (!tile) return;
      show(tile);
      pinned = true;
    });
    table.addEventListener("keydown", (event) => {
      const tile = tileOf(event);
      if (!tile) return;
      const row = rows.findIndex((cells) => cells.includes(tile));
      const column = rows[row].indexOf(tile);
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (event.key in steps) go(row, column, ...steps[event.key]);
      else if (event.key === "Home") go(row, -1, 0, 1);
      else if (event.key === "End") go(row, rows[row].length, 0, -1);
      else if (event.key === "Enter" || event.key === " ") show(tile);
      else return;
      event.preventDefault();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
    });
    document.getElementById("close").addEventListener("click", hide);
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    for (const each of closed) each.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });
})();
