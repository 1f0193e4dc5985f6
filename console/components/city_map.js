// A map that needs no network: each enterprise a dot in the colour of its risk, a ring of the warning grade where
// something is open. Districts are told by their outline and name. Tiles of a server of the house may lie beneath.
//
// Dot and ring are two things: risk is of a place, a warning is an event. Names go in as text, never as markup.

import { toRaw } from "vue";

import { leaflet as L } from "nicegui-leaflet";
import { loadResource } from "../../static/utils/resources.js";

const WEIGHT = { red: 4, orange: 3, yellow: 2, blue: 1 };
const COLOURS = ["red", "orange", "yellow", "blue", ""];
const [CODE, NAME, DISTRICT, LONGITUDE, LATITUDE, COLOUR] = [0, 1, 2, 3, 4, 5];
const SHOWN_OPEN = 40;
const NEAR_MOUSE_PX = 3;
const NEAR_FINGER_PX = 14;

export default {
  template: `
    <section class="m-map" :aria-label="say('title')">
      <h1 class="t-aloud">{{ say("title") }}</h1>
      <div class="m-ground t-data" ref="ground"></div>
      <div class="m-side">
        <form class="m-find" role="search" @submit.prevent="find">
          <input class="t-field" type="search" v-model="sought" maxlength="100" :placeholder="say('find')" :aria-label="say('find')" />
        </form>
        <p class="m-word" v-if="said" role="status">{{ said }}</p>
        <p class="m-word" v-if="!there">{{ say("coming") }}</p>
        <ul class="m-open t-data" v-if="open.length" :aria-label="say('open')">
          <li v-for="one in open.slice(0, most)" :key="one.code">
            <button type="button" :class="'is-' + one.grade" @click="go(one.code)">
              <i class="m-ring"></i><span>{{ one.name }}</span><small>{{ texts["grade." + one.grade] }} · {{ say("count").replace("{count}", one.count) }}<template v-if="there && !one.placed"> · {{ say("no_place") }}</template></small>
            </button>
          </li>
          <li v-if="open.length > most" class="m-word">{{ say("more").replace("{count}", open.length - most) }}</li>
        </ul>
        <p class="m-calm t-data" v-else-if="known">{{ say("calm") }}</p>
        <p class="m-word" v-if="note">{{ note }}</p>
      </div>
      <details class="m-legend" :open="wide">
        <summary>{{ say("risk") }}</summary>
        <label v-for="colour in colours" :key="colour" :class="colour ? 'is-' + colour : 'is-unknown'">
          <input type="checkbox" v-model="shown[colour || 'unknown']" @change="draw" />
          <i class="m-dot"></i>{{ say("colour." + (colour || "unknown")) }}
          <b>{{ counts[colour] || 0 }}</b>
        </label>
        <p class="m-ring-word"><i class="m-ring"></i>{{ say("ring") }}</p>
      </details>
    </section>`,
  props: { texts: Object, language: String, alarms: Object, at: String, tiles: String, resourcePath: String },
  data: () => ({
    colours: COLOURS,
    shown: { red: true, orange: true, yellow: true, blue: true, unknown: true },
    open: [],
    counts: {},
    note: "",
    said: "",
    sought: "",
    there: false,
    known: false,
    most: SHOWN_OPEN,
    wide: window.innerWidth > 720,
  }),
  emits: ["whole"],
  created() {
    // Not among `data`: thirty thousand places are looked at, not observed.
    this.held = { places: [], byCode: new Map(), rows: new Map(), rings: new Map(), number: 0 };
    this.held.ready = new Promise((resolve) => (this.held.done = resolve));
    if (this.alarms) this.change(toRaw(this.alarms));
  },
  async mounted() {
    const world = this.held;
    await this.$nextTick(); // before it nobody has said below which path the console lies
    await loadResource(window.path_prefix + `${this.resourcePath}/leaflet/leaflet.css`);
    if (!this.$refs.ground) return;
    world.map = L.map(this.$refs.ground, { attributionControl: false, zoomSnap: 0.5, minZoom: 3, zoomAnimation: false, zoomControl: false });
    L.control.zoom({ position: "topright" }).addTo(world.map);
    if (this.tiles) L.tileLayer(this.tiles).addTo(world.map);
    world.map.setView([0, 0], 3);
    world.dots = new Dots(() => ({ ...this.shown })).addTo(world.map);
    world.map.on("click", (event) => this.clicked(event));
    world.map.on("mousemove", (event) => this.pointed(event));
    world.map.on("mouseout", () => this.pointed(null));
    world.light = new MutationObserver(() => this.draw());
    world.light.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    world.dark = window.matchMedia("(prefers-color-scheme: dark)");
    world.redraw = () => this.draw();
    world.dark.addEventListener("change", world.redraw);
    world.done();
  },
  beforeUnmount() {
    const world = this.held;
    if (world.light) world.light.disconnect();
    if (world.dark) world.dark.removeEventListener("change", world.redraw);
    if (world.map) world.map.remove();
  },
  methods: {
    say(key) {
      return this.texts["map." + key] || key;
    },
    async put(told) {
      const world = this.held;
      await world.ready;
      world.places = told.places;
      world.byCode = new Map(told.places.map((place) => [place[CODE], place]));
      world.districts = told.districts;
      this.note = told.note;
      const isFirst = !this.there;
      this.there = true;
      world.dots.put(told.places);
      this.count();
      if (isFirst && told.places.length) {
        world.map.fitBounds(L.latLngBounds(told.places.map((place) => [place[LATITUDE], place[LONGITUDE]])), {
          // Clear of the search and the list that lie over the map: on the left, on a phone above.
          ...(this.wide ? { paddingTopLeft: [280, 50], paddingBottomRight: [60, 40] } : { paddingTopLeft: [40, 220], paddingBottomRight: [40, 90] }),
          animate: false,
        });
        this.outline();
      }
      this.draw();
      this.tellOpen();
      if (isFirst && this.at) this.go(this.at);
    },
    recolour(colours) {
      const world = this.held;
      for (const [code, colour] of Object.entries(colours)) {
        const place = world.byCode.get(code);
        if (place) place[COLOUR] = colour;
      }
      world.dots.sort();
      this.count();
      this.draw();
    },
    count() {
      const counts = {};
      for (const place of this.held.places) counts[place[COLOUR]] = (counts[place[COLOUR]] || 0) + 1;
      this.counts = counts;
    },
    change(change) {
      const { rows, number } = this.held;
      // Never drawn from a part: what was missed is asked for.
      if (!change.whole && change.number !== number + 1) return this.$emit("whole");
      this.held.number = change.number;
      this.known = true;
      if (change.whole) rows.clear();
      for (const row of change.rows) rows.set(row.key, row);
      for (const key of change.gone || []) rows.delete(key);
      this.tellOpen();
    },
    outline() {
      const { map, places, districts } = this.held;
      const pane = map.getPane("districts") || map.createPane("districts");
      pane.style.zIndex = 250; // beneath the dots
      const renderer = L.svg({ pane: "districts", padding: 1 });
      const points = new Map();
      for (const place of places) {
        if (!points.has(place[DISTRICT])) points.set(place[DISTRICT], []);
        points.get(place[DISTRICT]).push([place[LATITUDE], place[LONGITUDE]]);
      }
      for (const [district, within] of points) {
        const ring = hull(within);
        const line = L.polygon(ring, { className: "m-district", interactive: false, weight: 1, fillOpacity: 1, pane: "districts", renderer });
        line.addTo(map);
        const icon = L.divIcon({ className: "m-district-name", html: text(districts[district] || district), iconSize: null });
        const north = ring.reduce((a, b) => (b[0] > a[0] ? b : a));
        const middle = ring.reduce((sum, point) => sum + point[1], 0) / ring.length;
        L.marker([north[0], middle], { icon, interactive: false, keyboard: false }).addTo(map);
      }
    },
    draw() {
      const { dots } = this.held;
      if (dots) dots.redraw();
    },
    // The list of what is open, and a ring for each; what has not changed stays as it is, with what is read of it.
    tellOpen() {
      const world = this.held;
      const worst = new Map();
      for (const row of world.rows.values()) {
        const one = worst.get(row.enterprise) || { code: row.enterprise, grade: row.grade, count: 0, row };
        one.count += 1;
        if (WEIGHT[row.grade] > WEIGHT[one.grade]) one.grade = row.grade;
        worst.set(row.enterprise, one);
      }
      const open = [...worst.values()].map(({ code, grade, count, row }) => {
        const place = world.byCode.get(code);
        const own = this.language === "en" ? row.enterprise_name_en || row.enterprise_name : row.enterprise_name || row.enterprise_name_en;
        return { code, grade, count, name: own || code, placed: Boolean(place) };
      });
      open.sort((a, b) => WEIGHT[b.grade] - WEIGHT[a.grade] || a.code.localeCompare(b.code));
      this.open = open;
      if (!world.map) return;
      for (const [code, ring] of world.rings) {
        if (worst.has(code) && worst.get(code).grade === ring.grade) continue;
        ring.marker.remove();
        world.rings.delete(code);
      }
      for (const one of open) {
        const place = world.byCode.get(one.code);
        if (!place || world.rings.has(one.code)) continue;
        const icon = L.divIcon({ className: `m-alarm is-${one.grade}`, html: document.createElement("i"), iconSize: [22, 22] });
        const title = `${this.texts["grade." + one.grade]} · ${one.name}`;
        const marker = L.marker(at(place), { icon, title, alt: title, zIndexOffset: WEIGHT[one.grade] * 1000 });
        marker.bindPopup(() => this.popup(place)).addTo(world.map);
        world.rings.set(one.code, { marker, grade: one.grade });
      }
    },
    clicked(event) {
      const finger = event.originalEvent.pointerType === "touch" || window.matchMedia("(pointer: coarse)").matches;
      const place = this.held.dots.nearest(event.containerPoint, finger ? NEAR_FINGER_PX : NEAR_MOUSE_PX);
      if (place) L.popup().setLatLng(at(place)).setContent(this.popup(place)).openOn(this.held.map);
    },
    pointed(event) {
      const world = this.held;
      const place = event && world.dots.nearest(event.containerPoint, NEAR_MOUSE_PX);
      if (place === world.pointed) return;
      world.pointed = place;
      this.$refs.ground.style.cursor = place ? "pointer" : "";
      if (world.tip) world.tip.remove();
      world.tip = place ? L.tooltip({ offset: [8, 0] }).setLatLng(at(place)).setContent(text(place[NAME])).addTo(world.map) : null;
    },
    popup(place) {
      const box = document.createElement("div");
      box.className = "m-popup";
      const name = document.createElement("a");
      name.href = "/enterprises/" + encodeURIComponent(place[CODE]);
      name.textContent = place[NAME];
      box.append(name, text(`${this.say("risk")}: ${this.say("colour." + (place[COLOUR] || "unknown"))}`));
      for (const row of this.held.rows.values()) {
        if (row.enterprise !== place[CODE]) continue;
        const alarm = document.createElement("a");
        alarm.href = "/alarms/" + row.key;
        alarm.className = "is-" + row.grade;
        alarm.textContent = `${this.texts["grade." + row.grade]} · ${this.texts["kind." + row.kind]}`;
        box.append(alarm);
      }
      return box;
    },
    go(code) {
      const { map, byCode } = this.held;
      const place = byCode.get(code);
      if (!place) {
        // A fire without coordinates is no less a fire.
        if (this.open.some((one) => one.code === code)) window.location.href = "/enterprises/" + encodeURIComponent(code);
        return;
      }
      map.setView(at(place), Math.max(map.getZoom(), 15), { animate: false });
      L.popup().setLatLng(at(place)).setContent(this.popup(place)).openOn(map);
    },
    // The first that fits, and with every further Enter the next.
    find() {
      const { places } = this.held;
      const wanted = this.sought.trim().toLowerCase();
      if (!wanted) return;
      const fits = places.filter((place) => place[NAME].toLowerCase().includes(wanted) || place[CODE].toLowerCase().includes(wanted));
      this.turn = wanted === this.turned ? this.turn + 1 : 0;
      this.turned = wanted;
      this.said = fits.length ? `${(this.turn % fits.length) + 1} / ${fits.length}` : this.say("not_found");
      if (fits.length) this.go(fits[this.turn % fits.length][CODE]);
    },
  },
};

