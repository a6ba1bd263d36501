// Follows an answer that comes in parts: server-sent events, read by fetch, since an EventSource cannot show the token.

// Calls `on(event, data)` for each. Ends with problems; with null where it was given up.
async function follow(what, body, signal, on) {
  try {
    const answer = await post(what, body, signal);
    if (!answer.headers.get("Content-Type").startsWith("text/event-stream")) return await read(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let ended = null;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const events = (rest + part.value).split("\n\n");
      rest = events.pop();
      for (const written of events) {
        const [, event, data] = written.match(/^event: (\w+)\ndata: (.*)$/);
        const found = JSON.parse(data);
        if (event === "end") ended = found;
        else on(event, found);
      }
    }
    return ended ?? { problems: [{ where: "page", said: "the study broke off: the terminal that mechcheck explore runs in may say why" }] };
  } catch (error) {
    return lost(error);
  }
}
