// What is wider than its place says that it scrolls sideways, and can be scrolled by the arrow keys.
function tellWide(box) {
  const wide = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX === "auto";
  box.classList.toggle("sideways", wide);
  for (const [name, value] of Object.entries({ tabindex: 0, role: "group", "aria-label": "scrolls sideways" })) {
    if (wide) box.setAttribute(name, value);
    else box.removeAttribute(name);
  }
}

// Measured when it comes near: a page that is measured as a whole has to be laid out as a whole.
const nearby = new IntersectionObserver(
  (entries) => entries.forEach((entry) => entry.isIntersecting && tellWide(entry.target)), { rootMargin: "50% 0px" },
);

function watchWide(place) {
  for (const box of place.querySelectorAll(".scroll, figure")) {
    nearby.unobserve(box); // observed anew, it is measured anew
    nearby.observe(box);
  }
}
