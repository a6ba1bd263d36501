// Attention as lines: each token on the left looks at tokens on the right, the more the darker. The same panel as a matrix otherwise.

const MANY = 1500; // lines beyond the strongest of which none is seen among the others

function linesPanel({ name, signed }, labels, fontFamily, { pin, point }) {
  const n = labels.length;
  const [step, size, between] = [19, 12, 190];
  const gutter = longest(labels, size, fontFamily) + 10;
  const [left, right] = [gutter, gutter + between];
  const [width, height] = [right + gutter, n * step + 22];
  const middle = (i) => 22 + (i + 0.5) * step;
  const side = (x, className) =>
    labels.map((label, i) => svgMake("text", { class: className, x, y: middle(i) + size * 0.35 }, label));
  const from = side(left - 6, "down");
  const to = side(right + 6, "across");
  const drawn = svgMake("g", { class: "weights" });
  const heads = [["from", left - 6, "down"], ["to", right + 6, "across"]].map(([text, x, side]) =>
    svgMake("text", { class: `${side} side`, x, y: 13 }, text),
  );
  const strong = svgMake("path", { class: "cursor", visibility: "hidden" });
  const svg = svgMake(
    "svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "matrix-view lines-view", tabindex: 0, role: "application" },
    ...heads, drawn, strong, ...from, ...to,
  );
  svg.style.fontSize = `${size}px`;
  svg.setAttribute("aria-label", `${name} as lines from each token (left) to each token (right): arrow keys read out, Enter marks a token`);
  const key = weightKey(name, signed);
  const node = make("div", { className: "panel" }, make("div", { className: "scroll" }, svg), key.node);
  let at = [0, 0];

  const bend = (r, c) => `M${left} ${middle(r)}C${left + between / 2} ${middle(r)} ${right - between / 2} ${middle(c)} ${right} ${middle(c)}`;
  const go = (r, c) => point(Math.min(Math.max(r, 0), n - 1), Math.min(Math.max(c, 0), n - 1));
  for (const [texts, place] of [[from, (i) => [i, at[1]]], [to, (i) => [at[0], i]]]) {
    texts.forEach((text, i) => {
      text.addEventListener("click", () => pin(i));
      text.addEventListener("mouseenter", () => go(...place(i)));
    });
  }
  svg.addEventListener("focus", () => go(...at));
  svg.addEventListener("keydown", (event) => arrows(event, at, go, pin));

  return {
    node,
    // A line is as dark as its weight is large, up to `most`; with a token marked, only its own are seen.
    draw(values, most, floor, token, note) {
      key.tell(most, note);
      const seen = [];
      values.forEach((value, i) => {
        const [r, c] = [Math.floor(i / n), i % n];
        const size = Math.abs(value);
        if (size >= floor && size > most / 100 && (token === null || r === token || c === token)) seen.push([size, value, r, c]);
      });
      seen.sort(([a], [b]) => a - b);
      drawn.replaceChildren(
        ...seen.slice(-MANY).map(([size, value, r, c]) => {
          const share = Math.min(1, size / most);
          const line = svgMake("path", { d: bend(r, c), class: value < 0 ? "minus" : "plus", "stroke-width": (0.6 + 2.4 * share).toFixed(2) });
          line.setAttribute("stroke-opacity", (0.12 + 0.88 * share).toFixed(2));
          return line;
        }),
      );
      for (const texts of [from, to]) texts.forEach((text, i) => text.classList.toggle("on", i === token));
    },
    cursorTo(r, c) {
      at = [r, c];
      strong.setAttribute("visibility", "visible");
      strong.setAttribute("d", bend(r, c));
      from.forEach((text, i) => text.classList.toggle("at", i === r));
      to.forEach((text, i) => text.classList.toggle("at", i === c));
    },
  };
}
