/* The patient's page: waits, goes on by itself, and lets the devices be tried meanwhile. */
"use strict";

const room = document.getElementById("room");
const framed = window.top !== window.self;
const join = "/visit/patient/join?visit=" + room.dataset.visit;
const byId = (id) => document.getElementById(id);
let tracks = [];
let sound = null;

function show(state) {
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = part.dataset.when !== state;
  byId("devices").hidden = state !== "waiting";
  if (state !== "waiting") stopTest();
  if (framed) {
    byId("join-here").hidden = true;
    byId("new-tab").hidden = state === "ended";
    if (state === "go") byId("new-tab-words").textContent = "Your visit opens in a new tab.";
  } else if (state === "go") {
    setTimeout(() => location.assign(join), 700);
  }
}

function stopTest() {
  for (const track of tracks) track.stop();
  tracks = [];
  if (sound) { sound.close(); sound = null; }
  for (const id of ["preview", "level-label", "stop"]) byId(id).hidden = true;
  byId("test").hidden = false;
}

function meter(stream) {
  sound = new AudioContext();
  const analyser = sound.createAnalyser();
  sound.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const mine = sound;
  (function measure() {
    if (sound !== mine) return;
    analyser.getFloatTimeDomainData(samples);
    byId("level").value = Math.min(1, Math.sqrt(samples.reduce((sum, s) => sum + s * s, 0) / samples.length) * 4);
    setTimeout(measure, 100);
  })();
  byId("level-label").hidden = false;
}

async function ask(wanted) {
  const stream = await navigator.mediaDevices.getUserMedia(wanted);
  tracks.push(...stream.getTracks());
  return stream;
}

function problem(error, what) {
  if (error.name === "NotFoundError") return "No " + what + " was found. You can join without it.";
  if (error.name === "NotReadableError") return "Your " + what + " is in use by another program. Close that program and try again.";
  if (error.name !== "NotAllowedError") return "Your " + what + " could not be started. You can join without it.";
  if (framed) {
    byId("new-tab").hidden = false;
    byId("new-tab-words").textContent = "This window does not allow camera and microphone. A tab of its own does.";
    return "Your " + what + " is blocked inside this window.";
  }
  return "Your " + what + " is not allowed. Allow it in the browser's address bar and try again, or join without it.";
}

async function test() {
  if (!navigator.mediaDevices) { byId("verdict").textContent = "This browser cannot try devices. You can join all the same."; return; }
  byId("test").hidden = true;
  byId("stop").hidden = false;
  const verdicts = [];
  try {
    const stream = await ask({ video: { facingMode: "user" } });
    byId("preview").srcObject = stream;
    byId("preview").hidden = false;
    await byId("preview").play();
    verdicts.push("Your camera works.");
  } catch (error) { verdicts.push(problem(error, "camera")); }
  try {
    meter(await ask({ audio: true }));
    verdicts.push("Your microphone is on.");
  } catch (error) { verdicts.push(problem(error, "microphone")); }
  if (!tracks.length) stopTest();
  byId("verdict").textContent = verdicts.join(" ");
}

/* The tab is opened at once, while the press still allows it; its ticket is asked for then, as it works only once. */
async function goOnInTab(event) {
  event.preventDefault();
  const form = byId("continue");
  const tab = window.open("", "visit-" + room.dataset.visit);
  const answer = await fetch("/visit/patient/ticket?visit=" + room.dataset.visit, { method: "POST", cache: "no-store" }).catch(() => null);
  if (!answer || !answer.ok) {
    if (tab) tab.close();
    byId("new-tab-words").textContent = "The new tab could not be opened. Please try again, or start the visit again from your health record.";
    return;
  }
  form.elements.ticket.value = await answer.text();
  if (tab) form.target = tab.name;
  form.submit();
}

if (!framed) window.opener = null; // the tab goes on to another site, which must not steer the frame that opened it
byId("continue").addEventListener("submit", goOnInTab);
byId("test").addEventListener("click", test);
byId("stop").addEventListener("click", () => { stopTest(); byId("verdict").textContent = ""; });
window.addEventListener("pagehide", stopTest);
show(room.dataset.state);
watchVisit("/visit/patient/events?visit=" + room.dataset.visit, (snapshot) => show(snapshot.state), () => {
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = true;
  byId("devices").hidden = byId("new-tab").hidden = true;
  byId("over").hidden = false;
});
