// A square of attention weights with its tokens on both sides: drawn from numbers, read out cell by cell, one token marked.

function svgMake(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Opaque colours as canvases keep them: red is the lowest byte.
const INKS = RAMP.map((hex) => [5, 3, 1].reduce((all, i) => all * 256 + parseInt(hex.slice(i, i + 2), 16), 255));

// A picture with one pixel per weight.
function pixels(canvas, values, n, bound) {
  canvas.width = canvas.height = n;
  const context = canvas.getContext("2d");
  const image = context.createImageData(n, n);
  const inks = new Uint32Array(image.data.buffer);
  for (let i = 0; i < inks.length; i++) {
    inks[i] = INKS[STEPS + Math.max(-STEPS, Math.min(STEPS, Math.round((STEPS * values[i]) / bound)))];
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function place(rect, x, y, width, height) {
  for (const [name, value] of Object.entries({ x, y, width: Math.max(0, width), height: Math.max(0, height) })) {
    rect.setAttribute(name, value);
  }
}

// The colour bar below a panel, with the ends of the scale.
function weightKey(name, signed) {
  const [low, high] = [0, 1].map(() => make("span", { className: "num" }));
  const of = make("span");
  return {
    node: make("div", { className: "key" }, low, make("span", { className: `ramp ${signed ? "div" : "seq"}` }), high, of),
    tell(most, note) {
      low.textContent = signed ? String(-Number(most.toPrecision(3))) : "0";
      high.textContent = String(Number(most.toPrecision(3)));
      of.textContent = [name, note].filter(Boolean).join(" · ");
    },
  };
}

// How far the longest label reaches.
function longest(labels, size, fontFamily) {
  const ruler = document.createElement("canvas").getContext("2d");
  ruler.font = `bold ${size}px ${fontFamily}`;
  return Math.ceil(Math.max(...labels.map((label) => ruler.measureText(label).width)));
}

// What the arrow keys do to a row and a column, and Enter to the row.
function arrows(event, at, go, pin) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (step) go(at[0] + step[0], at[1] + step[1]);
  else if (event.key === "Enter") pin(at[0]);
  else return;
  event.preventDefault();
}

// `name` tells what the weights are, `signed` whether some are negative. `pin(token)` is called where a token is to be
// marked, `point(row, column)` where a cell is pointed at; the panel is told to `draw` and to move its cursor from outside.
function matrixPanel({ name, signed }, labels, fontFamily, { pin, point }) {
  const n = labels.length;
  const cell = Math.max(9, Math.min(24, Math.floor(440 / n)));
  const size = Math.max(8, Math.min(12, cell - 1));
  const gutter = longest(labels, size, fontFamily) + 8;
  const end = gutter + n * cell;
  const canvas = document.createElement("canvas");
  const image = svgMake("image", { x: gutter, y: gutter, width: n * cell, height: n * cell, class: "cells" });
  const covers = [0, 1, 2, 3].map(() => svgMake("rect", { class: "cover" }));
  const frames = [0, 1].map(() => svgMake("rect", { class: "pinned" }));
  const cursor = svgMake("rect", { class: "cursor", visibility: "hidden" });
  const border = svgMake("rect", { class: "border", x: gutter, y: gutter, width: n * cell, height: n * cell });
  const middle = (i) => gutter + (i + 0.5) * cell + size * 0.35;
  const down = labels.map((label, i) => svgMake("text", { class: "down", x: gutter - 5, y: middle(i) }, label));
  const across = labels.map((label, i) =>
    svgMake("text", { class: "across", x: middle(i), y: gutter - 5, transform: `rotate(-90 ${middle(i)} ${gutter - 5})` }, label),
  );
  const svg = svgMake(
    "svg",
    { width: end + 2, height: end + 2, viewBox: `0 0 ${end + 2} ${end + 2}`, class: "matrix-view", tabindex: 0, role: "application" },
    image, ...covers, ...frames, cursor, border, ...down, ...across,
  );
  svg.style.fontSize = `${size}px`;
  svg.setAttribute("aria-label", `${name} from each token (rows) to each token (columns): arrow keys read out, Enter marks a token`);
  const key = weightKey(name, signed);
  const node = make("div", { className: "panel" }, make("div", { className: "scroll" }, svg), key.node);
  let at = [0, 0];

  // A marked token keeps its row and its column; the rest fades.
  function mark(token) {
    for (const rect of [...covers, ...frames]) rect.setAttribute("visibility", token === null ? "hidden" : "visible");
    for (const texts of [down, across]) texts.forEach((text, i) => text.classList.toggle("on", i === token));
    if (token === null) return;
    const [a, b] = [gutter + token * cell, gutter + (token + 1) * cell];
    place(covers[0], gutter, gutter, a - gutter, a - gutter);
    place(covers[1], b, gutter, end - b, a - gutter);
    place(covers[2], gutter, b, a - gutter, end - b);
    place(covers[3], b, b, end - b, end - b);
    place(frames[0], gutter, a, n * cell, cell);
    place(frames[1], a, gutter, cell, n * cell);
  }

  const go = (r, c) => point(Math.min(Math.max(r, 0), n - 1), Math.min(Math.max(c, 0), n - 1));
  for (const texts of [down, across]) texts.forEach((text, i) => text.addEventListener("click", () => pin(i)));
  image.addEventListener("click", () => pin(at[0]));
  svg.addEventListener("mousemove", (event) => {
    const box = image.getBoundingClientRect();
    const [r, c] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    if (r >= 0 && r < 1 && c >= 0 && c < 1) go(Math.floor(r * n), Math.floor(c * n));
  });
  svg.addEventListener("focus", () => go(...at));
  svg.addEventListener("keydown", (event) => arrows(event, at, go, pin));

  return {
    node,
    // Colours reach up to `most`; weights smaller than `floor` are left out.
    draw(values, most, floor, token, note) {
      key.tell(most, note);
      const shown = values.map((value) => (Math.abs(value) < floor ? 0 : value));
      image.setAttribute("href", pixels(canvas, shown, n, most).toDataURL());
      mark(token);
    },
    cursorTo(r, c) {
      at = [r, c];
      cursor.setAttribute("visibility", "visible");
      place(cursor, gutter + c * cell, gutter + r * cell, cell, cell);
    },
  };
}
