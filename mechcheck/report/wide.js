// What is wider than its place says that it scrolls sideways, and can be scrolled by the arrow keys.
function tellWide(place) {
  for (const box of place.querySelectorAll(".scroll, figure")) {
    const wide = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("sideways", wide);
    if (wide) Object.assign(box, { tabIndex: 0, role: "group", ariaLabel: "scrolls sideways" });
    else for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
  }
}

// What is folded away has no width until it is opened.
function watchWide(page) {
  tellWide(page);
  addEventListener("resize", () => tellWide(page));
  page.addEventListener("toggle", (event) => event.target.open && tellWide(event.target), true);
}
