// The list of claims: filter, sort, follow links, walk through it by keys. Everything is readable without this.
function claimList(list, form) {
  const claims = [...list.querySelectorAll(":scope > details.claim")];
  const counts = [...document.querySelectorAll("button.count")];
  const shown = document.getElementById("shown");
  const texts = new Map();

  // What the evidence holds beside the words (tables, pictures) is not searched: it may not be unpacked yet.
  function textOf(claim) {
    if (!texts.has(claim)) {
      const parts = claim.querySelectorAll("summary, .body > p, .expectation > h3, .provenance");
      texts.set(claim, [...parts].map((part) => part.textContent).join("\n").toLowerCase());
    }
    return texts.get(claim);
  }

  function filter() {
    const pressed = counts.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.verdict);
    const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = (name, value) => !form[name].value || form[name].value === value;
    let n = 0;
    for (const claim of claims) {
      const { verdict, model, task } = claim.dataset;
      const fits =
        (!pressed.length || pressed.includes(verdict)) &&
        wanted("verdict", verdict) && wanted("model", model) && wanted("task", task) &&
        words.every((word) => textOf(claim).includes(word));
      if (claim.hidden === fits) claim.hidden = !fits;
      n += fits;
    }
    shown.value = n === claims.length ? "" : `${n} of ${claims.length} shown`;
  }

  function unfilter() {
    form.reset();
    counts.forEach((b) => b.setAttribute("aria-pressed", "false"));
    filter();
  }

  const textKeys = {
    statement: (claim) => claim.querySelector(".c-statement").textContent,
    model: (claim) => claim.dataset.model,
  };

  function sort(button) {
    const key = button.dataset.sort;
    const ascending = button.dataset.order !== "ascending";
    for (const other of document.querySelectorAll("[data-sort]")) {
      delete other.dataset.order;
      other.removeAttribute("aria-label");
    }
    button.dataset.order = ascending ? "ascending" : "descending";
    button.setAttribute("aria-label", `${button.textContent}, sorted ${button.dataset.order}`);
    const sign = ascending ? 1 : -1;
    const value = textKeys[key] || ((claim) => (key in claim.dataset ? Number(claim.dataset[key]) : null));
    const keyed = claims.map((claim) => [value(claim), claim]);
    keyed.sort(([a], [b]) => {
      // A claim without a number stands last in either direction.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
    list.append(...keyed.map(([, claim]) => claim));
  }

  function follow() {
    let id;
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    const claim = id && document.getElementById(id)?.closest("details.claim");
    if (!claim) return;
    if (claim.hidden) unfilter();
    claim.open = true;
    claim.scrollIntoView({ block: "start" });
    // Rows on the way have a height only once they are seen: the first time it is a guess.
    requestAnimationFrame(() => claim.scrollIntoView({ block: "start" }));
    claim.querySelector("summary").focus({ preventScroll: true });
  }

  function step(by) {
    const visible = [...list.querySelectorAll(":scope > details.claim:not([hidden])")];
    const at = visible.indexOf(document.activeElement?.closest("details.claim"));
    const next = visible[at < 0 ? (by > 0 ? 0 : visible.length - 1) : at + by];
    if (!next) return;
    next.querySelector("summary").focus();
    next.scrollIntoView({ block: "nearest" });
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const action = { j: () => step(1), k: () => step(-1), "/": () => form.text.focus() }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // A mark on a card tells more than its verdict only here, to keep the page small.
  for (const mark of document.querySelectorAll("a.mark")) {
    const claim = document.getElementById(mark.hash.slice(1))?.closest("details.claim");
    const said = claim && [".c-statement strong", ".c-statement code"].map((part) => claim.querySelector(part)?.textContent ?? "").join(" ");
    mark.title += `: ${said}`;
    mark.setAttribute("aria-label", mark.title);
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of counts) {
    button.disabled = false;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      filter();
    });
  }
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.disabled = false;
    button.addEventListener("click", () => sort(button));
  }
  const openAll = (open) => claims.forEach((claim) => claim.hidden || (claim.open = open));
  document.getElementById("expand").addEventListener("click", () => openAll(true));
  document.getElementById("collapse").addEventListener("click", () => openAll(false));
  document.addEventListener("keydown", key);
  addEventListener("hashchange", follow);
  // A link in the page to the claim that is already the fragment changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#claim-"]');
    if (link && link.hash === location.hash) follow();
  });
  filter(); // a browser may have kept what was typed before a reload
  follow();
}
