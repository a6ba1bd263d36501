// The prompt: its tokens as chips, of which each can be given a name, and the counterfactual's beside them.

function promptPanel(change) {
  const naming = byId("naming");
  const name = byId("naming-name");
  let named = null; // the position that is being named
  let places = {};
  let drawn = {}; // the task and the row of the prompt, if it is one of a task
  let own = {}; // of these, those that were given on the page: END is there by itself

  function open(at, label) {
    named = at;
    naming.hidden = false;
    byId("naming-what").textContent = `position ${at}, ${isolated(label)}, is called`;
    name.value = Object.keys(places).filter((one) => places[one] === at && one in own)[0] ?? "";
    mark();
    name.focus();
  }

  function mark() {
    for (const chip of byId("tokens").children) chip.setAttribute("aria-pressed", Number(chip.dataset.at) === named);
  }

  function close() {
    byId("tokens").children[named]?.focus();
    named = null;
    naming.hidden = true;
    mark();
  }

  naming.addEventListener("submit", (event) => {
    event.preventDefault();
    const kept = Object.entries(own).filter(([one, at]) => at !== named && one !== name.value.trim());
    const positions = Object.fromEntries(kept);
    if (name.value.trim()) positions[name.value.trim()] = named;
    change({ positions });
    close();
  });
  naming.addEventListener("keydown", (event) => event.key === "Escape" && close());

  for (const field of ["text", "counterfactual"]) {
    byId(field).addEventListener("change", ({ target }) => change({ [field]: target.value.replace(/\s*\n\s*/g, " "), task: "", row: 0 }));
    // A prompt is one line, so that Enter is free to mean: this is it.
    byId(field).addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      event.target.dispatchEvent(new Event("change"));
    });
  }
  byId("references").addEventListener("change", ({ target }) => {
    change({ references: target.value.split("\n").map((line) => line.trim()).filter(Boolean) });
  });
  for (const field of ["answer", "foil"]) {
    const input = byId(field);
    input.addEventListener("change", () => change({ [field]: input.value.trim() }));
    input.addEventListener("input", async () => {
      // Of several words the last one is completed.
      const [before, start] = input.value.match(/^(.*\s)?(\S*)$/s).slice(1);
      const { words } = (await ask("complete", { start })) ?? {};
      if (words) byId(`${field}-words`).replaceChildren(...words.map((word) => make("option", { value: (before ?? "") + word })));
    });
  }

  byId("many").addEventListener("change", async ({ target }) => {
    const many = Math.min(Math.max(Math.round(target.valueAsNumber) || 1, 1), Number(target.max));
    const { task, row } = drawn;
    const found = await ask("example", { task, row, many });
    if (found?.references && drawn.task === task && drawn.row === row) change({ many, references: found.references });
  });

  function chips(tokens, differs, marks) {
    return tokens.map((label, at) => {
      const names = Object.keys(places).filter((one) => places[one] === at);
      const content = [make("bdi", {}, label), ...(marks && names.length ? [make("small", {}, names.join(" "))] : [])];
      const className = ["tok", ...(differs[at] ? ["differs"] : [])].join(" ");
      if (!marks) return make("span", { className, title: differs[at] ? "differs from the prompt" : "" }, ...content);
      const chip = make("button", { type: "button", className, "data-at": at, "aria-pressed": false }, ...content);
      chip.addEventListener("click", () => (named === at ? close() : open(at, label)));
      return chip;
    });
  }

  return {
    // Fills in what is written.
    fill(state) {
      for (const field of ["text", "counterfactual", "answer", "foil"]) byId(field).value = state[field];
      byId("references").value = state.references.join("\n");
      byId("task").value = state.task;
      byId("another").hidden = !state.task;
      own = state.positions;
      drawn = state;
      byId("many-row").hidden = !state.task;
      byId("many").value = state.many;
      byId("taken").textContent = state.references.length;
    },
    // Shows what the server made of it.
    show({ tokens, counterfactual, differs, positions, answer = [], foil = [] }) {
      for (const [field, pieces] of [["answer", answer], ["foil", foil]]) {
        byId(`${field}-tokens`).replaceChildren(...(pieces.length > 1 ? pieces.map((piece) => make("span", { className: "tok" }, make("bdi", {}, piece))) : []));
      }
      places = positions;
      const held = document.activeElement?.closest("#tokens button")?.dataset.at;
      byId("tokens").replaceChildren(...chips(tokens, differs, true));
      byId("other-tokens").replaceChildren(...chips(counterfactual, differs, false));
      mark();
      if (held) byId("tokens").children[held]?.focus();
    },
  };
}
