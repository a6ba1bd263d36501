// Every prompt of a claim: drawn when the claim is opened, a few rows at a time.

const ROWS = 25;

// Puts the table in place of the worst prompts, which stand on the page for readers without scripts.
async function everyPrompt(section) {
  const spec = JSON.parse(await partText(section.dataset.spec));
  const texts = spec.texts === null ? null : promptTexts(JSON.parse(await partText(spec.texts)));
  const drawn = new Map();
  const show = async (number) => {
    if (!drawn.has(number)) drawn.set(number, promptView(spec.checks[number], await promptRows(spec, number, texts)));
    section.querySelector(".told").textContent = drawn.get(number).told;
    section.querySelector(".every, .scroll").replaceWith(drawn.get(number).node);
  };
  await show(spec.chosen);
  if (spec.checks.length < 2) return;
  const options = spec.checks.map((check, i) => make("option", { value: i, selected: i === spec.chosen }, `${check.title} (${check.claimed})`));
  const select = make("select", { className: "of-check" }, ...options);
  select.addEventListener("change", () => show(Number(select.value)));
  section.querySelector(".told").before(make("label", { className: "small" }, "values of ", select));
}

const spread = (text) => (text ? text.split(" ").map(Number) : []);
const number = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));

// A set of prompts: what stands in a row, made when it is drawn.
function promptTexts(set) {
  const of = spread(set.of);
  const joined = (words) => words.join(set.between);
  return {
    template: (row) => set.templates[of[row]],
    id: (row) => set.ids[row],
    text: (row) => joined(spread(set.tokens[row]).map((word) => set.words[word])),
    asked: (row) => [set.answers?.[row], set.foils?.[row]],
    cells(row) {
      const marks = spread(set.marks[row]);
      const [answer, foil] = this.asked(row);
      const parts = [];
      let plain = [];
      const flush = () => {
        if (plain.length) parts.push(joined(plain));
        plain = [];
      };
      spread(set.tokens[row]).forEach((token, i) => {
        const word = set.words[token];
        const look = answer && word === answer ? "ans" : foil && word === foil ? "foil" : "";
        if (!look && !marks[i]) return plain.push(word);
        flush();
        const name = marks[i] ? [make("sub", {}, set.names[marks[i]])] : [];
        parts.push(" ", make("b", { className: look }, seen(word), ...name), " ");
      });
      flush();
      if (answer !== undefined) parts.push(askedFor(answer, foil));
      return parts;
    },
  };
}

const seen = (token) => token.replace(/[\n\r\t]/g, (c) => ({ "\n": "⏎", "\r": "␍", "\t": "⇥" })[c]) || "∅";

function askedFor(answer, foil) {
  const not = foil === undefined ? [] : [", not ", make("bdi", {}, seen(foil))];
  return make("small", { className: "muted" }, " asked for ", make("bdi", {}, seen(answer)), ...not);
}

// The rows of a check, worst first: furthest from the claimed side.
async function promptRows(spec, which, texts) {
  const check = spec.checks[which];
  const columns = await Promise.all(check.columns.map(async ([, part]) => (await partText(part)).split(" ")));
  const at = check.rows === null ? null : spread(await partText(check.rows));
  const unknown = check.unknown === null ? null : JSON.parse(await partText(check.unknown));
  const [low, high] = check.side;
  const broken = new Set(spec.broken);
  const rows = columns[0].map((shown, i) => {
    const value = number(shown);
    const ends = [low === null ? [] : value - low, high === null ? [] : high - value].flat();
    const score = ends.length ? Math.min(...ends) : value;
    const row = at ? at[i] : i;
    const id = row < 0 ? unknown[i][1] : texts.id(row);
    return {
      row, id, value, score,
      tie: check.tie ? check.tie * number(columns[1][i]) || 0 : 0, // NaN has no place in an order
      wrong: ends.length > 0 && score <= 0,
      broken: broken.has(id),
      values: columns.map((column) => column[i]),
      template: row < 0 ? unknown[i][0] : texts.template(row),
      text: row < 0 ? id.slice(0, 10) : texts.text(row),
      cells: () => (row < 0 ? [make("code", {}, id.slice(0, 10))] : texts.cells(row)),
    };
  });
  const undefinedLast = (a, b) => Number.isNaN(a.score) - Number.isNaN(b.score);
  return rows.sort((a, b) => undefinedLast(a, b) || a.score - b.score || a.tie - b.tie || 0);
}

