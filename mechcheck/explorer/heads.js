// The grid of heads: any set of them by click, by drag, by the keyboard or as text; and what is done to them.

function headsPanel(change) {
  const grid = byId("grid");
  const cells = [...grid.querySelectorAll(".cell")];
  const width = grid.tHead.rows[0].cells.length - 1;
  let sites = []; // the chosen ones as "0.3@END"
  let dragging = null; // whether those that are passed over are chosen or left
  let dragged = false; // whether the click that comes next is the end of that

  const headOf = (site) => site.split("@")[0];
  const chosen = (head) => sites.some((site) => headOf(site) === head);

  function paint() {
    for (const cell of cells) cell.setAttribute("aria-pressed", chosen(cell.dataset.head));
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

  // A finger scrolls a grid that is larger than the page, and taps; a mouse or a pen drags.
  grid.addEventListener("pointerdown", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || event.button || event.pointerType === "touch") return;
    dragging = !chosen(cell.dataset.head);
    dragged = true;
    set(cell.dataset.head, dragging);
  });
  grid.addEventListener("pointerover", (event) => {
    const cell = event.target.closest(".cell");
    if (dragging !== null && cell) set(cell.dataset.head, dragging);
  });
  addEventListener("pointerup", () => {
    if (dragging !== null) commit();
    dragging = null;
  });
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (cell) go(cells.indexOf(cell));
    if (cell && !dragged) {
      set(cell.dataset.head, !chosen(cell.dataset.head));
      commit();
    }
    dragged = false;
  });
  grid.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -width, ArrowDown: width, ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const cell = event.target.closest(".cell");
    if (!step || !cell) return;
    event.preventDefault();
    go(cells.indexOf(cell) + step);
  });

  byId("heads").addEventListener("change", ({ target }) => change({ heads: target.value.trim() }));
  byId("role")?.addEventListener("change", ({ target }) => change({ heads: target.value }));
  byId("clear").addEventListener("click", () => change({ heads: "" }));
  byId("do").addEventListener("change", ({ target }) => change({ do: target.value }));
  byId("each").addEventListener("change", ({ target }) => change({ each: target.checked ? "1" : "" }));
  byId("factor").addEventListener("change", ({ target }) => change({ factor: Number.isFinite(target.valueAsNumber) ? target.valueAsNumber : 0 }));
  byId("at").addEventListener("change", () => {
    change({ at: [...byId("at").querySelectorAll("input:checked")].map(({ value }) => value) });
  });

  return {
    fill(state) {
      byId("heads").value = state.heads;
      const role = byId("role");
      if (role) role.value = [...role.options].some(({ value }) => value === state.heads) ? state.heads : "";
      const kind = byId("do").querySelector(`input[value="${CSS.escape(state.do)}"]`);
      if (kind) kind.checked = true;
      byId("by").hidden = state.do !== "scale";
      byId("factor").value = state.factor;
      byId("each").checked = state.each === "1";
      byId("each-row").hidden = state.do === "none";
    },
    // Writes each head's own effect into its cell, with a bar as long as its share of the largest.
    mark({ name, values }) {
      byId("each-name").textContent = name || "its effect, in its cell";
      const most = Math.max(...Object.values(values).map(Math.abs)) || 1;
      for (const cell of cells) {
        const value = values[cell.dataset.head];
        const written = value === undefined ? "" : fixed(value, 2).replace("-", MINUS);
        cell.setAttribute("aria-label", `head ${cell.dataset.head}${written && `: ${written}`}`);
        if (value === undefined) {
          cell.replaceChildren();
          continue;
        }
        const bar = make("i", { className: value < 0 ? "to" : "from" });
        bar.style.width = `${(100 * Math.abs(value)) / most}%`;
        cell.replaceChildren(written, bar);
      }
    },
    show(found, positions, state) {
      // Without the places that the page itself added, as the text has them.
      const written = state.heads.trim().split(/[\s,]+/);
      const own = written.some((one) => one.includes("@"));
      sites = own ? found : [...new Set(found.map(headOf))];
      paint();
      const legend = byId("at").querySelector("legend");
      const names = [...new Set([...Object.keys(positions), ...state.at])];
      const held = document.activeElement?.closest("#at input")?.value;
      byId("at").replaceChildren(legend, ...names.map((name) => {
        const box = make("input", { type: "checkbox", value: name, checked: state.at.includes(name) });
        return make("label", {}, box, make("span", {}, name));
      }));
      if (held) byId("at").querySelector(`input[value="${CSS.escape(held)}"]`)?.focus();
    },
  };
}
