// What a claim shows once it is opened: its parts are unpacked, its figures wired, its prompts searchable.

const unpacked = new Map();
let places; // of the parts: block and place therein

function block(number) {
  if (!unpacked.has(number)) {
    const text = document.querySelectorAll("script.block")[number].textContent;
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    unpacked.set(number, new Response(stream).text().then((all) => all.split("\x1e")));
  }
  return unpacked.get(number);
}

// A part of the page by its number.
async function partText(number) {
  places ??= JSON.parse(document.getElementById("parts").textContent);
  const [at, item] = places[number];
  return (await block(at))[item];
}

// The parts were escaped when the page was written; scripts in them would not run.
async function unpack(claim) {
  await Promise.all(
    [...claim.querySelectorAll(".more[data-part]")].map(async (place) => {
      const number = place.dataset.part;
      delete place.dataset.part;
      try {
        place.innerHTML = await partText(number);
      } catch (error) {
        place.textContent = `This browser cannot unpack the evidence (${error.message}); the numbers are in evidence.json.`;
      }
    }),
  );
}

async function openClaim(claim) {
  if (claim.dataset.wired) return;
  claim.dataset.wired = "1";
  await unpack(claim);
  claim.querySelectorAll("table.forest[data-values]").forEach(plant);
  wireFigures(claim);
  const each = claim.querySelector(".each[data-spec]");
  if (each) await everyPrompt(each).catch((error) => each.append(`Not every prompt can be shown (${error.message}).`));
  else claim.querySelectorAll("table.prompts").forEach(searchable);
  for (const name of claim.querySelectorAll(".forest tbody th")) name.title = name.textContent; // it may be too long to be seen
  const href = `#${claim.querySelector(".body").id}`;
  claim.querySelector("code.id").after(" ", make("a", { href, className: "permalink" }, "link to this claim"));
  addSaveButtons(claim);
  claim.dataset.ready = "1";
}

// The effect of each template, and its dot, where they were left out.
function plant(table) {
  const values = table.dataset.values.trim().split(" ");
  const [low, high, start, end] = table.dataset.axis.split(" ").map(Number);
  const rows = table.tBodies[0].rows;
  const dots = values.map((value, i) => {
    rows[i].cells[2].textContent = value;
    return `M${(start + ((Number(value) - low) / (high - low)) * (end - start)).toFixed(1)} ${18 * i + 9}h0`;
  });
  table.querySelector("path.tpl").setAttribute("d", dots.join(""));
}

function searchable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 4) return;
  const box = make("input", { type: "search", placeholder: "filter prompts", "aria-label": "filter prompts", className: "find" });
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
  table.parentElement.before(box);
}
