// What leaves the page: a link, a session as a file, and what is seen as a picture; and a session that is opened again.

function sharingPanel({ read, open }) {
  const say = (what) => (byId("sharing-said").textContent = what);
  const { model, weights } = byId("s-share").dataset;
  const NAMES = { prediction: "prediction", "all-heads": "heads" };
  let measured = []; // what is on the page
  let saved = null; // what was on the page that a session was saved from, until it is compared

  // The link: its token is told only where that is asked for.
  byId("copy-link").addEventListener("click", async () => {
    const whole = byId("with-token").checked;
    const link = whole ? location.href : `${location.origin}/${location.hash}`;
    const told = whole
      ? "copied, with the token: it opens on this machine as long as this server runs"
      : "copied, without the token: what stands from # on opens behind the link of any mechcheck explore of this model";
    try {
      await navigator.clipboard.writeText(link);
      say(told);
    } catch {
      say(`the browser does not let a page copy; here it is: ${link}`);
    }
  });

  byId("save-session").addEventListener("click", () => {
    const session = { format: "mechcheck explorer session 1", model: { name: model, weights_sha256: weights }, ...read(), measured };
    const url = URL.createObjectURL(new Blob([`${JSON.stringify(session, null, 1)}\n`], { type: "application/json" }));
    make("a", { href: url, download: `${model.replace(/[^\p{L}\p{N}]+/gu, "-")}-session.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    say("saved, without the token");
  });

  async function opened(found) {
    byId("s-share").open = true;
    tell(found.problems ?? [], ["session"]);
    if (found.problems) return say("");
    saved = found.measured;
    say("opened");
    await open(found);
  }

  async function openFile(file) {
    if (file.size > 1 << 21) return opened({ problems: [{ where: "session", said: `${file.name} is larger than a session can be` }] });
    const found = await ask("session", { text: await textOf(file) });
    if (found) await opened(found);
  }

  byId("session").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) await openFile(file);
  });
  addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
  addEventListener("drop", (event) => {
    const [file] = event.dataTransfer?.files ?? [];
    if (!file || event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    openFile(file);
  });

  // Whether what a session was saved with is measured here too, to the digits that the page shows.
  function compare() {
    const written = ({ values }) => values.map((x) => number(x ?? NaN)).join(" → ");
    const now = new Map(measured.map((one) => [one.name, written(one)]));
    const other = saved.filter((one) => now.get(one.name) !== written(one));
    saved = null;
    say(
      other.length
        ? `opened; saved with other numbers: ${other.map((one) => `${one.name} ${written(one)}, here ${now.get(one.name) ?? "–"}`).join("; ")}`
        : "opened; it has the numbers that it was saved with",
    );
  }

  for (const name of Object.keys(NAMES)) byId(name).append(saveButtons(byId(name)));

  return {
    // The session that the server was started with.
    async begin() {
      const found = await ask("opening", {});
      return found?.problems || found?.address ? opened(found) : open({ address: "", tried: [], claim: {} });
    },
    // Keeps what is shown; null where nothing is.
    show(found, said) {
      byId("prediction").hidden = !found;
      measured = found?.numbers ?? [];
      if (!found) return;
      const prompt = byId("text").value;
      for (const [name, told] of Object.entries(NAMES)) byId(name).querySelector("figcaption").textContent = `${model}, ${told}: ${said} · ${prompt}`;
      if (saved) compare();
    },
  };
}
