// The next token: what the model says as it is, and under what is done to it.

const MINUS = "−";
const number = (x) => (Number.isFinite(x) ? (Math.abs(x) < 10 ? x.toFixed(3) : x.toFixed(2)).replace("-", MINUS) : "–");

function predictionTable(name, rows) {
  const line = ({ token, p, rank, is, of }) => {
    const bar = make("i", { className: `bar ${is}` });
    bar.style.width = `${100 * p}%`;
    const what = is ? [" ", make("small", {}, of)] : [];
    return make(
      "tr", {},
      make("th", { scope: "row" }, make("bdi", {}, token), ...what), make("td", { className: "along" }, bar),
      make("td", { className: "num" }, p.toFixed(3)), make("td", { className: "num" }, String(rank)),
    );
  };
  const head = ["token", "", "p", "rank"].map((label) => make(label ? "th" : "td", label ? { scope: "col" } : {}, label));
  return make("table", { className: "next" }, make("caption", {}, name), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.map(line)));
}

const yesOrNo = (x) => (x ? "yes" : "no");

// KL is of one run from the other; everything else has a value before and one after.
function predictionNumbers({ numbers, prompt }) {
  const [answer, foil] = [prompt?.answer ?? [], prompt?.foil ?? []].map((pieces) => pieces.join("|"));
  const called = (name) => name === "accuracy"
    ? `likeliest token by token: ${answer}`
    : name.replace(/the answer|(?<=\()answer/, () => answer).replace(/the foil|(?<=\()foil/, () => foil);
  return numbers.flatMap(({ name, unit, values: [before, after] }) => {
    const change = name.startsWith("KL");
    if (change && after === undefined) return [];
    const write = unit === "rank" ? String : name === "accuracy" ? yesOrNo : number;
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
