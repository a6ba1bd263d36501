// The next token: what the model says as it is, and under what is done to it.

const MINUS = "−";
const number = (x) => (Number.isFinite(x) ? (Math.abs(x) < 10 ? x.toFixed(3) : x.toFixed(2)).replace("-", MINUS) : "–");

function predictionTable(name, rows) {
  const line = ({ token, p, rank, is }) => {
    const bar = make("i", { className: `bar ${is}` });
    bar.style.width = `${100 * p}%`;
    const what = is ? [" ", make("small", {}, is)] : [];
    return make(
      "tr", {},
      make("th", { scope: "row" }, make("bdi", {}, token), ...what), make("td", { className: "along" }, bar),
      make("td", { className: "num" }, p.toFixed(3)), make("td", { className: "num" }, String(rank)),
    );
  };
  const head = ["token", "", "p", "rank"].map((label) => make(label ? "th" : "td", label ? { scope: "col" } : {}, label));
  return make("table", { className: "next" }, make("caption", {}, name), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.map(line)));
}

// KL is of one run from the other; everything else has a value before and one after.
function predictionNumbers({ numbers, prompt }) {
  const called = (name) => name.replace("the answer", prompt.answer).replace("(answer)", `(${prompt.answer})`)
    .replace("the foil", prompt.foil).replace("(foil)", `(${prompt.foil})`);
  return numbers.flatMap(({ name, unit, values: [before, after] }) => {
    const change = name.startsWith("KL");
    if (change && after === undefined) return [];
    const write = unit === "rank" ? String : number;
    const value = change ? number(after) : after === undefined ? write(before) : `${write(before)} → ${write(after)}`;
    return [make("div", { "data-name": name }, make("dt", {}, called(name), ...(unit === "nats" ? [", nats"] : [])), make("dd", {}, value))];
  });
}

function showPrediction(found, what) {
  byId("waiting").hidden = found.tables.length > 0;
  const names = ["as it is", what];
  byId("tables").replaceChildren(...found.tables.map((rows, i) => predictionTable(names[i], rows)));
  byId("numbers").replaceChildren(...predictionNumbers(found));
  byId("spoken").textContent = found.tables.map(([{ token, p }], i) => `${names[i]}: ${isolated(token)} ${p.toFixed(3)}`).join("; ");
}
