// Any figure as a picture of its own: what is seen of it is drawn anew as SVG, which can be saved, or turned into PNG.

const STROKES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "color", "visibility",
  "font-size", "font-weight", "font-family", "text-anchor", "paint-order", "image-rendering",
];
const MARGIN = 10;

function saveButtons(figure) {
  const button = (format, save) => {
    const node = make("button", { type: "button", title: `save this figure as ${format}` }, format);
    node.addEventListener("click", () => save(figure));
    return node;
  };
  return make("span", { className: "save" }, "save as ", button("SVG", saveSvg), button("PNG", savePng));
}

function drawing(figure) {
  const { x, y, width: across, height: down } = figure.getBoundingClientRect();
  const parts = [];
  draw(figure, { x: x - MARGIN, y: y - MARGIN }, parts);
  const [width, height] = [Math.ceil(across + 2 * MARGIN), Math.ceil(down + 2 * MARGIN)];
  const paper = svgMake("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor });
  return svgMake("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` }, paper, ...parts);
}

function draw(node, box, parts) {
  if (node.nodeType === Node.TEXT_NODE) return words(node, box, parts);
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches("script, .vh")) return;
  const style = getComputedStyle(node);
  const at = node.getBoundingClientRect();
  if (style.display === "none" || !at.width) return;
  const place = { x: at.x - box.x, y: at.y - box.y, width: at.width, height: at.height };
  if (node instanceof SVGSVGElement) {
    const copy = inlined(node);
    for (const [name, value] of Object.entries(place)) copy.setAttribute(name, value);
    parts.push(copy);
    return;
  }
  if (node instanceof HTMLImageElement) {
    parts.push(svgMake("image", { ...place, href: node.src, style: "image-rendering:pixelated", preserveAspectRatio: "none" }));
    return;
  }
  if (node.classList.contains("ramp")) ramp(node, place, parts);
  else if (!/^rgba\(.*, 0\)$/.test(style.backgroundColor)) parts.push(svgMake("rect", { ...place, fill: style.backgroundColor }));
  node.childNodes.forEach((child) => draw(child, box, parts));
}

// The colour bar: its gradient in as many rectangles as there are colours.
function ramp(node, { x, y, width, height }, parts) {
  const [first, last] = node.classList.contains("div") ? [0, 2 * STEPS] : node.classList.contains("neg") ? [0, STEPS] : [STEPS, 2 * STEPS];
  const step = width / (last - first + 1);
  for (let i = first; i <= last; i++) parts.push(svgMake("rect", { x: x + (i - first) * step, y, width: step + 0.3, height, fill: RAMP[i] }));
}

// Each word where the page has it, so that lines break as they do there.
function words(node, box, parts) {
  const style = getComputedStyle(node.parentElement);
  const range = document.createRange();
  for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const at = range.getBoundingClientRect();
    if (!at.width) continue;
    const size = parseFloat(style.fontSize);
    const upright = style.writingMode === "horizontal-tb";
    const [x, y] = upright
      ? [at.x - box.x, at.y - box.y + at.height / 2 + size * 0.35]
      : [at.x - box.x + at.width / 2 + size * 0.35, at.bottom - box.y];
    const attributes = { x, y, fill: style.color, "font-size": size, "font-weight": style.fontWeight, "font-family": style.fontFamily };
    if (!upright) attributes.transform = `rotate(-90 ${x} ${y})`;
    parts.push(svgMake("text", attributes, style.textTransform === "uppercase" ? word.toUpperCase() : word));
  }
}

// A copy that looks the same without the page's style sheet.
function inlined(svg) {
  const copy = svg.cloneNode(true);
  const [from, to] = [svg, copy].map((root) => [...root.querySelectorAll("*")]);
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const name of STROKES) if (style.getPropertyValue(name)) to[i].style.setProperty(name, style.getPropertyValue(name));
    to[i].removeAttribute("class");
  });
  return copy;
}

function download(figure, blob, ending) {
  const title = figure.querySelector("figcaption")?.textContent ?? "figure";
  const name = title.trim().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "figure";
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: `${name}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// A saved figure is for paper, whatever the page looks like, and has no buttons.
function svgText(figure) {
  const { dataset } = document.documentElement;
  const { theme } = dataset;
  dataset.theme = "light";
  figure.classList.add("saving");
  try {
    return new XMLSerializer().serializeToString(drawing(figure));
  } finally {
    figure.classList.remove("saving");
    if (theme) dataset.theme = theme;
    else delete dataset.theme;
  }
}

function saveSvg(figure) {
  download(figure, new Blob([svgText(figure)], { type: "image/svg+xml" }), "svg");
}

async function pngOf(figure) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(figure))}`;
  await image.decode();
  const canvas = make("canvas", { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function savePng(figure) {
  download(figure, await pngOf(figure), "png");
}
