// What is wider than its place says that it scrolls sideways, and can be scrolled by the arrow keys.
function tellWide(place) {
  for (const box of place.querySelectorAll(".scroll, figure")) {
    const wide = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX === "auto";
    box.classList.toggle("sideways", wide);
    for (const [name, value] of Object.entries({ tabindex: 0, role: "group", "aria-label": "scrolls sideways" })) {
      if (wide) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  }
}

// What is folded away has no width until it is opened.
function watchWide(page) {
  tellWide(page);
  addEventListener("resize", () => tellWide(page));
  page.addEventListener("toggle", (event) => event.target.open && tellWide(event.target), true);
}
