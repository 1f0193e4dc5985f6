// A map that needs no network: each enterprise a dot in the colour of its risk, a ring of the warning grade where
// something is open. Districts are told by their outline and name. Tiles of a server of the house may lie beneath.
//
// Dot and ring are two things: risk is of a place, a warning is an event. Names go in as text, never as markup.

import { leaflet as L } from "nicegui-leaflet";
import { loadResource } from "../../static/utils/resources.js";

const WEIGHT = { red: 4, orange: 3, yellow: 2, blue: 1 };
const COLOURS = ["red", "orange", "yellow", "blue", ""];

export default {
  template: `
    <section class="m-map" :aria-label="say('map.title')">
      <div class="m-ground t-data" ref="ground"></div>
      <div class="m-legend">
        <h2>{{ say("map.risk") }}</h2>
        <label v-for="colour in colours" :key="colour" :class="colour ? 'is-' + colour : 'is-unknown'">
          <input type="checkbox" v-model="shown[colour || 'unknown']" @change="draw" />
          <i class="m-dot"></i>{{ colour ? say("map.colour." + colour) : say("map.colour.unknown") }}
          <b>{{ counts[colour] || 0 }}</b>
        </label>
        <p class="m-ring-word"><i class="m-ring"></i>{{ say("map.ring") }}</p>
      </div>
      <ul class="m-open t-data" v-if="open.length" :aria-label="say('map.open')">
        <li v-for="one in open.slice(0, 12)" :key="one.code">
          <button type="button" :class="'is-' + one.grade" @click="go(one.code)">
            <i class="m-ring"></i><span>{{ one.name }}</span><small>{{ say("grade." + one.grade) }} · {{ one.count }}</small>
          </button>
        </li>
      </ul>
      <p class="m-calm t-data" v-else>{{ say("map.calm") }}</p>
    </section>`,
  props: { texts: Object, places: Array, districts: Object, alarms: Array, at: String, tiles: String, resourcePath: String },
  data: () => ({
    colours: COLOURS,
    shown: { red: true, orange: true, yellow: true, blue: true, unknown: true },
    open: [],
    counts: {},
  }),
  async mounted() {
    this.rows = new Map(this.alarms.map((row) => [row.key, row]));
    this.byCode = new Map(this.places.map((place) => [place[0], place]));
    for (const place of this.places) this.counts[place[5]] = (this.counts[place[5]] || 0) + 1;
    await this.$nextTick();
    await loadResource(window.path_prefix + `${this.resourcePath}/leaflet/leaflet.css`);
    this.map = L.map(this.$refs.ground, { preferCanvas: true, attributionControl: false, zoomSnap: 0.5, minZoom: 3 });
    if (this.tiles) L.tileLayer(this.tiles).addTo(this.map);
    this.map.setView([0, 0], 3);
    this.fit();
    this.outline();
    this.dots = L.layerGroup().addTo(this.map);
    this.rings = L.layerGroup().addTo(this.map);
    this.map.on("zoomend", () => this.draw());
    this.light = new MutationObserver(() => this.draw());
    this.light.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.draw();
    if (this.at) this.go(this.at);
  },
  beforeUnmount() {
    if (this.light) this.light.disconnect();
    if (this.map) this.map.remove();
  },
  methods: {
    say(key) {
      return this.texts[key] || key;
    },
    change(change) {
      if (change.whole) this.rows.clear();
      for (const row of change.rows) this.rows.set(row.key, row);
      for (const key of change.gone || []) this.rows.delete(key);
      if (this.map) this.drawRings();
    },
    fit() {
      if (!this.places.length) return;
      this.map.fitBounds(L.latLngBounds(this.places.map((place) => [place[4], place[3]])), { padding: [40, 40] });
    },
    colour(name) {
      return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    },
    outline() {
      this.map.createPane("districts").style.zIndex = 250; // beneath the dots
      const renderer = L.svg({ pane: "districts", padding: 1 });
      const points = new Map();
      for (const place of this.places) {
        if (!points.has(place[2])) points.set(place[2], []);
        points.get(place[2]).push([place[4], place[3]]);
      }
      for (const [district, within] of points) {
        const ring = hull(within);
        const line = L.polygon(ring, { className: "m-district", interactive: false, weight: 1, fillOpacity: 1, pane: "districts", renderer });
        line.addTo(this.map);
        const name = document.createElement("span");
        name.textContent = this.districts[district] || district;
        const icon = L.divIcon({ className: "m-district-name", html: name, iconSize: null });
        const north = ring.reduce((a, b) => (b[0] > a[0] ? b : a));
        const middle = ring.reduce((sum, point) => sum + point[1], 0) / ring.length;
        L.marker([north[0], middle], { icon, interactive: false, keyboard: false }).addTo(this.map);
      }
    },
    radius() {
      return Math.max(3, Math.min(9, this.map.getZoom() - 7.5));
    },
    draw() {
      this.dots.clearLayers();
      const line = this.colour("--surface");
      const fills = { "": this.colour("--soft") };
      for (const colour of ["red", "orange", "blue"]) fills[colour] = this.colour("--" + colour);
      fills.yellow = this.colour("--yellow-fill");
      const radius = this.radius();
      // The worst are drawn last, so that they lie on top.
      const order = [...this.places].sort((a, b) => (WEIGHT[a[5]] || 0) - (WEIGHT[b[5]] || 0));
      for (const place of order) {
        if (!this.shown[place[5] || "unknown"]) continue;
        const dot = L.circleMarker([place[4], place[3]], {
          radius, weight: 1, color: line, fillColor: fills[place[5]], fillOpacity: place[5] === "blue" ? 0.65 : 0.95,
        });
        dot.bindPopup(() => this.popup(place)).bindTooltip(() => text(place[1]));
        this.dots.addLayer(dot);
      }
      this.drawRings();
    },
    drawRings() {
      this.rings.clearLayers();
      const worst = new Map();
      for (const row of this.rows.values()) {
        const one = worst.get(row.enterprise) || { code: row.enterprise, grade: row.grade, count: 0, name: "" };
        one.count += 1;
        if (WEIGHT[row.grade] > WEIGHT[one.grade]) one.grade = row.grade;
        worst.set(row.enterprise, one);
      }
      this.open = [...worst.values()].filter((one) => this.byCode.has(one.code));
      this.open.sort((a, b) => WEIGHT[b.grade] - WEIGHT[a.grade] || a.code.localeCompare(b.code));
      for (const one of this.open) {
        const place = this.byCode.get(one.code);
        one.name = place[1];
        const className = `m-alarm is-${one.grade}`;
        const icon = L.divIcon({ className, html: document.createElement("i"), iconSize: [30, 30] });
        const ring = L.marker([place[4], place[3]], { icon, title: place[1], zIndexOffset: WEIGHT[one.grade] * 1000 });
        ring.bindPopup(() => this.popup(place));
        this.rings.addLayer(ring);
      }
    },
    popup(place) {
      const box = document.createElement("div");
      box.className = "m-popup";
      const name = document.createElement("a");
      name.href = "/enterprises/" + encodeURIComponent(place[0]);
      name.textContent = place[1];
      box.append(name, text(place[5] ? `${this.say("map.risk")}: ${this.say("map.colour." + place[5])}` : this.say("map.colour.unknown")));
      for (const row of this.rows.values()) {
        if (row.enterprise !== place[0]) continue;
        const alarm = document.createElement("a");
        alarm.href = "/alarms/" + row.key;
        alarm.className = "is-" + row.grade;
        alarm.textContent = `${this.say("grade." + row.grade)} · ${this.say("kind." + row.kind)}`;
        box.append(alarm);
      }
      return box;
    },
    go(code) {
      const place = this.byCode.get(code);
      if (!place) return;
      this.map.setView([place[4], place[3]], Math.max(this.map.getZoom(), 15), { animate: false });
      L.popup().setLatLng([place[4], place[3]]).setContent(this.popup(place)).openOn(this.map);
    },
  },
};

function text(words) {
  const made = document.createElement("span");
  made.textContent = words;
  return made;
}

// The convex hull of points, a little widened: Andrew's monotone chain.
function hull(points) {
  const sorted = [...points].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
  const cross = (o, a, b) => (a[1] - o[1]) * (b[0] - o[0]) - (a[0] - o[0]) * (b[1] - o[1]);
  const half = (list) => {
    const kept = [];
    for (const point of list) {
      while (kept.length > 1 && cross(kept[kept.length - 2], kept[kept.length - 1], point) <= 0) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  const ring = sorted.length > 2 ? [...half(sorted), ...half(sorted.reverse())] : sorted;
  const middle = ring.reduce((sum, point) => [sum[0] + point[0] / ring.length, sum[1] + point[1] / ring.length], [0, 0]);
  return ring.map((point) => [middle[0] + (point[0] - middle[0]) * 1.06, middle[1] + (point[1] - middle[1]) * 1.06]);
}
