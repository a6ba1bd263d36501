// The attention viewer: pick a prompt and heads, set a threshold, click a token; raw and value-weighted attention side by side,
// as matrices or as lines.

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

// How a viewer is looked at, as text: "hide=0.2&token=5&heads=0.3+1.1". It is told of by an event, and taken from the figure.
function attentionViewer(figure) {
  const views = JSON.parse(figure.querySelector("script").textContent);
  const names = views[0].patterns.map(({ head }) => head);
  const looked = new URLSearchParams(figure.dataset.look ?? "");
  const named = (looked.get("heads") ?? "").split(" ").map((name) => names.indexOf(name)).filter((i) => i >= 0);
  const picked = new Set(looked.get("heads") === "" || named.length ? named : [0]);
  const { fontFamily } = getComputedStyle(figure);
  let pinned = looked.has("token") ? Number(looked.get("token")) : null;
  let shown = [];
  let panelOf = looked.has("lines") ? linesPanel : matrixPanel;
  let told = null; // what was said last of how it is looked at
  let name, labels, sets, panels, tokens;

  const which = make("output", { className: "which" });
  const out = make("output", { className: "readout", "aria-live": "polite" });
  const threshold = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: Number(looked.get("hide")) || 0 });
  const hidden = make("output");
  const combine = make("select", {}, make("option", {}, "mean"), make("option", { selected: looked.has("largest") }, "largest"));
  const several = make("label", {}, "several heads: ", combine);
  const stretch = make("input", { type: "checkbox", checked: looked.has("stretch") });
  const prompt = make("select", {}, ...views.map(({ said }, i) => make("option", { value: i }, said)));
  const thumbs = names.map(() => document.createElement("canvas"));
  const heads = names.map((name, i) => pressable("head-button", () => pick(i, !picked.has(i)), thumbs[i], make("span", {}, name)));
  const ofAll = document.createElement("canvas");
  const mean = pressable("head-button", pickMean, ofAll, make("span", {}, "mean"));
  const row = make("div", { className: "tokens" });
  const place = make("div", { className: "panels" });

  // Shows a prompt: what is picked stays picked.
  function open(view) {
    const same = !labels || labels.join(" ") === view.labels.join(" ");
    ({ name, labels } = view);
    if (!same || !(pinned in labels)) pinned = null;
    out.textContent = "";
    sets = [weightSet("attention", view.patterns)];
    if (view.weighted) sets.push(weightSet("value-weighted attention", view.weighted));
    thumbs.forEach((canvas, i) => pixels(canvas, sets[0].heads[i], labels.length, sets[0].most));
    const all = combined(sets[0].heads, "mean");
    pixels(ofAll, all, labels.length, largest(all) || 1);
    tokens = labels.map((label, i) => {
      const bars = make("span", { className: "bars" }, make("i", { className: "from" }), make("i", { className: "to" }));
      return pressable("tok", () => pin(i), make("bdi", {}, label), bars);
    });
    row.replaceChildren(...tokens);
    lay();
  }

  function lay() {
    panels = sets.map((set) => panelOf(set, labels, fontFamily, { pin, point }));
    place.replaceChildren(...panels.map((panel) => panel.node));
    update();
  }

  function pick(i, on) {
    on ? picked.add(i) : picked.delete(i);
    update();
  }

  function pickAll(on) {
    picked.clear();
    if (on) names.forEach((_, i) => picked.add(i));
    update();
  }

  function pickMean() {
    combine.value = "mean";
    pickAll(true);
  }

  function pin(token) {
    pinned = pinned === token ? null : token;
    update();
  }

  function point(r, c) {
    const found = sets.map((set, i) => `${set.name} ${shown[i][r * labels.length + c].toFixed(3)}`);
    out.textContent = `from ${isolated(labels[r])} to ${isolated(labels[c])}: ${found.join(" · ")}`;
    for (const panel of panels) panel.cursorTo(r, c);
  }

  // What the marked token attends to, and what attends to it, as bars below the tokens.
  function markTokens() {
    const n = labels.length;
    const share = (value) => `${pinned === null ? 0 : Math.min(100, (100 * Math.abs(value)) / sets[0].most)}%`;
    tokens.forEach((button, i) => {
      button.setAttribute("aria-pressed", i === pinned);
      button.querySelector(".from").style.width = share(shown[0][pinned * n + i]);
      button.querySelector(".to").style.width = share(shown[0][i * n + pinned]);
    });
  }

  function update() {
    const chosen = [...picked];
    const empty = () => new Float32Array(labels.length ** 2);
    shown = sets.map((set) => (chosen.length ? combined(chosen.map((i) => set.heads[i]), combine.value) : empty()));
    // A mean is smaller than what it is of, and has a scale of its own.
    const isMean = chosen.length > 1 && combine.value === "mean";
    panels.forEach((panel, i) => {
      const most = stretch.checked || isMean ? largest(shown[i]) || 1 : sets[i].most;
      panel.draw(shown[i], most, threshold.valueAsNumber * most, pinned, isMean ? "the mean, on a scale of its own" : "");
    });
    heads.forEach((button, i) => button.setAttribute("aria-pressed", picked.has(i)));
    mean.setAttribute("aria-pressed", isMean && chosen.length === names.length);
    hidden.textContent = threshold.valueAsNumber.toFixed(2);
    several.hidden = chosen.length < 2;
    stretch.parentElement.hidden = isMean;
    which.textContent =
      chosen.length > 12 ? `${combine.value} of ${chosen.length} heads`
      : chosen.length > 1 ? `${combine.value} of heads ${chosen.map((i) => names[i]).join(", ")}`
      : chosen.length ? `head ${names[chosen[0]]}` : "no head is picked";
    if (name) which.textContent += ` on ${name}`;
    markTokens();
    tellLook();
  }

  // Without what is as it is to begin with.
  function tellLook() {
    const look = new URLSearchParams();
    if (prompt.selectedIndex > 0) look.set("prompt", prompt.selectedIndex);
    if (picked.size !== 1 || !picked.has(0)) look.set("heads", [...picked].map((i) => names[i]).join(" "));
    if (threshold.valueAsNumber) look.set("hide", threshold.valueAsNumber);
    if (pinned !== null) look.set("token", pinned);
    for (const [word, on] of [["largest", combine.value === "largest"], ["stretch", stretch.checked], ["lines", panelOf === linesPanel]]) {
      if (on) look.set(word, 1);
    }
    const first = told === null;
    if (String(look) === told) return;
    told = String(look);
    if (!first) figure.dispatchEvent(new CustomEvent("look", { bubbles: true, detail: told }));
  }

  const stretched = make("label", {}, stretch, " colours up to the largest shown");
  const drawnAs = choice("drawn as", ["matrix", "lines"], (value) => {
    panelOf = value === "lines" ? linesPanel : matrixPanel;
    lay();
  });
  if (panelOf === linesPanel) drawnAs.querySelectorAll("input")[1].checked = true;
  for (const control of [threshold, combine, stretch]) control.addEventListener("input", update);
  prompt.addEventListener("input", () => open(views[prompt.value]));
  const quick = names.length > 1 ? [mean, pressable("", () => pickAll(true), "all"), pressable("", () => pickAll(false), "none")] : [];
  const sample = (kind) => make("i", { className: `${kind} sample` });
  figure.querySelector("figcaption").after(
    make("div", { className: "controls prompts", hidden: views.length < 2 }, make("label", {}, "prompt ", prompt)),
    make("div", { className: "picker" }, ...heads, ...quick),
    make(
      "div", { className: "controls" },
      drawnAs, make("label", {}, "hide weights below ", threshold, " ", hidden, " of the scale"), several, stretched,
    ),
    row,
    make("p", { className: "small muted" }, "Click a token: ", sample("from"), " what it attends to, ", sample("to"), " what attends to it."),
    which,
    place,
    out,
  );
  figure.querySelector("details.links").open = false;
  if (looked.get("prompt") in views) prompt.value = looked.get("prompt");
  open(views[prompt.value]);
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
