/* What both visit pages share: local times, and a stream that comes back by itself. */
"use strict";

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
}

/* `onVisit` gets each snapshot; `onOver` is called once, when the session or the visit is no more. */
function watchVisit(url, onVisit, onOver) {
  const lost = document.getElementById("link");
  function open() {
    const stream = new EventSource(url);
    stream.addEventListener("open", () => { lost.hidden = true; });
    stream.addEventListener("visit", (event) => { lost.hidden = true; onVisit(JSON.parse(event.data)); });
    stream.addEventListener("over", () => { stream.close(); lost.hidden = true; onOver(); });
    stream.addEventListener("error", async () => {
      lost.hidden = false;
      if (stream.readyState !== EventSource.CLOSED) return;
      const answer = await fetch(url.replace("/events?", "/state?"), { cache: "no-store" }).catch(() => null);
      if (answer && [401, 403, 410].includes(answer.status)) { lost.hidden = true; onOver(); return; }
      setTimeout(open, 3000);
    });
  }
  open();
}

localTimes(document);
