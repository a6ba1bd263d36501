// Figures on a page: heatmaps are coloured and read out.

// Makes an element; properties that it does not have are set as attributes.
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A name from the evidence, kept from re-ordering the text around it.
const isolated = (name) => `\u2068${name}\u2069`;

// Wires the figures below a node: they are drawn, coloured, and read out.
function wireFigures(root) {
  root.querySelectorAll("figure.attention").forEach(attentionViewer);
  root.querySelectorAll("figure.circuit").forEach(circuitViewer);
  root.querySelectorAll("figure.switched").forEach(switchPanes);
  for (const figure of root.querySelectorAll("figure.heat")) {
    paint(figure);
    readOut(figure);
  }
}

// Buttons below each figure that is not a part of another.
function addSaveButtons(root) {
  for (const figure of root.querySelectorAll("figure")) {
    if (!figure.parentElement.closest("figure")) figure.append(saveButtons(figure));
  }
}

// One of several values to be chosen, as buttons beside each other; one alone is no choice.
let choices = 0;
function choice(legend, values, choose) {
  const name = `choice${(choices += 1)}`;
  const options = values.map((value, i) => {
    const radio = make("input", { type: "radio", name, checked: i === 0 });
    radio.addEventListener("change", () => choose(value));
    return make("label", {}, radio, make("bdi", {}, value));
  });
  return make("fieldset", { className: "choice", hidden: values.length < 2 }, make("legend", {}, legend), ...options);
}

// Of the panes of a figure the one that the reader has chosen.
function switchPanes(figure) {
  const panes = [...figure.querySelectorAll(".pane")];
  const chosen = {};
  const asked = { run: "run", what: "shown" };
  const show = () => {
    for (const pane of panes) pane.hidden = !(pane.open = Object.keys(asked).every((key) => pane.dataset[key] === chosen[key]));
  };
  const sets = Object.entries(asked).map(([key, legend]) => {
    const values = [...new Set(panes.map((pane) => pane.dataset[key]))];
    [chosen[key]] = values;
    return choice(legend, values, (value) => {
      chosen[key] = value;
      show();
    });
  });
  figure.classList.add("chosen");
  figure.querySelector("figcaption").after(make("div", { className: "controls" }, ...sets));
  show();
}

// Writes and colours the cells of a heatmap that came without them, as the page has them where it has them.
function paint(figure) {
  const table = figure.querySelector("table.grid[data-scale]");
  if (!table) return;
  const [ramp, low, high, decimals] = table.dataset.scale.split(" ").map((x, i) => (i ? Number(x) : x));
  const values = figure.dataset.values.split(" ");
  const rows = table.tBodies[0].rows;
  const across = values.length / rows.length;
  const share = (x) => (high === low ? 0 : (x - low) / (high - low));
  const step = (x) => Math.round(STEPS * (ramp === "div" ? x / high : ramp === "seq" ? share(x) : high === low ? 0 : share(x) - 1));
  for (let r = 0; r < rows.length; r++) {
    for (const given of values.slice(r * across, (r + 1) * across)) {
      const at = given === "–" ? null : step(Number(given));
      const className = at === null ? "nil" : at < 0 ? `o${-at}` : `b${at}`;
      rows[r].append(make("td", { className }, at === null ? given : fixed(Number(given), decimals)));
    }
  }
}

// With so many decimals; in scientific notation where that would be unreadable; never a negative zero.
function fixed(x, decimals) {
  if (decimals > 6 || Math.abs(x) >= 1e6) return x === 0 ? "0" : x.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
  const text = x.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

// One cell of a heatmap at a time: under the pointer, or moved by the arrow keys.
function readOut(figure) {
  const table = figure.querySelector("table.grid");
  const frame = figure.querySelector(".frame");
  const target = frame ? frame.querySelector("img") : table;
  const names = table ? namesOf(table) : frameNames(frame);
  const exact = figure.dataset.values ? figure.dataset.values.split(" ") : [];
  const out = make("output", { className: "readout", "aria-live": "polite" });
  let row = 0;
  let column = 0;
  figure.append(out);
  if (!exact.length) return;
  figure.classList.toggle("linked", figure.matches(".heads") && Boolean(figure.closest(".body").querySelector("figure.attention")));

  const head = () => `${names.rows[row]}.${names.cols[column]}`;
  const viewer = () => figure.classList.contains("heads") && attentionOf(figure, head());

  function show(r, c) {
    row = Math.min(Math.max(r, 0), names.rows.length - 1);
    column = Math.min(Math.max(c, 0), names.cols.length - 1);
    const value = exact[row * names.cols.length + column];
    const cell = table?.tBodies[0].rows[row].cells[column + 1];
    table?.querySelector(".at")?.classList.remove("at");
    cell?.classList.add("at");
    const place = `${names.axes[0]} ${isolated(names.rows[row])}, ${names.axes[1]} ${isolated(names.cols[column])}`;
    const told = cell?.title ? isolated(cell.title) : value === "–" ? "not measured" : `${value} ${figure.dataset.unit}`;
    out.textContent = `${place}: ${told}${viewer() ? " · click: its attention" : ""}`;
  }

  target.tabIndex = 0;
  target.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}: arrow keys read out its cells`);
  // Goes to the cell under the pointer; false beside all cells.
  function point(event) {
    if (table) {
      const cell = event.target.closest("tbody td");
      if (cell) show(cell.parentNode.sectionRowIndex, cell.cellIndex - 1);
      return Boolean(cell);
    }
    const box = target.getBoundingClientRect();
    show(
      Math.floor(((event.clientY - box.top) / box.height) * names.rows.length),
      Math.floor(((event.clientX - box.left) / box.width) * names.cols.length),
    );
    return true;
  }

  target.addEventListener("mousemove", point);
  target.addEventListener("focus", () => show(row, column));
  target.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) show(row + step[0], column + step[1]);
    else if (event.key !== "Enter" || !viewer()) return;
    else viewer().pick(head());
    event.preventDefault();
  });
  target.addEventListener("click", (event) => {
    if (point(event) && viewer()) viewer().pick(head());
  });
  if (frame) out.after(valuesOnDemand(names, exact));
}

function namesOf(table) {
  const text = (node) => node.textContent.trim();
  return {
    rows: [...table.tBodies[0].rows].map((row) => text(row.cells[0])),
    cols: [...table.tHead.rows[1].cells].slice(1).map(text),
    axes: [text(table.querySelector(".corner")).replace(" ↓", ""), text(table.querySelector(".over")).replace(" →", "")],
  };
}

const frameNames = ({ dataset }) => ({
  rows: JSON.parse(dataset.rows), cols: JSON.parse(dataset.cols), axes: JSON.parse(dataset.axes),
});

// The numbers of a large heatmap as a table, written only when somebody asks for it.
function valuesOnDemand({ rows, cols }, exact) {
  const details = make("details", { className: "plain" }, make("summary", {}, "values"));
  details.addEventListener("toggle", () => {
    if (details.children.length > 1) return;
    const head = make("tr", {}, make("td"), ...cols.map((c) => make("th", { scope: "col" }, c)));
    const body = rows.map((name, r) =>
      make("tr", {}, make("th", { scope: "row" }, name), ...cols.map((_, c) => make("td", {}, exact[r * cols.length + c]))),
    );
    const table = make("table", { className: "grid" }, make("thead", {}, head), make("tbody", {}, ...body));
    details.append(make("div", { className: "scroll" }, table));
  });
  return details;
}
