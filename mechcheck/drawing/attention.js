// The attention viewer: pick heads, set a threshold, click a token; raw and value-weighted attention side by side.

const viewers = new WeakMap();

// The viewer of the same claim that shows a head, if there is one.
function attentionOf(figure, head) {
  for (const other of figure.closest(".body").querySelectorAll("figure.attention")) {
    const viewer = viewers.get(other);
    if (viewer?.has(head)) return viewer;
  }
  return undefined;
}

// One byte per weight becomes a number again.
function weights({ low, high, values }) {
  const scale = (high - low) / 255;
  return Float32Array.from(atob(values), (c) => low + scale * c.charCodeAt(0));
}

const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

// The weights of all heads, with what their colours have to reach up to.
function weightSet(name, packed) {
  const heads = packed.map(weights);
  const signed = packed.some(({ low }) => low < 0);
  const most = Math.max(...heads.map(largest)) || 1;
  // Probabilities have a scale of their own.
  return { name, heads, signed, most: name === "attention" && most <= 1 && !signed ? 1 : most };
}

// Several heads as one matrix: their mean, or of each weight the largest.
function combined(heads, how) {
  const result = new Float32Array(heads.length ? heads[0].length : 0);
  for (const values of heads) {
    for (let i = 0; i < result.length; i++) {
      if (how === "mean") result[i] += values[i] / heads.length;
      else if (Math.abs(values[i]) > Math.abs(result[i])) result[i] = values[i];
    }
  }
  return result;
}

function pressable(className, action, ...content) {
  const button = make("button", { type: "button", className }, ...content);
  button.addEventListener("click", action);
  return button;
}

function attentionViewer(figure) {
  const { labels, patterns, weighted } = JSON.parse(figure.querySelector("script").textContent);
  const n = labels.length;
  const names = patterns.map(({ head }) => head);
  const sets = [weightSet("attention", patterns)];
  if (weighted) sets.push(weightSet("value-weighted attention", weighted));
  const picked = new Set([0]);
  let pinned = null;
  let shown = [];

  const which = make("output", { className: "which" });
  const out = make("output", { className: "readout", "aria-live": "polite" });
  const threshold = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0 });
  const told = make("output");
  const combine = make("select", {}, make("option", {}, "mean"), make("option", {}, "largest"));
  const several = make("label", {}, "several heads: ", combine);
  const stretch = make("input", { type: "checkbox" });
  const { fontFamily } = getComputedStyle(figure);
  const panels = sets.map((set) => matrixPanel(set, labels, fontFamily, { pin, point }));
  const heads = names.map((name, i) => {
    const thumb = pixels(document.createElement("canvas"), sets[0].heads[i], n, sets[0].most);
    return pressable("head-button", () => pick(i, !picked.has(i)), thumb, make("span", {}, name));
  });
  const tokens = labels.map((label, i) => {
    const bars = make("span", { className: "bars" }, make("i", { className: "from" }), make("i", { className: "to" }));
    return pressable("tok", () => pin(i), make("bdi", {}, label), bars);
  });

  function pick(i, on) {
    on ? picked.add(i) : picked.delete(i);
    update();
  }

  function pickAll(on) {
    picked.clear();
    if (on) names.forEach((_, i) => picked.add(i));
    update();
  }

  function pin(token) {
    pinned = pinned === token ? null : token;
    update();
  }

  function point(r, c) {
    const found = sets.map((set, i) => `${set.name} ${shown[i][r * n + c].toFixed(3)}`);
    out.textContent = `from ${isolated(labels[r])} to ${isolated(labels[c])}: ${found.join(" · ")}`;
    for (const panel of panels) panel.cursorTo(r, c);
  }

  // What the marked token attends to, and what attends to it, as bars below the tokens.
  function markTokens() {
    const share = (value) => `${pinned === null ? 0 : Math.min(100, (100 * Math.abs(value)) / sets[0].most)}%`;
    tokens.forEach((button, i) => {
      button.setAttribute("aria-pressed", i === pinned);
      button.querySelector(".from").style.width = share(shown[0][pinned * n + i]);
      button.querySelector(".to").style.width = share(shown[0][i * n + pinned]);
    });
  }

  function update() {
    const chosen = [...picked];
    shown = sets.map((set) => (chosen.length ? combined(chosen.map((i) => set.heads[i]), combine.value) : new Float32Array(n * n)));
    panels.forEach((panel, i) => {
      const most = stretch.checked ? largest(shown[i]) || 1 : sets[i].most;
      panel.draw(shown[i], most, threshold.valueAsNumber * sets[i].most, pinned);
    });
    heads.forEach((button, i) => button.setAttribute("aria-pressed", picked.has(i)));
    told.textContent = threshold.valueAsNumber.toFixed(2);
    several.hidden = chosen.length < 2;
    which.textContent =
      chosen.length > 12 ? `${combine.value} of ${chosen.length} heads`
      : chosen.length > 1 ? `${combine.value} of heads ${chosen.map((i) => names[i]).join(", ")}`
      : chosen.length ? `head ${names[chosen[0]]}` : "no head is picked";
    markTokens();
  }

  for (const control of [threshold, combine, stretch]) control.addEventListener("input", update);
  const quick = names.length > 1 ? [pressable("", () => pickAll(true), "all"), pressable("", () => pickAll(false), "none")] : [];
  const sample = (kind) => make("i", { className: `${kind} sample` });
  figure.querySelector("figcaption").after(
    make("div", { className: "picker" }, ...heads, ...quick),
    make(
      "div", { className: "controls" },
      make("label", {}, "hide weights below ", threshold, " ", told, weighted ? " of the scale" : ""),
      several,
      make("label", {}, stretch, " colours up to the largest shown"),
    ),
    make("div", { className: "tokens" }, ...tokens),
    make("p", { className: "small muted" }, "Click a token: ", sample("from"), " what it attends to, ", sample("to"), " what attends to it."),
    which,
    make("div", { className: "panels" }, ...panels.map((panel) => panel.node)),
    out,
  );
  figure.querySelector("details.links").open = false;
  update();
  viewers.set(figure, {
    has: (head) => names.includes(head),
    pick(head) {
      picked.clear();
      pick(names.indexOf(head), true);
      figure.scrollIntoView({ block: "nearest" });
      heads[names.indexOf(head)].focus({ preventScroll: true });
    },
  });
}