// A table of rows that can be searched and sorted, and their histogram.
function promptView(check, rows) {
  const told = `${rows.length < check.n ? `${rows.length} of ` : ""}${check.n} prompts, ${check.title} (${check.claimed}). ${check.meaning}`;
  const rank = new Map(rows.map((row, i) => [row, i]));
  const keys = {
    worst: (row) => rank.get(row),
    best: (row) => rows.length - rank.get(row),
    text: (row) => row.text,
    template: (row) => row.template,
  };
  check.columns.forEach((_, i) => (keys[i] = (row) => number(row.values[i])));
  let order = "worst";
  let sign = 1;
  let most = ROWS;

  const search = make("input", { type: "search", placeholder: "filter prompts", "aria-label": "filter prompts", className: "find" });
  const count = make("output", { className: "muted small", "aria-live": "polite" });
  const more = make("button", { type: "button" });
  const all = make("button", { type: "button" });
  const body = make("tbody");
  const heads = new Map();
  // Where the page has the worst only, the best of these are not the best.
  const ends = (rows.length < check.n ? ["worst"] : ["worst", "best"]).map((name) => pressable("", () => sort(name, 1), `${name} first`));

  function sort(by, direction) {
    [order, sign, most] = [by, direction, ROWS];
    draw();
  }

  function heading(key, text) {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => sort(key, order === key ? -sign : 1));
    const cell = make("th", { scope: "col" }, button);
    heads.set(key, cell);
    return cell;
  }

  function sorted(some) {
    const keyed = some.map((row) => [keys[order](row), row]);
    keyed.sort(([a], [b]) => {
      if (typeof a === "string") return sign * a.localeCompare(b);
      return Number.isNaN(a) - Number.isNaN(b) || sign * (a - b);
    });
    return keyed.map(([, row]) => row);
  }

  function line(row) {
    const [value, ...others] = row.values.map((text) => make("td", {}, text));
    const said = make("td", { dir: "auto", title: row.id }, ...row.cells());
    if (row.broken) said.append(make("strong", {}, " counterexample"));
    const template = make("td", { dir: "auto", title: row.template }, row.template);
    return make("tr", { className: row.wrong ? "wrong" : "" }, value, said, ...others, template);
  }

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => words.every((word) => `${row.text} ${row.template} ${row.id}`.toLowerCase().includes(word)));
    body.replaceChildren(...sorted(found).slice(0, most).map(line));
    const left = found.length - Math.min(most, found.length);
    count.value = `${found.length - left} of ${found.length}${words.length ? ` that fit, of ${rows.length}` : ""} shown`;
    more.hidden = all.hidden = left === 0;
    more.textContent = `${Math.min(ROWS, left)} more`;
    all.textContent = `all ${found.length}`;
    ends.forEach((button, i) => button.setAttribute("aria-pressed", order === ["worst", "best"][i]));
    for (const [key, cell] of heads) {
      if (key === order) cell.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
  }

  const [value, ...others] = check.columns.map(([name], i) => heading(i, make("bdi", {}, name)));
  const head = make("tr", {}, value, heading("text", "prompt"), ...others, heading("template", "template"));
  search.addEventListener("input", () => {
    most = ROWS;
    draw();
  });
  more.addEventListener("click", () => {
    most += ROWS;
    draw();
  });
  all.addEventListener("click", () => {
    most = rows.length;
    draw();
  });
  draw();
  const table = make("table", { className: "prompts" }, make("thead", {}, head), body);
  const node = make(
    "div", { className: "every" }, histogram(check, rows),
    make("div", { className: "tools" }, search, ...ends, count),
    make("div", { className: "scroll" }, table),
    make("div", { className: "tools" }, more, all),
  );
  return { node, told };
}

// Where the values of all prompts lie; the page says it itself where it has the worst of them only.
function binned(check, rows) {
  const values = rows.map((row) => row.value).filter(Number.isFinite);
  const marks = [...values, ...check.edges];
  const [low, high] = [Math.min(...marks), Math.max(...marks)];
  if (values.length < 2 || !(high > low && high - low < Infinity)) return null;
  const n = Math.min(32, Math.max(8, Math.ceil(Math.sqrt(values.length))));
  const counts = Array.from({ length: n }, () => 0);
  for (const value of values) counts[Math.min(n - 1, Math.floor(n * ((value - low) / (high - low))))] += 1;
  return { low, high, least: Math.min(...values), most: Math.max(...values), counts };
}

// The values of all prompts in bins, over the claimed side.
function histogram(check, rows) {
  const [width, height, floor] = [480, 96, 74];
  const found = rows.length < check.n ? check.bins : binned(check, rows);
  if (!found) return "";
  const { low, high, counts } = found;
  const n = counts.length;
  const highest = Math.max(...counts);
  const x = (value) => 6 + ((value - low) / (high - low)) * (width - 12);
  const parts = [];
  if (check.edges.length) {
    const [from, to] = [check.side[0] ?? low, check.side[1] ?? high].map(x);
    parts.push(svgMake("rect", { class: "side", x: from, y: 0, width: Math.max(0, to - from), height: floor }));
  }
  counts.forEach((many, i) => {
    const size = (many / highest) * (floor - 8);
    const bar = { class: "bin", x: x(low) + (i * (width - 12)) / n, y: floor - size, width: (width - 12) / n - 1, height: size };
    parts.push(svgMake("rect", bar));
  });
  for (const edge of check.edges) parts.push(svgMake("path", { class: "thr", d: `M${x(edge)} 0V${floor}` }));
  const digits = [3, 4, 5, 6, 8, 10, 12, 15].find((many) => low.toPrecision(many) !== high.toPrecision(many)) ?? 17;
  const short = (value) => String(Number(value.toPrecision(digits)));
  for (const [value, end] of [[low, "low"], [high, "high"]]) {
    parts.push(svgMake("text", { x: x(value), y: floor + 16, class: end }, short(value)));
  }
  const label = `histogram of ${counts.reduce((all, many) => all + many)} values from ${short(found.least)} to ${short(found.most)}; the fullest of ${n} bins has ${highest}`;
  const view = { class: "histogram", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label };
  return make("div", { className: "scroll" }, svgMake("svg", view, ...parts));
}
