// What several components say: ages, measures, names, and the shapes that stand beside the colours of grades.

import { ref } from "vue";

// Rises every five seconds; whoever reads it while drawing is drawn anew. All that moves by itself (ages, the sign of
// life) moves with it, in one paint: a screen is open day and night. It follows the server's beats; without them it goes
// on by itself.
export const moments = ref(0);
const BEATS = 5;
let beats = 0;
let movedAt = 0;
function move() {
  beats = 0;
  movedAt = performance.now();
  moments.value++;
}
window.addEventListener("tocsin-beat", () => {
  if (++beats >= BEATS) move();
});
setInterval(() => {
  if (performance.now() - movedAt > (BEATS + 1) * 1000) move();
}, 1000);

// Made once a language: a new one costs as much as drawing a row.
const formats = {};
function format(kind, language) {
  const key = kind + language;
  if (!formats[key]) {
    const locale = language === "zh" ? "zh-CN" : "en-GB";
    if (kind === "number") formats[key] = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 });
    else formats[key] = new Intl.DateTimeFormat(locale, { timeStyle: "medium", hour12: false, ...(kind === "moment" && { dateStyle: "short" }) });
  }
  return formats[key];
}
export const timeWords = (ms, language) => format("time", language).format(ms);
export const momentWords = (ms, language) => format("moment", language).format(ms);
export const numberWords = (value, language) => format("number", language).format(Number(value.toPrecision(4)));

// Octagon, triangle, diamond, circle: told apart without colour.
export const gradeShapes = {
  red: "M6 1 H14 L19 6 V14 L14 19 H6 L1 14 V6 Z",
  orange: "M10 1 L19.5 18.5 H0.5 Z",
  yellow: "M10 0.5 L19.5 10 L10 19.5 L0.5 10 Z",
  blue: "M10 1 A9 9 0 1 1 9.99 1 Z",
};

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function agoWords(ms, texts) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return fill(texts["watch.ago.seconds"], { s: seconds });
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return fill(texts["watch.ago.minutes"], { m: minutes, s: String(seconds % 60).padStart(2, "0") });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return fill(texts["watch.ago.hours"], { h: hours, m: String(minutes % 60).padStart(2, "0") });
  return fill(texts["watch.ago.days"], { d: Math.floor(hours / 24), h: hours % 24 });
}

export function measureWords(row, texts) {
  if (!row.measure || row.kind === "silence") return texts["watch.family." + row.family] || row.family;
  const channel = row.subject.split("/").pop().split(".").slice(1).join(".");
  const measure = texts["measure." + row.measure] || row.measure;
  return channel ? `${measure} ${channel}` : measure;
}

export function nameOf(own, english, language) {
  return language === "en" ? english || own || "" : own || english || "";
}

export function newId() {
  if (window.crypto && crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
