// What is done to the sites: its settings, and the positions of the prompt where it is done.

function actsPanel(change) {
  let state = null;
  let tokens = [];
  let positions = {};

  for (const name of NUMBERS) byId(name).addEventListener("change", ({ target }) => change({ [name]: asNumber(name, target.valueAsNumber) }));
  byId("direction").addEventListener("change", ({ target }) => change({ direction: target.value }));
  byId("only").addEventListener("change", ({ target }) => change({ only: target.checked }));
  byId("do").addEventListener("change", ({ target }) => {
    // An edge begins with two different ends, which the reader then moves.
    const first = Object.keys(positions).find((name) => name !== "END") ?? "END";
    change({ do: target.value, ...(target.value === "knockout" && !state.keys ? { keys: first, at: state.at.length ? state.at : ["END"] } : {}) });
  });
  byId("at").addEventListener("change", () => change({ at: [...byId("at").querySelectorAll("input:checked")].map(({ value }) => value) }));

  // A position's name; a token that has none is given one.
  function called(value) {
    if (!value.startsWith("#")) return [value, {}];
    const at = Number(value.slice(1));
    let name = `t${at}`;
    while (name in positions && positions[name] !== at) name += "_";
    return [name, { positions: { ...state.positions, [name]: at } }];
  }
  byId("keys").addEventListener("change", ({ target }) => {
    const [name, more] = called(target.value);
    change({ keys: name, ...more });
  });
  byId("at-token").addEventListener("change", ({ target }) => {
    const [name, more] = called(target.value);
    if (name) change({ at: [...new Set([...state.at, name])], ...more });
  });

  const unnamed = () => tokens.map((label, at) => [label, at]).filter(([, at]) => !Object.values(positions).includes(at));
  const others = () => unnamed().map(([label, at]) => make("option", { value: `#${at}` }, isolated(label)));

  return {
    fill(now) {
      state = now;
      const kind = byId("do").querySelector(`input[value="${CSS.escape(state.do)}"]`);
      if (kind) kind.checked = true;
      for (const setting of byId("settings").children) setting.hidden = !setting.dataset.of.split(" ").includes(state.do);
      for (const name of NUMBERS) byId(name).value = state[name];
      byId("direction").value = state.direction;
      byId("only").checked = state.only;
      byId("at").querySelector("legend").textContent =
        state.do === "knockout" ? "from, where a head names no position (none: from every token)" : "at, where a site names no position (none: everywhere)";
    },
    show(prompt, note) {
      ({ tokens, positions } = prompt);
      byId("note").textContent = note ?? "";
      byId("note").hidden = !note;
      const legend = byId("at").querySelector("legend");
      const names = [...new Set([...Object.keys(positions), ...state.at])];
      const held = document.activeElement?.closest("#at input")?.value;
      byId("at").replaceChildren(legend, ...names.map((name) => {
        const box = make("input", { type: "checkbox", value: name, checked: state.at.includes(name) });
        return make("label", {}, box, make("span", {}, name));
      }));
      if (held) byId("at").querySelector(`input[value="${CSS.escape(held)}"]`)?.focus();
      byId("at-token").replaceChildren(make("option", { value: "" }, "none"), ...others());
      byId("at-token").parentElement.hidden = !tokens.length;
      const known = [...new Set([...Object.keys(positions), ...(state.keys ? [state.keys] : [])])];
      byId("keys").replaceChildren(...known.map((name) => make("option", { value: name }, name)), ...others());
      byId("keys").value = state.keys;
    },
  };
}
