// What is on the page as a claim: its file, where it is saved, and what comes of running it.

function claimPanel(question) {
  const PLACES = ["statement", "measure", "expects", "threshold", "file", "circuit", "claim", "run"];
  const FIELDS = ["statement", "measure", "expects", "threshold", "file", "circuit"];
  const SHARED = [...ACTS, "page"]; // places of the page's own problems, which are left alone where there are none of the claim's
  let body = null; // what the file that is shown was made of
  let asked = null; // what a file is waited for of
  let run = null; // the run that is waited for
  const say = (what) => (byId("claim-said").textContent = what);

  function told({ problems = [] }) {
    tell(problems, PLACES);
    tell(problems, SHARED.filter((where) => problems.some((one) => one.where === where)));
    const [first] = problems;
    const field = first && byId(first.where);
    (field?.querySelector("input:checked") ?? field)?.focus();
    return !problems.length;
  }

  function outdate() {
    run?.abort();
    body = asked = null;
    byId("made").hidden = true;
    byId("verdict").hidden = true;
    if (byId("replace")) {
      byId("replace").checked = false;
      byId("replace-row").hidden = true;
    }
    tell([], PLACES);
    say("");
  }

  byId("claim-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = read();
    outdate();
    const mine = (asked = { ...question(), ...fields });
    const found = await ask("claim", mine);
    if (asked !== mine || !told(found)) return;
    body = mine;
    byId("source").textContent = found.source;
    const [[name, text] = []] = Object.entries(found.beside);
    byId("beside").hidden = !name;
    byId("beside-name").textContent = name ?? "";
    byId("beside-text").textContent = text ?? "";
    byId("made").hidden = false;
    byId("source").focus();
  });
  for (const name of FIELDS) byId(name).addEventListener("input", outdate);
  byId("measure").addEventListener("input", ({ target }) => {
    if (target.value === "faithful") byId("expects").value = "below";
  });

  const read = () => Object.fromEntries(FIELDS.map((name) => [name, byId(name).value]));

  // A circuit that was found, as the text of its file.
  function circuit(text) {
    byId("circuit").value = text;
    byId("circuit-row").open = true;
    byId("measure").value = "faithful";
    byId("expects").value = "below";
    outdate();
    byId("statement").focus();
  }

  byId("circuit-file").addEventListener("change", async ({ target }) => {
    const text = await textOf(target.files[0]);
    target.value = "";
    circuit(text);
  });

  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("source").textContent);
      say("copied");
    } catch {
      getSelection().selectAllChildren(byId("source"));
      say("the browser does not let a page copy: the file is selected, copy it from there");
    }
  });

  byId("save")?.addEventListener("click", async () => {
    say("");
    const found = await ask("save", { ...body, replace: byId("replace").checked });
    if (found.source) byId("source").textContent = found.source; // made anew, where another tab has measured meanwhile
    if (found.exists) byId("replace-row").hidden = false;
    if (told(found)) say(`saved as ${isolated(found.saved)}`);
  });

  byId("run").addEventListener("click", async () => {
    const mine = (run = new AbortController());
    tell([], ["run"]);
    byId("verdict").hidden = true;
    byId("run").disabled = true;
    byId("cancel").hidden = false;
    byId("cancel").focus();
    say("pytest runs it, on fresh prompts …");
    const found = await ask("prove", body, mine.signal);
    const held = document.activeElement === byId("cancel");
    byId("run").disabled = false;
    byId("cancel").hidden = true;
    if (held) byId("run").focus();
    run = null;
    if (!found) return say(body ? "stopped" : "");
    say("");
    if (told(found)) show(found);
  });
  byId("cancel").addEventListener("click", () => run?.abort());

  function show({ source, verdict, reason, checks, decoys, prompts, here, printed, command }) {
    const word = byId("verdict-word");
    byId("source").textContent = source;
    word.textContent = verdict.replace("_", " ");
    word.className = verdict;
    byId("verdict-reason").textContent = checks.length ? `on ${prompts} fresh prompts` : reason;
    byId("verdict-here").textContent = `on the prompt of this page, which was seen before: ${number(here)}`;
    const rows = [...checks.map(({ label, estimate }) => [label, estimate]), ...(decoys ? [["decoys", decoys]] : [])];
    byId("verdict-checks").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    byId("verdict-command").textContent = command;
    byId("printed").textContent = printed;
    byId("verdict").hidden = false;
    say(`${word.textContent}: see below`);
  }

  return {
    outdate,
    circuit,
    read,
    // Fills in what a session has.
    write(fields) {
      for (const name of FIELDS) if (name in fields) byId(name).value = fields[name];
      byId("circuit-row").open = Boolean(byId("circuit").value);
      outdate();
    },
  };
}
