// The grid of heads: any set of them by click, by drag, by the keyboard or as text; and what is done to them.

function headsPanel(change) {
  const grid = byId("grid");
  const cells = [...grid.querySelectorAll(".cell")];
  const width = grid.tHead.rows[0].cells.length - 1;
  let sites = []; // the chosen ones as "0.3@END"
  let drag = null; // whether those that are passed over are chosen or left

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

  // Heads that stand where the page says are written without their place, so that moving that moves them.
  const commit = () => change({ heads: sites.join(" ") });

  function go(index) {
    const to = cells[index];
    if (!to) return;
    for (const cell of cells) cell.tabIndex = cell === to ? 0 : -1;
    to.focus();
  }

  grid.addEventListener("pointerdown", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell || event.button) return;
    cell.releasePointerCapture(event.pointerId); // a finger would hold on to the first one
    drag = !chosen(cell.dataset.head);
    set(cell.dataset.head, drag);
  });
  grid.addEventListener("pointerover", (event) => {
    const cell = event.target.closest(".cell");
    if (drag !== null && cell) set(cell.dataset.head, drag);
  });
  addEventListener("pointerup", () => {
    if (drag !== null) commit();
    drag = null;
  });
  addEventListener("pointercancel", () => (drag = null));
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    go(cells.indexOf(cell));
    if (event.detail) return; // a pointer's click, which is done already
    set(cell.dataset.head, !chosen(cell.dataset.head));
    commit();
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
