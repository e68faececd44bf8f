/* The provider's page: puts each snapshot in place, and says aloud what is new. */
"use strict";

const live = document.getElementById("live");
const say = document.getElementById("say");
let before = null;

function news(now) {
  const said = [];
  if (now.patientWaitingSince && !(before && before.patientWaitingSince)) said.push("The patient is waiting.");
  if (now.open && !(before && before.open)) said.push("Your meeting is ready.");
  if (now.state === "ended" && !(before && before.state === "ended")) said.push("The call has ended.");
  const there = (snapshot) => snapshot.people.filter((p) => p.who !== "you" && p.presence === "connected").length;
  if (before && there(now) > there(before)) said.push("Somebody connected.");
  if (before && there(now) < there(before)) said.push("Somebody left.");
  return said.join(" ");
}

watchVisit("/visit/provider/events?visit=" + live.dataset.visit, (snapshot) => {
  const focused = document.activeElement && live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  live.innerHTML = snapshot.html;
  localTimes(live);
  if (focused) {
    const again = [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
    if (again) again.focus();
  }
  const said = news(snapshot);
  if (said) say.textContent = said;
  document.title = snapshot.patientWaitingSince ? "Patient waiting – Video visit" : "Video visit";
  before = snapshot;
}, () => {
  live.textContent = "";
  const gone = document.createElement("p");
  gone.className = "notice warn";
  gone.setAttribute("role", "alert");
  gone.textContent = "This page has lost its visit, or another visit was started in this browser. Start it again in your health record.";
  live.append(gone);
});
