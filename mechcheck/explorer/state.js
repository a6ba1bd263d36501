// What is on the page, and the address that opens it again: all of it stands behind the #.

const EMPTY = {
  task: "", row: 0, text: "", counterfactual: "", references: [], answer: "", foil: "", positions: {}, do: "none", heads: "", at: [], factor: 2,
  each: "", many: 8, of: "heads", keys: "", only: false, direction: "answer", strength: 1, share: 0.5, deviations: 1, seed: 0, shown: "", look: "",
  study: {},
};
const WRITTEN = ["task", "text", "counterfactual", "answer", "foil", "do", "heads", "each", "of", "keys", "direction", "shown", "look"];
const NUMBERS = ["factor", "strength", "share", "deviations", "seed"];

// A number as its field can have it.
function asNumber(name, given) {
  const number = Number.isFinite(given) ? given : 0;
  return name === "row" || name === "seed" ? Math.min(Math.max(0, Math.floor(number)), 2 ** 32 - 1) : number;
}

// The state that an address has.
function readState(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = structuredClone(EMPTY);
  for (const name of WRITTEN) if (given.has(name)) state[name] = given.get(name);
  for (const [name, of] of [["references", "reference"], ["at", "at"]]) state[name] = given.getAll(of);
  for (const name of ["row", "many", ...NUMBERS]) {
    const number = Number(given.get(name) ?? EMPTY[name]);
    if (Number.isFinite(number)) state[name] = asNumber(name, number);
  }
  state.many = Math.min(Math.max(Math.floor(state.many), 1), 64);
  state.only = given.has("only");
  for (const placed of given.getAll("position")) {
    const [, name, at] = placed.match(/^(\w+):(\d{1,6})$/) ?? [];
    if (name) state.positions[name] = Number(at);
  }
  for (const setting of given.getAll("study")) {
    const [, name, value] = setting.match(/^(\w+):(.*)$/s) ?? [];
    if (name) state.study[name] = value;
  }
  return state;
}

// The address of a state, without what is as it is to begin with.
function written(state) {
  const given = new URLSearchParams();
  for (const name of [...WRITTEN, "row", "many", ...NUMBERS, "only"]) if (state[name] !== EMPTY[name]) given.set(name, state[name]);
  for (const text of state.references) given.append("reference", text);
  for (const name of state.at) given.append("at", name);
  for (const [name, at] of Object.entries(state.positions)) given.append("position", `${name}:${at}`);
  for (const [name, value] of Object.entries(state.study)) given.append("study", `${name}:${value}`);
  return `#${given}`;
}

// What a state does, in few words.
function said(state) {
  const sites = state.heads.trim();
  if (state.do === "none" || !sites) return "untouched";
  const at = state.at.join(", ");
  const what = state.of === "heads" ? sites : `${state.of} ${sites}`;
  if (state.do === "knockout") return `knock out attention of ${sites}${at && ` from ${at}`} to ${state.only ? "all but " : ""}${state.keys}`;
  const how = {
    scale: ` by ${state.factor}`,
    steer: ` towards the ${state.direction} × ${state.strength}`,
    sparsify: `, share ${state.share}`,
    noise: ` of ${state.deviations} deviations, seed ${state.seed}`,
    permute: `, seed ${state.seed}`,
  }[state.do] ?? "";
  return `${state.do} ${what}${at && ` at ${at}`}${how}`;
}
