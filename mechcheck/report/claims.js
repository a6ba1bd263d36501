// The list of claims: filter, sort, follow links, walk through it by keys. Everything is readable without this.

// Up to this many claims that fit a filter are shown at once; more wait behind the verdicts of their tests.
const AT_ONCE = 120;

function claimList(list, form) {
  const claims = [...list.querySelectorAll("details.claim")];
  const homes = new Map(claims.map((claim) => [claim, claim.parentElement]));
  const byTest = document.getElementById("by-test");
  const tests = [...byTest.querySelectorAll(".test")];
  const folds = [...byTest.querySelectorAll("details.lines")];
  const entries = new Map([...document.querySelectorAll("#contents a")].map((link) => [link.hash, link.parentElement]));
  const files = [...byTest.querySelectorAll(".file")].map((file) => [file, entries.get(`#${file.firstElementChild.id}`)]);
  const flat = list.appendChild(make("div", {}));
  const [shown, everything, regroup, keys] = ["shown", "everything", "regroup", "keys"].map((id) => document.getElementById(id));
  const texts = new Map();
  let wanted = new URLSearchParams();
  let sorted = "";
  let unfolded = null;
  let typing = false;
  let waiting = 0;

  // What the evidence holds beside the words (tables, pictures) is not searched: it may not be unpacked yet.
  function textOf(claim) {
    if (!texts.has(claim)) {
      const parts = claim.querySelectorAll("summary, .body > p, .expectation > h3, .provenance");
      texts.set(claim, [...parts].map((part) => part.textContent).join("\n").toLowerCase());
    }
    return texts.get(claim);
  }

  const hide = (element, hidden) => element.hidden === hidden || (element.hidden = hidden);

  function filter() {
    const fits = filters.test(textOf);
    const full = new Set();
    let n = 0;
    for (const claim of claims) {
      const out = !fits(claim);
      if (claim.hidden !== out) {
        claim.hidden = out;
        for (const mark of marksOf(claim)) mark.classList.toggle("out", out);
      }
      if (out) continue;
      n += 1;
      full.add(homes.get(claim).closest(".test"));
    }
    for (const test of tests) hide(test, !full.has(test));
    for (const [file, entry] of files) {
      const none = !file.querySelector(":scope > .test:not([hidden])");
      hide(file, none);
      hide(entry, none);
    }
    fold(n);
    const all = n === claims.length;
    shown.value = all && !sorted ? "" : `${n} of ${claims.length} shown`;
    everything.hidden = all;
  }

  // What fits a filter is unfolded as long as it is asked for; then all is as it was, but for what is being read.
  function fold(n) {
    const some = n < claims.length;
    if (some && !unfolded) unfolded = new Set(folds.filter((one) => one.open));
    if (!unfolded) return;
    for (const one of folds) {
      const open = unfolded.has(one) || (some && n <= AT_ONCE && !one.parentElement.hidden) || Boolean(one.querySelector(".claim[open]"));
      if (one.open !== open) one.open = open;
    }
    if (!some) unfolded = null;
  }

  const textKeys = {
    statement: (claim) => claim.querySelector(".c-statement").textContent,
    model: (claim) => claim.dataset.model,
  };

  // By a column, upwards or ("-") downwards; by none, each claim stands with its test.
  function sort(by) {
    if (by === sorted) return;
    sorted = by;
    const key = by.replace("-", "");
    for (const button of document.querySelectorAll("[data-sort]")) {
      delete button.dataset.order;
      button.removeAttribute("aria-label");
      if (button.dataset.sort !== key) continue;
      button.dataset.order = by === key ? "ascending" : "descending";
      button.setAttribute("aria-label", `${button.textContent}, sorted ${button.dataset.order}`);
    }
    byTest.hidden = Boolean(key);
    regroup.hidden = !key;
    if (!key) {
      for (const claim of claims) homes.get(claim).append(claim);
      return;
    }
    const sign = by === key ? 1 : -1;
    const value = textKeys[key] || ((claim) => (key in claim.dataset ? Number(claim.dataset[key]) : null));
    const keyed = claims.map((claim) => [value(claim), claim]);
    keyed.sort(([a], [b]) => {
      // A claim without a number stands last in either direction.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
    flat.append(...keyed.map(([, claim]) => claim));
  }

  function show(asked) {
    wanted = asked;
    filters.fill(wanted);
    sort(wanted.get("sort") ?? "");
    filter();
  }

  // One step back in the history undoes a choice, or all that was typed at once; not every key is worth an address.
  function write(typed) {
    clearTimeout(waiting);
    if (!typed || !typing) writeAddress("pushState", "", wanted);
    else waiting = setTimeout(() => writeAddress("replaceState", "", wanted), 300);
    typing = typed;
  }

  function ask(name, value) {
    if (value) wanted.set(name, value);
    else wanted.delete(name);
    show(wanted);
    write(false);
  }

  // Rows on the way have a height only once they are seen, which takes some frames: until then it is a guess.
  function bring(place, frames) {
    place.scrollIntoView({ block: "start" });
    if (frames) requestAnimationFrame(() => bring(place, frames - 1));
  }

  function follow() {
    const { target, wanted: asked } = readAddress();
    typing = false;
    clearTimeout(waiting);
    show(asked);
    const place = target && document.getElementById(target);
    if (!place) return;
    if (place.closest("#claims [hidden]")) {
      // What a link leads to is shown, whatever was asked for.
      show(new URLSearchParams());
      writeAddress("replaceState", target, wanted);
    }
    for (let at = place; at; at = at.parentElement.closest("details")) if (at.matches("details")) at.open = true;
    const claim = claimAt(target);
    bring(claim ?? place, 4);
    claim?.querySelector("summary").focus({ preventScroll: true });
  }

  function step(by, rows) {
    const at = document.activeElement?.closest("#claims summary");
    const forward = by > 0 ? 0 : rows.length - 1;
    // From a line that is no row itself one goes to the next one that is.
    const from = rows.indexOf(at) >= 0 ? rows.indexOf(at) + by : at ? nearest(rows, at, by) : forward;
    for (let i = from; rows[i]; i += by) {
      if (rows[i].closest("[hidden]")) continue;
      const closed = rows[i].parentElement.parentElement.closest("details:not([open])");
      if (closed && !rows.unfold) continue;
      if (closed) closed.open = true;
      rows[i].focus();
      rows[i].scrollIntoView({ block: "nearest" });
      return;
    }
  }

  function nearest(rows, at, by) {
    const after = rows.findIndex((row) => at.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING);
    return by > 0 ? (after < 0 ? rows.length : after) : (after < 0 ? rows.length : after) - 1;
  }

  const lines = () => [...list.querySelectorAll("summary.line, .lines:not([open]) > summary")];
  const missed = () => Object.assign([...list.querySelectorAll("summary.line:has(.unmet)")], { unfold: true });

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open || event.target.closest("input, select, textarea")) return;
    const action = {
      j: () => step(1, lines()), k: () => step(-1, lines()), n: () => step(1, missed()), p: () => step(-1, missed()),
      "/": () => form.text.focus(), "?": () => keys.showModal(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  const claimAt = (id) => document.getElementById(id)?.closest("details.claim");

  // The marks beside the tests, which are dimmed with their claims.
  let marks = null;
  function marksOf(claim) {
    if (!marks) {
      marks = new Map(claims.map((one) => [one, []]));
      for (const mark of byTest.querySelectorAll("a.mark")) marks.get(claimAt(mark.hash.slice(1))).push(mark);
    }
    return marks.get(claim);
  }

  // A mark tells more than its verdict only here, to keep the page small.
  function nameMarks() {
    for (const mark of document.querySelectorAll("a.mark")) {
      const claim = claimAt(mark.hash.slice(1));
      const said = [".chip", ".c-statement strong", "code.id"].map((part) => claim.querySelector(part).textContent.replace(/^\W /, ""));
      mark.title = `${said[0]}: ${said[1]} ${said[2]}`;
      mark.setAttribute("aria-label", mark.title);
    }
    claims.forEach(textOf);
  }

  const filters = filterForm(form, (typed) => {
    filters.read(wanted);
    filter();
    write(typed);
  });
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.disabled = false;
    button.addEventListener("click", () => ask("sort", sorted === button.dataset.sort ? `-${sorted}` : button.dataset.sort));
  }
  regroup.addEventListener("click", () => ask("sort", ""));
  everything.addEventListener("click", () => {
    show(new URLSearchParams(sorted && { sort: sorted }));
    write(false);
  });
  for (const link of document.querySelectorAll("a[data-view]")) link.href = `#${link.dataset.view}`;
  const openAll = (some, open) => some.forEach((one) => one.closest("[hidden]") || (one.open = open));
  const buttons = {
    unfold: () => openAll(folds, true), expand: () => openAll([...folds, ...claims], true), collapse: () => openAll([...folds, ...claims], false),
    help: () => keys.showModal(),
  };
  for (const [id, act] of Object.entries(buttons)) document.getElementById(id).addEventListener("click", act);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    step(1, lines());
  });
  document.addEventListener("keydown", key);
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const place = document.getElementById(link.hash.slice(1));
    // Within what is shown, a link changes nothing else; and one to what is the fragment already changes no hash.
    if (place && wanted.toString() && !place.closest("[hidden]")) writeAddress("pushState", place.id, wanted);
    else if (link.hash !== location.hash) return;
    event.preventDefault();
    follow();
  });
  (window.requestIdleCallback ?? setTimeout)(nameMarks);
  follow();
}
