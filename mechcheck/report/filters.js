// What of the list is asked for: the form, the buttons of the verdicts and the address always say the same, so that a view can be sent as a link.

// An address is #claim-..., or what is asked for as #name=value&..., or both.
function readAddress() {
  const parts = location.hash.slice(1).split("&");
  let target = "";
  try {
    if (!parts[0].includes("=")) target = decodeURIComponent(parts.shift());
  } catch {
    // Not an address of ours.
  }
  return { target, wanted: new URLSearchParams(parts.join("&")) };
}

function writeAddress(how, target, wanted) {
  history[how](null, "", `#${[target, wanted.toString()].filter(Boolean).join("&")}`);
}

// `changed` is called as soon as a reader asks for something else, with whether that was by typing.
function filterForm(form, changed) {
  const fields = ["met", "kind", "model", "task", "source", "text"];
  const counts = [...document.querySelectorAll("button.count")];
  const pressed = () => counts.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.verdict);

  function press(verdicts) {
    for (const b of counts) b.setAttribute("aria-pressed", verdicts.includes(b.dataset.verdict));
    form.verdict.value = verdicts.length > 1 ? "*" : (verdicts[0] ?? "");
  }

  function tell() {
    const n = ["verdict", ...fields.slice(0, -1)].filter((name) => form[name].value).length;
    document.getElementById("chosen").textContent = n ? ` (${n})` : "";
  }

  function fill(wanted) {
    press((wanted.get("verdict") ?? "").split(","));
    for (const name of fields) form[name].value = wanted.get(name) ?? "";
    tell();
    const lost = ["met", "kind", "model", "task", "source"].filter((name) => (wanted.get(name) ?? "") !== form[name].value);
    const asked = lost.map((name) => `${name} ${wanted.get(name)}`).join(", ");
    document.getElementById("lost").value = lost.length ? `The address asks for what this run has not: ${asked}.` : "";
  }

  function read(wanted) {
    for (const name of ["verdict", ...fields]) wanted.delete(name);
    if (pressed().length) wanted.set("verdict", pressed().join(","));
    for (const name of fields) if (form[name].value) wanted.set(name, form[name].value);
    tell();
  }

  // Whether a claim is among what the form says; `textOf` gives the words of a claim.
  function test(textOf) {
    const verdicts = pressed();
    const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const equal = ["kind", "model", "task"].filter((name) => form[name].value);
    const met = { yes: ".met", no: ".unmet", none: ":not(.met, .unmet)" }[form.met.value];
    const source = form.source.value;
    return (claim) =>
      (!verdicts.length || verdicts.includes(claim.dataset.verdict)) &&
      equal.every((name) => claim.dataset[name] === form[name].value) &&
      (!met || claim.querySelector(".chip").matches(met)) &&
      (!source || claim.querySelector(".source bdi")?.textContent === source) &&
      words.every((word) => textOf(claim).includes(word));
  }

  form.hidden = false;
  for (const id of ["choices", "contents"]) document.getElementById(id).open = matchMedia("(min-width: 1280px)").matches;
  form.addEventListener("input", (event) => {
    if (event.target.name === "verdict") press([form.verdict.value]);
    changed(event.target.name === "text");
  });
  form.text.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !form.text.value) return;
    event.preventDefault();
    form.text.value = "";
    changed(true);
  });
  for (const button of counts) {
    button.disabled = false;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      press(pressed());
      changed(false);
    });
  }
  return { fill, read, test };
}
