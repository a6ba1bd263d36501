// Asks the server, and puts what does not fit where it arose.

// Places of what is changed, and how.
const ACTS = ["of", "heads", "at", "do", "keys", "direction", "share", "deviations"];

const byId = (id) => document.getElementById(id);
const TOKEN = new URLSearchParams(location.search).get("token") ?? "";

const post = (what, body, signal) => fetch(`/api/${what}`, {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: `Bearer ${TOKEN}` },
  body: JSON.stringify(body),
  signal,
});

async function read(answer) {
  const text = await answer.text();
  if (answer.headers.get("Content-Type") === "application/json") {
    const found = JSON.parse(text);
    return answer.ok ? found : { problems: found.problems };
  }
  return { problems: [{ where: "page", said: `the server refuses: ${text}` }] };
}

function lost(error) {
  if (error.name === "AbortError") return null;
  return { problems: [{ where: "page", said: "the server does not answer: is mechcheck explore still running?" }] };
}

// The answer to a question; null where it could not be answered, which is then told on the page.
async function ask(what, body, signal) {
  try {
    return await read(await post(what, body, signal));
  } catch (error) {
    return lost(error);
  }
}

// What a file that a reader chose says.
const textOf = async (file) => (file ? file.text() : "");

// Shows problems at what they are of, and takes away those that are gone.
function tell(problems, places) {
  for (const where of places) {
    const place = byId(`of-${where}`);
    const found = problems.filter((one) => one.where === where).map((one) => one.said);
    place.hidden = !found.length;
    place.textContent = found.join(" ");
    byId(where)?.setAttribute("aria-invalid", found.length > 0);
  }
}
