// Starts everything, once the page is read.
function themeSwitch(button) {
  const names = { "": "as the system", light: "light", dark: "dark" };
  const kept = { get: () => "", set: () => {} };
  try {
    // A browser may refuse storage to a page opened from a file.
    kept.get = () => localStorage.getItem("mechcheck-theme") ?? "";
    kept.set = (theme) => localStorage.setItem("mechcheck-theme", theme);
    kept.get();
  } catch {
    Object.assign(kept, { get: () => "", set: () => {} });
  }
  function use(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.textContent = `theme: ${names[theme] ?? names[""]}`;
  }
  let theme = kept.get() in names ? kept.get() : "";
  use(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = { "": "dark", dark: "light", light: "" }[theme];
    kept.set(theme);
    use(theme);
  });
}

(() => {
  const list = document.getElementById("claims");
  // Drawing a claim waits until it is opened: a page may hold a thousand.
  list.addEventListener("toggle", (event) => event.target.matches("details.claim[open]") && openClaim(event.target).then(() => watchWide(event.target)), true);
  watchWide(document);
  addEventListener("resize", () => watchWide(document));
  themeSwitch(document.getElementById("theme"));
  claimList(list, document.getElementById("filters"));
})();
