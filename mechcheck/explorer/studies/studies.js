// Studies in tabs: each has its settings, runs while the page goes on, can be stopped, and shows what it found.

const SETTINGS = {
  tab: "targeted", target: "", size: 4, method: "eap-ig-inputs", prompts: 48, faithful: 0.9, along: "unembedding", layer: 0, place: "END", reach: 4,
};

function studiesPanel({ question, settle, change, claim }) {
  const tabs = [...byId("study-tabs").children];
  const names = tabs.map((tab) => tab.dataset.study);
  const panels = Object.fromEntries(names.map((name) => [name, byId(`study-${name}`)]));
  const fields = [...byId("s-studies").querySelectorAll("[data-setting]")];
  const shown = {}; // study -> what the results that are on the page are of
  let settings = { ...SETTINGS };
  let running = null; // the one that runs
  let circuit = null; // the one that was discovered last, as text

  // What a study follows from, besides its settings: where that changes, its results are of something else.
  function source(name) {
    const found = question();
    if (name === "lens") return found;
    if (["targeted", "generic"].includes(name)) return { ...found, heads: "", do: found.do === "none" && found.counterfactual.trim() ? "patch" : found.do };
    const { task, text, counterfactual, references, answer, foil, positions, at } = found;
    return { task, text, counterfactual, references, answer, foil, positions, at, do: "none", heads: "", factor: EMPTY.factor };
  }
  const keyOf = (name, found) => (name === "discovery" ? found.task : JSON.stringify(found));
  const part = (name, what) => panels[name].querySelector(what);
  const say = (name, what) => (part(name, ".said").textContent = what);

  function clear(name) {
    if (running?.name === name) running.abort.abort();
    delete shown[name];
    if (name === "discovery") circuit = null;
    for (const what of [".results", ".more"]) part(name, what).replaceChildren();
    part(name, ".found").hidden = true;
    say(name, "");
    problems(name, []);
  }

  function problems(name, some) {
    const place = part(name, ".problem");
    place.hidden = !some.length;
    place.textContent = some.map(({ said }) => said).join(" ");
  }

  function busy(name, on) {
    const [run, stop] = [part(name, ".run"), part(name, ".stop")];
    const held = [run, stop].includes(document.activeElement);
    run.hidden = on;
    stop.hidden = !on;
    if (held) (on ? stop : run).focus();
    const bar = part(name, "progress");
    bar.hidden = !on;
    bar.removeAttribute("value");
    part(name, ".far").textContent = "";
  }

  // A field that does not fit says so, and nothing runs until it does.
  function wrongField(name) {
    const wrong = part(name, "form").querySelector(":invalid");
    for (const field of panels[name].querySelectorAll("[data-setting]")) field.setAttribute("aria-invalid", field === wrong);
    problems(name, wrong ? [{ said: `${wrong.labels[0].textContent.trim()}: ${wrong.validationMessage}` }] : []);
    return wrong;
  }

  async function run(name) {
    running?.abort.abort();
    clear(name);
    const wrong = wrongField(name);
    if (wrong) return wrong.focus();
    const asked = source(name);
    const mine = (running = { name, abort: new AbortController() });
    shown[name] = keyOf(name, asked);
    busy(name, true);
    const { tab, ...numbers } = settings;
    const found = await follow("study", { ...asked, ...numbers, study: name }, mine.abort.signal, (event, data) => {
      if (running !== mine) return;
      if (event === "progress") advance(name, data);
      else trace(name, data);
    });
    if (running === mine) running = null;
    if (running?.name === name) return; // it was started anew meanwhile
    busy(name, false);
    if (!(name in shown)) return; // of another prompt by now
    if (!found) return say(name, "stopped");
    problems(name, found.problems);
    if (found.problems.length) say(name, "");
    else show(name, found);
  }

  function advance(name, { done, total, what }) {
    const bar = part(name, "progress");
    if (total) {
      bar.max = total;
      bar.value = done;
    } else bar.removeAttribute("value");
    part(name, ".far").textContent = what;
  }

  function figures(name, drawn) {
    const place = part(name, ".results");
    place.innerHTML = drawn.join("");
    wireFigures(place);
    place.querySelectorAll(".scroll, figure").forEach(tellWide);
    watchWide(place); // and again where its tab was not open
    return place;
  }

  function trace(name, { step, said, figure }) {
    say(name, `step ${step}, ${said}`);
    figures(name, [figure]);
  }

  function show(name, found) {
    say(name, found.said);
    addSaveButtons(figures(name, found.figures));
    part(name, ".found").hidden = !found.heads;
    part(name, ".choose").onclick = () => change({ heads: found.heads, of: found.of, do: found.do ?? question().do });
    if (found.toml) fileOf(name, found.toml);
    if (found.scales) slider(name, found);
  }

  function fileOf(name, toml) {
    circuit = toml;
    const text = make("pre", { tabIndex: 0, role: "region", "aria-label": "the circuit's file" }, toml);
    const button = make("button", { type: "button" }, "claim this circuit");
    button.addEventListener("click", () => claim(toml));
    part(name, ".more").replaceChildren(button, make("details", { className: "plain" }, make("summary", {}, "the circuit's file"), text));
  }

  // One coefficient at a time is read out.
  function slider(name, { scales, numbers, predictions }) {
    const middle = Math.floor(scales.length / 2);
    const input = make("input", { type: "range", min: 0, max: scales.length - 1, step: 1, value: middle });
    const out = make("output");
    const update = () => {
      const at = input.valueAsNumber;
      const parts = Object.entries(numbers).map(([name, values]) => `${name} ${number(values[at])}`);
      const coefficient = number(scales[at]);
      input.setAttribute("aria-valuetext", coefficient);
      out.textContent = `${coefficient}: ${isolated(predictions[at])} is predicted; ${parts.join(", ")}`;
    };
    input.addEventListener("input", update);
    part(name, ".more").replaceChildren(make("div", { className: "row" }, make("label", {}, "coefficient ", input), out));
    update();
  }

  function open(name) {
    for (const tab of tabs) {
      const on = tab.dataset.study === name;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      panels[tab.dataset.study].hidden = !on;
    }
  }

  const set = (some) => {
    settings = { ...settings, ...some };
    for (const field of fields) if (field.dataset.setting in some) field.value = settings[field.dataset.setting];
    settle(Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== SETTINGS[name])));
  };

  for (const [i, tab] of tabs.entries()) {
    const go = (to) => {
      open(names[to]);
      set({ tab: names[to] });
      tabs[to].focus();
    };
    tab.addEventListener("click", () => go(i));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go((to + tabs.length) % tabs.length);
    });
  }
  for (const field of fields) {
    const name = field.dataset.setting;
    field.addEventListener("change", () => {
      if (!wrongField(field.closest("[role=tabpanel]").id.replace("study-", ""))) set({ [name]: field.type === "number" ? field.valueAsNumber : field.value.trim() });
    });
  }
  panels.targeted.querySelector("input").addEventListener("input", async ({ target }) => {
    const { words } = (await ask("complete", { start: target.value })) ?? {};
    if (words) byId("target-words").replaceChildren(...words.map((word) => make("option", { value: word })));
  });
  for (const name of names) {
    part(name, "form").addEventListener("submit", (event) => {
      event.preventDefault();
      run(name);
    });
    part(name, ".stop").addEventListener("click", () => running?.abort.abort());
  }

  return {
    // Takes the settings that an address has, and takes away what is of another prompt, or of something else that is done.
    fill({ study }) {
      settings = { ...SETTINGS };
      for (const field of fields) {
        const name = field.dataset.setting;
        field.value = study[name] ?? SETTINGS[name];
        // What the page cannot have written is as it is to begin with.
        if (field.value === "" || !field.checkValidity()) field.value = SETTINGS[name];
        settings[name] = field.type === "number" ? field.valueAsNumber : field.value;
      }
      if (names.includes(study.tab)) settings.tab = study.tab;
      open(settings.tab);
      for (const name of names) if (name in shown && shown[name] !== keyOf(name, source(name))) clear(name);
    },
    // The file of the circuit that was discovered last on these prompts; null where there is none.
    circuit: () => circuit,
  };
}
