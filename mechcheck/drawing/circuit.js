// A circuit's graph: weak edges are hidden by a slider, one edge at a time is read out, and a click leads to what is known of it.

function circuitViewer(figure) {
  const svg = figure.querySelector("svg.graph");
  const edges = [...svg.querySelectorAll(".edge")];
  if (!edges.length) return;
  const labels = [...svg.querySelectorAll(".weight")];
  const nodes = [...svg.querySelectorAll(".node")];
  const details = figure.querySelector("details");
  const rows = [...details.querySelector("tbody").rows];
  const name = (edge) => edge.querySelector("title").textContent;
  const sizes = edges.map((edge) => Number(edge.dataset.size));
  const out = make("output", { className: "readout", "aria-live": "polite" });
  const threshold = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0 });
  const told = make("output");
  let at = -1;

  const seen = (i) => i >= 0 && sizes[i] >= threshold.valueAsNumber * sizes[0];
  // Both ends of an edge, as its row has them.
  const ends = rows.map((row) => [row.cells[0], row.cells[1]].map((cell) => cell.textContent.trim()));

  function update() {
    const parts = new Set();
    edges.forEach((edge, i) => {
      edge.classList.toggle("below", !seen(i));
      labels[i]?.classList.toggle("below", !seen(i));
      rows[i].hidden = !seen(i);
      if (seen(i)) for (const end of ends[i]) parts.add(end);
    });
    for (const node of nodes) node.classList.toggle("alone", !parts.has(node.dataset.label));
    const left = edges.filter((_, i) => seen(i)).length;
    const least = (threshold.valueAsNumber * sizes[0]).toPrecision(2);
    told.textContent = `${Number(least)} ${figure.dataset.unit}: ${left} of ${edges.length} edges`;
    if (!seen(at)) mark(-1);
  }

  function mark(i) {
    for (const list of [edges, rows]) list[at]?.classList.remove("at");
    at = i;
    for (const list of [edges, rows]) list[at]?.classList.add("at");
    out.textContent = at < 0 ? "" : isolated(name(edges[at]));
  }

  // The next edge that is seen, by size.
  function step(by) {
    for (let i = at + by; i >= 0 && i < edges.length; i += by) if (seen(i)) return mark(i);
  }

  // A check that names the edge, where the claim has one; else its row below.
  function evidence() {
    if (at < 0) return;
    const [from, to] = ends[at];
    const as = edges[at].dataset.reads;
    const edge = `${from}->${to}${as ? `.${as}` : ""}`;
    const checks = [...(figure.closest(".body")?.querySelectorAll(".expectation h3") ?? [])];
    const check = checks.find((heading) => heading.textContent.split(/[\s|,()]+/).includes(edge));
    details.open = true;
    const place = check ?? rows[at];
    place.tabIndex = -1;
    place.scrollIntoView({ block: "center" });
    place.focus({ preventScroll: true });
  }

  for (const [i, edge] of edges.entries()) {
    const wide = edge.querySelector(".line").cloneNode();
    wide.setAttribute("class", "reach"); // a thin line is hard to meet
    edge.append(wide);
    edge.addEventListener("mouseenter", () => mark(i));
    edge.addEventListener("click", () => {
      mark(i);
      evidence();
    });
  }
  svg.tabIndex = 0;
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Arrow keys read out its edges, Enter leads to what is known of one`);
  svg.addEventListener("focus", () => at < 0 && step(1));
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (by) step(by);
    else if (event.key === "Enter") evidence();
    else return;
    event.preventDefault();
  });
  threshold.addEventListener("input", update);
  const slider = make("label", {}, "hide edges below ", threshold, " ", told);
  figure.querySelector("figcaption").after(make("div", { className: "controls" }, slider));
  figure.querySelector(".key").after(out);
  update();
}
