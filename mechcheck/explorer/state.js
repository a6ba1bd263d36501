// What is on the page, and the address that opens it again: all of it stands behind the #.

const EMPTY = {
  task: "", row: 0, text: "", counterfactual: "", references: [], answer: "", foil: "", positions: {}, do: "none", heads: "", at: [], factor: 2,
  each: "", many: 8,
};

// The state that an address has.
function readState(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = structuredClone(EMPTY);
  for (const name of ["task", "text", "counterfactual", "answer", "foil", "do", "heads", "each"]) {
    if (given.has(name)) state[name] = given.get(name);
  }
  for (const [name, of] of [["references", "reference"], ["at", "at"]]) state[name] = given.getAll(of);
  for (const [name, least, most] of [["row", 0, Infinity], ["factor", -Infinity, Infinity], ["many", 1, 64]]) {
    const number = Number(given.get(name) ?? EMPTY[name]);
    if (Number.isFinite(number) && number >= least && number <= most) state[name] = name === "factor" ? number : Math.floor(number);
  }
  for (const placed of given.getAll("position")) {
    const [, name, at] = placed.match(/^(\w+):(\d{1,6})$/) ?? [];
    if (name) state.positions[name] = Number(at);
  }
  return state;
}

// The address of a state, without what is as it is to begin with.
function written(state) {
  const given = new URLSearchParams();
  for (const name of ["task", "row", "text", "counterfactual", "answer", "foil", "do", "heads", "factor", "each", "many"]) {
    if (state[name] !== EMPTY[name]) given.set(name, state[name]);
  }
  for (const text of state.references) given.append("reference", text);
  for (const name of state.at) given.append("at", name);
  for (const [name, at] of Object.entries(state.positions)) given.append("position", `${name}:${at}`);
  return `#${given}`;
}

// What a state does, in few words.
function said(state) {
  if (state.do === "none" || !state.heads.trim()) return "untouched";
  const factor = state.do === "scale" ? ` by ${state.factor}` : "";
  return `${state.do} ${state.heads.trim()}${state.at.length ? ` at ${state.at.join(", ")}` : ""}${factor}`;
}
