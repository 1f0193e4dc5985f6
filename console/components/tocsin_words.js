// What several components say: ages, measures, names, and the shapes that stand beside the colours of grades.

import { ref } from "vue";

// Rises each second; whoever reads it while drawing is drawn anew. One timer for all ages on a page.
export const seconds = ref(0);
setInterval(() => seconds.value++, 1000);

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