// All places on one canvas: a redraw of thirty thousand takes some hundredths of a second, and there is nothing to keep.
const Dots = L.Layer.extend({
  // wanted: gives which colours are shown.
  initialize(wanted) {
    this.wanted = wanted;
    this.order = [];
  },
  onAdd(map) {
    this.canvas = L.DomUtil.create("canvas", "m-dots", map.getPanes().overlayPane);
    map.on("moveend zoomend resize viewreset", this.redraw, this);
    this.redraw();
  },
  onRemove(map) {
    map.off("moveend zoomend resize viewreset", this.redraw, this);
    this.canvas.remove();
  },
  put(places) {
    this.order = places.slice();
    this.sort();
  },
  // The worst are drawn last, so that they lie on top.
  sort() {
    this.order.sort((a, b) => (WEIGHT[a[COLOUR]] || 0) - (WEIGHT[b[COLOUR]] || 0));
    this.points = this.order.map((place) => L.CRS.EPSG3857.latLngToPoint(L.latLng(at(place)), 0));
  },
  radius() {
    return Math.max(3, Math.min(9, this._map.getZoom() - 7.5));
  },
  redraw() {
    if (!this._map) return;
    const size = this._map.getSize();
    const ratio = window.devicePixelRatio || 1;
    L.DomUtil.setPosition(this.canvas, this._map.containerPointToLayerPoint([0, 0]));
    Object.assign(this.canvas, { width: size.x * ratio, height: size.y * ratio });
    Object.assign(this.canvas.style, { width: size.x + "px", height: size.y + "px" });
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(name).trim();
    const fills = { red: ink("--red"), orange: ink("--orange"), yellow: ink("--yellow-fill"), blue: ink("--blue"), "": ink("--soft") };
    pen.strokeStyle = ink("--surface");
    pen.lineWidth = 1;
    const radius = this.radius();
    this.each((place, x, y) => {
      if (x < -radius || y < -radius || x > size.x + radius || y > size.y + radius) return;
      pen.globalAlpha = place[COLOUR] === "blue" ? 0.65 : 0.95;
      pen.fillStyle = fills[place[COLOUR]];
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    });
  },
  each(visit) {
    const scale = 2 ** this._map.getZoom();
    const corner = this._map.getPixelBounds().min;
    const shown = this.wanted();
    for (let i = 0; i < this.order.length; i++) {
      if (shown[this.order[i][COLOUR] || "unknown"]) visit(this.order[i], this.points[i].x * scale - corner.x, this.points[i].y * scale - corner.y);
    }
  },
  // The one under the pointer, give or take some pixels; of several the one that lies on top.
  nearest(point, slack) {
    const reach = this.radius() + slack;
    let found = null;
    let best = reach * reach;
    this.each((place, x, y) => {
      const distance = (x - point.x) ** 2 + (y - point.y) ** 2;
      if (distance <= best) [found, best] = [place, distance];
    });
    return found;
  },
});

function at(place) {
  return [place[LATITUDE], place[LONGITUDE]];
}

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
