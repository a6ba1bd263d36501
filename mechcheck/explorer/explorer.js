// Puts the page together: every change makes a state, which goes into the address, is asked about, and is shown.

(() => {
  const PLACES = ["page", "task", "text", "positions", "counterfactual", "answer", "foil", "references", ...ACTS, "shown", "attention"];
  const claim = claimPanel(() => ({ ...question(), task: state.task, row: state.row }));
  const MOST = 30; // of what was tried
  let state = readState(location.hash);
  let running = new AbortController();
  const kept = () => history.state ?? { depth: 0, tried: [] };

  const NOTHING = { name: "", values: {} };
  let marked = ""; // what the effects in the grid are of

  // How maps are looked at, and how studies are set up, is nothing that was tried, or that could be undone.
  const address = (some) => written({ ...some, look: "", study: {} });

  const question = () => {
    const { task, row, each, many, shown, look, study, ...body } = state;
    return body;
  };

  function change(some) {
    const next = { ...state, ...some };
    if (address(next) === address(state)) return;
    history.pushState({ depth: kept().depth + 1, tried: kept().tried }, "", written(next));
    show(next);
  }

  async function show(next) {
    state = next;
    running.abort();
    claim.outdate();
    const { signal } = (running = new AbortController());
    fill();
    if (!state.text && state.task) {
      const found = await ask("example", { task: state.task, row: state.row, many: state.many }, signal);
      if (!found) return;
      if (found.problems) return tell(found.problems, PLACES);
      const { alike, ...drawn } = found;
      byId("alike").textContent = alike;
      state = { ...state, ...drawn };
      history.replaceState(kept(), "", written(state));
      fill();
    }
    const found = state.text.trim() ? await ask("predict", question(), signal) : { problems: [] };
    if (!found) return;
    tell(found.problems, PLACES);
    if (!found.prompt) {
      // What is shown would be of another prompt.
      prompt.show({ tokens: [], counterfactual: [], differs: [], positions: {} });
      heads.show([], state);
      acts.show({ tokens: [], positions: {} });
      showPrediction({ tables: [], numbers: [] });
      sharing.show(null);
      marked = "";
      heads.mark(NOTHING);
      return showMaps({ figure: "" }, found.problems);
    }
    sharing.show(found, said(state));
    prompt.show(found.prompt);
    heads.show(found.sites, state);
    acts.show(found.prompt, found.note);
    showPrediction(found, said(state));
    if (!found.problems.some(({ where }) => ACTS.includes(where))) keep(found);
    const looked = found.sites.length || state.shown;
    const maps = looked ? await ask("attention", { ...question(), shown: state.shown }, signal) : { figure: "" };
    if (!maps) return;
    showMaps(maps, found.problems);
    await markHeads(found.problems, signal);
  }

  // Each head's own effect, which does not depend on those that are chosen.
  async function markHeads(known, signal) {
    const asked = state.each && state.do !== "none" ? { ...question(), heads: "" } : null;
    if (marked === JSON.stringify(asked)) return;
    const found = asked ? await ask("effects", asked, signal) : NOTHING;
    if (!found) return;
    if (found.problems) tell([...known, ...found.problems], PLACES);
    marked = found.problems ? "" : JSON.stringify(asked);
    heads.mark(found.problems ? NOTHING : found);
  }

  // Settings of studies are no step that one undoes, and nothing is asked for them.
  function settle(study) {
    state = { ...state, study };
    history.replaceState(kept(), "", written(state));
  }

  function fill() {
    studies.fill(state);
    prompt.fill(state);
    heads.fill(state);
    acts.fill(state);
    byId("shown").value = state.shown;
    byId("undo").disabled = !kept().depth;
    tries();
  }

  function showMaps({ figure, problems = [] }, known) {
    tell([...known, ...problems.filter(({ where }) => !ACTS.includes(where))], PLACES);
    byId("maps").innerHTML = figure || '<p class="muted">of the heads that are chosen</p>';
    for (const drawn of byId("maps").querySelectorAll("figure.attention")) drawn.dataset.look = state.look;
    wireFigures(byId("maps"));
    addSaveButtons(byId("maps"));
  }

  // What was tried stays with the history of this tab, each with the number that it came to.
  function keep({ numbers }) {
    const { values, name } = numbers[0];
    const one = { said: said(state), address: address(state), text: state.text, came: `${name} ${number(values.at(-1))}` };
    const others = kept().tried.filter(({ said, text }) => said !== one.said || text !== one.text);
    history.replaceState({ ...kept(), tried: [one, ...others].slice(0, MOST) }, "");
    tries();
  }

  function tries() {
    const held = document.activeElement?.closest("#tried button")?.textContent;
    byId("tried").replaceChildren(...kept().tried.map(({ said, address: at, text, came }) => {
      const button = make("button", { type: "button", title: text, "aria-current": at === address(state) }, said);
      button.addEventListener("click", () => change({ ...readState(at), look: state.look, study: state.study }));
      return make("li", {}, button, " ", make("small", { className: "muted" }, came));
    }));
    if (held) [...byId("tried").querySelectorAll("button")].find(({ textContent }) => textContent === held)?.focus();
  }

  const sharing = sharingPanel({
    read: () => ({ address: written(state), tried: kept().tried, claim: claim.read() }),
    open({ address, tried, claim: fields }) {
      const next = readState(address);
      history.pushState({ depth: kept().depth + 1, tried }, "", written(next));
      claim.write(fields);
      return show(next);
    },
  });
  const prompt = promptPanel(change);
  const heads = headsPanel(change);
  const acts = actsPanel(change);
  const studies = studiesPanel({ question: () => ({ ...question(), task: state.task }), settle, change, claim: claim.circuit });
  const blank = { text: "", counterfactual: "", references: [], answer: "", foil: "", positions: {} };
  byId("task").addEventListener("change", ({ target }) => change(target.value ? { ...blank, task: target.value, row: 0 } : { task: "", row: 0 }));
  byId("another").addEventListener("click", () => change({ ...blank, task: state.task, row: state.row + 1 }));
  byId("shown").addEventListener("change", ({ target }) => change({ shown: target.value.trim() }));
  byId("maps").addEventListener("look", ({ detail }) => {
    state = { ...state, look: detail };
    history.replaceState(kept(), "", written(state));
  });
  byId("undo").addEventListener("click", () => history.back());
  addEventListener("popstate", () => show(readState(location.hash)));
  if (location.hash === "#session") sharing.begin();
  else show(state);
})();
