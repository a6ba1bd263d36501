"use strict";
// Everything on the page is readable without this: it only filters, sorts, opens what a link points to, and reads out heatmaps.
(() => {
  const list = document.getElementById("claims");
  const form = document.getElementById("filters");
  const claims = [...list.querySelectorAll(":scope > details.claim")];
  const counts = [...document.querySelectorAll("button.count")];
  const shown = document.getElementById("shown");
  const texts = new Map();

  const textOf = (claim) => {
    if (!texts.has(claim)) texts.set(claim, claim.textContent.toLowerCase());
    return texts.get(claim);
  };

  function filter() {
    const verdicts = counts.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.verdict);
    const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const claim of claims) {
      const { verdict, model, task } = claim.dataset;
      const fits =
        (!verdicts.length || verdicts.includes(verdict)) &&
        (!form.model.value || form.model.value === model) &&
        (!form.task.value || form.task.value === task) &&
        words.every((word) => textOf(claim).includes(word));
      claim.hidden = !fits;
      n += fits;
    }
    shown.value = n === claims.length ? "" : `${n} of ${claims.length} shown`;
  }

  function unfilter() {
    form.reset();
    counts.forEach((b) => b.setAttribute("aria-pressed", "false"));
    filter();
  }

  const textKeys = {
    statement: (claim) => claim.querySelector(".c-statement").textContent,
    model: (claim) => claim.dataset.model,
  };

  function sort(button) {
    const key = button.dataset.sort;
    const ascending = button.dataset.order !== "ascending";
    for (const other of document.querySelectorAll("[data-sort]")) {
      delete other.dataset.order;
      other.removeAttribute("aria-label");
    }
    button.dataset.order = ascending ? "ascending" : "descending";
    button.setAttribute("aria-label", `${button.textContent}, sorted ${button.dataset.order}`);
    const sign = ascending ? 1 : -1;
    const value = textKeys[key] || ((claim) => (key in claim.dataset ? Number(claim.dataset[key]) : null));
    const keyed = claims.map((claim) => [value(claim), claim]);
    keyed.sort(([a], [b]) => {
      // A claim without a number stands last in either direction.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
    list.append(...keyed.map(([, claim]) => claim));
  }

  function follow() {
    let id;
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    const claim = id && document.getElementById(id)?.closest("details.claim");
    if (!claim) return;
    if (claim.hidden) unfilter();
    claim.open = true;
    claim.scrollIntoView({ block: "start" });
    claim.querySelector("summary").focus({ preventScroll: true });
  }

  // One cell of a heatmap at a time: under the pointer, or moved by the arrow keys. The table holds the numbers, also below a picture.
  function readOut(figure) {
    const table = figure.querySelector("table.grid");
    const image = figure.querySelector("img");
    const out = figure.querySelector(".readout");
    const body = table.tBodies[0].rows;
    const heads = table.tHead.rows[1].cells;
    const unit = figure.dataset.unit;
    const target = image || table;
    let row = 0;
    let column = 0;

    function show(r, c) {
      if (!body.length || heads.length < 2) return;
      table.querySelector(".at")?.classList.remove("at");
      row = Math.min(Math.max(r, 0), body.length - 1);
      column = Math.min(Math.max(c, 0), heads.length - 2);
      const cell = body[row].cells[column + 1];
      cell.classList.add("at");
      const [down, across] = [body[row].cells[0], heads[column + 1]].map((head) => `\u2068${head.textContent.trim()}\u2069`);
      out.textContent = `${table.querySelector(".corner").textContent.replace("↓", "").trim()} ${down}, ${table
        .querySelector(".over")
        .textContent.replace("→", "")
        .trim()} ${across}: ${cell.textContent.trim()} ${unit}`;
    }

    target.tabIndex = 0;
    out.setAttribute("aria-live", "polite");
    target.addEventListener("mousemove", (event) => {
      if (image) {
        const box = image.getBoundingClientRect();
        show(
          Math.floor(((event.clientY - box.top) / box.height) * body.length),
          Math.floor(((event.clientX - box.left) / box.width) * (heads.length - 1)),
        );
        return;
      }
      const cell = event.target.closest("tbody td");
      if (cell) show(cell.parentNode.sectionRowIndex, cell.cellIndex - 1);
    });
    target.addEventListener("focus", () => show(row, column));
    target.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      show(row + step[0], column + step[1]);
    });
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of counts) {
    button.disabled = false;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      filter();
    });
  }
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.disabled = false;
    button.addEventListener("click", () => sort(button));
  }
  const openAll = (open) => claims.forEach((claim) => claim.hidden || (claim.open = open));
  document.getElementById("expand").addEventListener("click", () => openAll(true));
  document.getElementById("collapse").addEventListener("click", () => openAll(false));
  // Wiring a heatmap waits until its claim is opened: a page may hold hundreds.
  list.addEventListener(
    "toggle",
    (event) => {
      const claim = event.target;
      if (!claim.open || claim.dataset.wired || !claim.matches("details.claim")) return;
      claim.dataset.wired = "1";
      claim.querySelectorAll("figure.heat").forEach(readOut);
    },
    true,
  );
  addEventListener("hashchange", follow);
  // A link in the page to the claim that is already the fragment changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#claim-"]');
    if (link && link.hash === location.hash) follow();
  });
  follow();
})();
