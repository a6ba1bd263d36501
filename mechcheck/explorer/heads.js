// The sites: heads or layers by click, by drag or by the keyboard, and these and all others as text.

function headsPanel(change) {
  const tables = ["grid", "layers"].map(byId);
  const every = tables.flatMap((table) => [...table.querySelectorAll(".cell")]);
  let cells = []; // those of the table that is shown
  let width = 1;
  let sites = []; // the chosen ones as "0.3@END"
  let dragging = null; // whether those that are passed over are chosen or left
  let dragged = false; // whether the click that comes next is the end of that

  const headOf = (site) => site.split("@")[0];
  const chosen = (head) => sites.some((site) => headOf(site) === head);

  function paint() {
    const on = new Set(sites.map(headOf));
    const live = new Set(cells);
    for (const cell of every) cell.setAttribute("aria-pressed", live.has(cell) && on.has(cell.dataset.head));
  }

  function set(head, on) {
    if (chosen(head) === on) return;
    sites = on ? [...sites, head] : sites.filter((site) => headOf(site) !== head);
    paint();
  }

  const commit = () => change({ heads: sites.join(" ") });

  function go(index) {
    const to = cells[index];
    if (!to) return;
    for (const cell of cells) cell.tabIndex = cell === to ? 0 : -1;
    to.focus();
  }

  // A finger scrolls a table that is larger than the page, and taps; a mouse or a pen drags.
  for (const table of tables) {
    table.addEventListener("pointerdown", (event) => {
      const cell = event.target.closest(".cell");
      if (!cell || event.button || event.pointerType === "touch") return;
      dragging = !chosen(cell.dataset.head);
      dragged = true;
      set(cell.dataset.head, dragging);
    });
    table.addEventListener("pointerover", (event) => {
      const cell = event.target.closest(".cell");
      if (dragging !== null && cell) set(cell.dataset.head, dragging);
    });
    table.addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (cell) go(cells.indexOf(cell));
      if (cell && !dragged) {
        set(cell.dataset.head, !chosen(cell.dataset.head));
        commit();
      }
      dragged = false;
    });
    table.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -width, ArrowDown: width, ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const cell = event.target.closest(".cell");
      if (!step || !cell) return;
      event.preventDefault();
      go(cells.indexOf(cell) + step);
    });
  }
  addEventListener("pointerup", () => {
    if (dragging !== null) commit();
    dragging = null;
  });

  byId("heads").addEventListener("change", ({ target }) => change({ heads: target.value.trim() }));
  byId("role")?.addEventListener("change", ({ target }) => change({ heads: target.value, of: "heads" }));
  byId("clear").addEventListener("click", () => change({ heads: "" }));
  byId("each").addEventListener("change", ({ target }) => change({ each: target.checked ? "1" : "" }));
  const kindOf = (of) => [...byId("of").options].find(({ value }) => value === of) ?? byId("of").options[0];
  byId("of").addEventListener("change", ({ target }) => {
    // Heads stay the same whatever of them is meant; a head is no layer, and neither is an edge.
    const alike = cells.length && kindOf(target.value).dataset.cells === cells[0].closest("table").id;
    change({ of: target.value, ...(alike ? {} : { heads: "" }) });
  });

  return {
    fill(state) {
      const kind = kindOf(state.of);
      kind.selected = true;
      for (const table of tables) table.hidden = table.id !== kind.dataset.cells;
      cells = every.filter((cell) => cell.closest("table").id === kind.dataset.cells);
      width = kind.dataset.cells === "grid" ? tables[0].tHead.rows[0].cells.length - 1 : 1;
      byId("by-hand").textContent = cells.length ? "click, drag, or write them:" : "write them:";
      byId("example").textContent = kind.dataset.example;
      byId("heads-what").textContent = cells.length ? (width === 1 && kind.dataset.cells === "layers" ? "layers" : "heads") : state.of;
      byId("heads").value = state.heads;
      if (!state.heads) sites = []; // and not when the server says so: the next click may come before
      paint();
      const role = byId("role");
      if (role) role.value = state.of === "heads" && [...role.options].some(({ value }) => value === state.heads) ? state.heads : "";
      byId("each").checked = state.each === "1";
      byId("each-row").hidden = state.do === "none" || !cells.length;
    },
    // Writes each site's own effect into its cell, with a bar as long as its share of the largest.
    mark({ name, values }) {
      byId("each-name").textContent = name || "its effect, in its cell";
      const most = Math.max(...Object.values(values).map(Math.abs)) || 1;
      const live = new Set(cells);
      for (const cell of every) {
        const value = live.has(cell) ? values[cell.dataset.head] : undefined;
        const written = value === undefined ? "" : fixed(value, 2).replace("-", MINUS);
        cell.setAttribute("aria-label", `${cell.closest("table").id === "grid" ? "head" : "layer"} ${cell.dataset.head}${written && `: ${written}`}`);
        if (value === undefined) {
          cell.replaceChildren();
          continue;
        }
        const bar = make("i", { className: value < 0 ? "to" : "from" });
        bar.style.width = `${(100 * Math.abs(value)) / most}%`;
        cell.replaceChildren(written, bar);
      }
    },
    show(found, state) {
      // Without the places that the page itself added, as the text has them.
      const written = state.heads.trim().split(/[\s,]+/);
      const own = written.some((one) => one.includes("@"));
      sites = own ? found : [...new Set(found.map(headOf))];
      paint();
    },
  };
}
