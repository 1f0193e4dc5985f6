// The open alarms of a duty desk: worst first, one group an enterprise, acts by hand and by key.
//
// The server gives all rows once (`first`) and afterwards only what changed (`change`), so a hundred rows on two hundred
// desks cost little. Nothing here is shown as done before the server says so: an act is "asked" until its answer comes.
// Names and notes are drawn by interpolation alone, so markup in them is text.

import { createApp, markRaw, toRaw } from "vue";

import AlarmRow from "alarm_row";
import { agoWords, gradeShapes, measureWords, nameOf, newId, moments } from "tocsin_words";

const GRADES = ["red", "orange", "yellow", "blue"];
const WEIGHT = { red: 4, orange: 3, yellow: 2, blue: 1 };
const SHOWN_GROUPS = 60;
const ANSWER_MS = 6000;
const FRESH_MS = 4000;
const whenIdle = window.requestIdleCallback ?? window.setTimeout; // Safari has no word for idle

// Quasar styles whatever stands behind anything in its fields (`* + *`), of which this page has none. While that rule is
// there, one alarm that comes in has the browser work out the style of every row anew.
function forgetSiblings(of = document) {
  for (const sheet of of.styleSheets ?? [of]) {
    let rules;
    try {
      rules = sheet.cssRules;
    } catch {
      continue; // of another origin: a browser's extension put it there
    }
    for (let i = rules.length - 1; i >= 0; i--) {
      if (rules[i].styleSheet) forgetSiblings(rules[i].styleSheet);
      else if (/\* \+ \*$/.test(rules[i].selectorText)) sheet.deleteRule(i);
    }
  }
}

export default {
  components: { AlarmRow },
  template: `
    <section class="w-watch t-data" :aria-label="say('watch.title')">
      <h1 class="t-aloud">{{ say("watch.title") }}</h1>
      <div class="w-bar">
        <div class="w-grades" role="group" :aria-label="say('watch.filter.grade')">
          <button v-for="grade in grades" :key="grade" type="button" class="w-chip"
            :class="['is-' + grade, { 'is-off': wanted.grade.length && !wanted.grade.includes(grade) }]"
            :aria-pressed="wanted.grade.includes(grade)" @click="toggle('grade', grade)">
            <svg viewBox="0 0 20 20" aria-hidden="true"><path :d="shapes[grade]" /></svg>
            {{ say("grade." + grade) }} <b>{{ counts[grade] || 0 }}</b>
          </button>
        </div>
        <select class="t-field" v-model="wanted.kind" :aria-label="say('watch.filter.kind')" @change="keep">
          <option value="">{{ say("watch.filter.any_kind") }}</option>
          <option v-for="kind in kinds" :key="kind" :value="kind">{{ say("kind." + kind) }}</option>
        </select>
        <select v-if="districts.length > 1" class="t-field" v-model="wanted.district"
          :aria-label="say('watch.filter.district')" @change="keep">
          <option value="">{{ say("watch.filter.any_district") }}</option>
          <option v-for="one in districts" :key="one.code" :value="one.code">{{ one.name }}</option>
        </select>
        <input class="t-field w-text" type="search" ref="text" v-model="wanted.text" :placeholder="say('watch.filter.text')"
          :aria-label="say('watch.filter.text')" @input="keep" @keydown.esc.stop="leaveText" />
        <button v-if="filtered" type="button" class="t-button is-plain" @click="clear">{{ say("watch.filter.clear") }}</button>
        <span class="w-gap"></span>
        <span class="w-count" data-testid="count">{{ countWord }}</span>
        <button type="button" class="t-button is-plain w-help" :title="say('watch.keys.title')"
          :aria-label="say('watch.keys.title')" @click="help = true">?</button>
      </div>

      <div v-if="!all.length" class="w-calm" data-testid="calm">
        <svg viewBox="0 0 120 120" class="w-calm-mark" aria-hidden="true">
          <circle cx="60" cy="60" r="52" /><path d="M38 62 l15 15 l30 -34" />
        </svg>
        <h2>{{ say("watch.calm.title") }}</h2>
        <p v-if="quietSince">{{ say("watch.calm.since", { ago: ago(quietSince) }) }}</p>
        <p class="w-calm-line">{{ say("watch.calm.line") }}</p>
      </div>
      <div v-else-if="!groups.length" class="w-none" data-testid="none">
        <p>{{ say("watch.filter.none", { count: all.length }) }}</p>
        <button type="button" class="t-button" @click="clear">{{ say("watch.filter.clear") }}</button>
      </div>

      <ol v-else class="w-groups">
        <li v-for="group in shownGroups" :key="group.enterprise" class="w-group" :class="'is-' + group.grade">
          <div v-if="group.rows.length > 1" class="w-group-head">
            <a :href="'/enterprises/' + encodeURIComponent(group.enterprise)">{{ group.name }}</a>
            <span>{{ say("watch.group", { count: group.rows.length }) }}</span>
            <span class="w-group-address">{{ address(group.rows[0]) }}</span>
            <button v-if="may.acknowledge && group.unseen > 1" type="button" class="t-button is-small"
              @click="actAll(group)">{{ say("watch.ack_all", { count: group.unseen }) }}</button>
          </div>
          <AlarmRow v-for="row in group.shown" :key="row.key" :row="row" :texts="texts" :language="language" :may="may"
            :me="me" :alone="group.rows.length === 1" :at="row.key === at" :fresh="!!fresh[row.key]"
            :asked="asked[row.key] || ''" :said="said[row.key] || ''" :writing="writing === row.key"
            @pick="at = row.key" @act="(name, note) => act(name, row, note)"
            @write="(begins) => (writing = begins ? row.key : '')" />
          <button v-if="group.more" type="button" class="w-more" @click="open[group.enterprise] = !open[group.enterprise]">
            {{ open[group.enterprise] ? say("watch.fewer") : say("watch.and_more", { count: group.more }) }}
          </button>
        </li>
      </ol>
      <p v-if="hiddenCount" class="w-hidden">{{ say("watch.hidden", { count: hiddenCount }) }}</p>

      <div v-if="help" class="w-keys" role="dialog" :aria-label="say('watch.keys.title')" @click="help = false">
        <div>
          <h2>{{ say("watch.keys.title") }}</h2>
          <dl>
            <template v-for="[key, word] in keys" :key="key"><dt><kbd>{{ key }}</kbd></dt><dd>{{ say(word) }}</dd></template>
          </dl>
          <button type="button" class="t-button" @click="help = false">{{ say("frame.close") }}</button>
        </div>
      </div>
    </section>
  `,
  props: { texts: Object, language: String, first: Object, may: Object, me: String, districtNames: Object },
  emits: ["act", "kept"],
  data() {
    const asked = new URLSearchParams(window.location.search);
    return {
      rows: markRaw(Object.fromEntries(this.first.rows.map((row) => [row.key, markRaw(toRaw(row))]))),
      total: this.first.total,
      counts: this.first.grades,
      quietSince: this.first.quiet_since,
      number: this.first.number,
      wanted: {
        grade: asked.getAll("grade").filter((one) => GRADES.includes(one)),
        kind: asked.get("kind") || "",
        district: asked.get("district") || "",
        text: asked.get("text") || "",
      },
      at: "",
      asked: {},
      said: {},
      fresh: {},
      open: {},
      writing: "",
      help: false,
      grades: GRADES,
      shapes: gradeShapes,
      keys: [
        ["j", "watch.keys.down"],
        ["k", "watch.keys.up"],
        ["a", "watch.keys.acknowledge"],
        ["r", "watch.keys.reset"],
        ["c", "watch.keys.comment"],
        ["t", "watch.keys.take"],
        ["Enter", "watch.keys.open"],
        ["/", "watch.keys.search"],
        ["?", "watch.keys.help"],
      ],
    };
  },
  computed: {
    all() {
      return Object.values(this.rows).sort(
        (a, b) =>
          WEIGHT[b.grade] - WEIGHT[a.grade] ||
          a.acknowledged - b.acknowledged ||
          b.active - a.active ||
          b.raised_us - a.raised_us ||
          (a.key < b.key ? -1 : 1),
      );
    },
    kinds() {
      return [...new Set(this.all.map((row) => row.kind))].sort();
    },
    districts() {
      const codes = new Set(this.all.map((row) => row.district).filter(Boolean));
      if (this.wanted.district) codes.add(this.wanted.district);
      return [...codes].sort().map((code) => ({ code, name: this.districtNames[code] || code }));
    },
    filtered() {
      const { grade, kind, district, text } = this.wanted;
      return !!(grade.length || kind || district || text.trim());
    },
    found() {
      const { grade, kind, district } = this.wanted;
      const words = this.wanted.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
      return this.all.filter(
        (row) =>
          (!grade.length || grade.includes(row.grade)) &&
          (!kind || row.kind === kind) &&
          (!district || row.district === district) &&
          (!words.length || words.every((word) => this.haystack(row).includes(word))),
      );
    },
    groups() {
      const groups = new Map();
      for (const row of this.found) {
        const group = groups.get(row.enterprise);
        if (group) group.rows.push(row);
        else
          groups.set(row.enterprise, {
            enterprise: row.enterprise,
            name: this.enterprise(row),
            grade: row.grade,
            rows: [row],
          });
      }
      for (const group of groups.values()) {
        group.unseen = group.rows.filter((row) => !row.acknowledged).length;
        // Causes, not rain: what is as bad as the worst, at least one, at most three; the rest on asking.
        const worst = group.rows.filter((row) => row.grade === group.grade).slice(0, 3);
        group.more = group.rows.length - worst.length;
        group.shown = this.open[group.enterprise] ? group.rows : worst;
      }
      return [...groups.values()];
    },
    shownGroups() {
      return this.groups.slice(0, SHOWN_GROUPS);
    },
    hiddenCount() {
      const shown = this.shownGroups.reduce((sum, group) => sum + group.rows.length, 0);
      return Math.max(0, this.found.length - shown) + (this.filtered ? 0 : Math.max(0, this.total - this.all.length));
    },
    countWord() {
      if (this.filtered && this.total) return this.say("watch.count_of", { count: this.found.length, all: this.total });
      return this.say("watch.count", { count: this.total });
    },
    visible() {
      return this.shownGroups.flatMap((group) => group.shown);
    },
  },
  created() {
    this.$watch(() => moments.value, this.fade);
  },
  mounted() {
    window.addEventListener("keydown", this.key);
    whenIdle(() => forgetSiblings());
    if (!this.all.length) whenIdle(this.rehearse);
  },
  beforeUnmount() {
    window.removeEventListener("keydown", this.key);
  },
  methods: {
    // A row's template is compiled when the first one is drawn. Better now, off the screen, than when the alarm comes.
    rehearse() {
      const row = {
        key: "", grade: "blue", kind: "fault", family: "fault", measure: "", heard: [], value: 1, limit: 1, unit: "",
        unit_word: "", suppression: "none", active: true, raised_us: 0, enterprise: "", device: "", zone: "",
      };
      const app = createApp(AlarmRow, { row, texts: this.texts, language: this.language, may: this.may, alone: true });
      app.mount(document.createElement("div"));
      app.unmount();
    },
    say(key, values) {
      const text = this.texts[key] ?? key;
      return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name]) : text;
    },
    // What changed, in order: a number that does not follow means that something was missed, so all is asked again.
    change(change) {
      if (change.whole) {
        this.rows = markRaw(Object.fromEntries(change.rows.map((row) => [row.key, markRaw(toRaw(row))])));
      } else {
        if (change.number <= this.number) return;
        if (change.number !== this.number + 1) {
          this.$emit("act", { act: "whole" });
          return;
        }
        const rows = { ...this.rows };
        for (const key of change.gone) delete rows[key];
        for (const row of change.rows) {
          if (!rows[row.key] || rows[row.key].raised_step !== row.raised_step) this.flash(row.key);
          rows[row.key] = markRaw(toRaw(row));
        }
        this.rows = markRaw(rows);
      }
      this.number = change.number;
      this.total = change.total;
      this.counts = change.grades;
      this.quietSince = change.quiet_since;
      if (this.at && !this.rows[this.at]) this.at = "";
    },
    flash(key) {
      this.fresh = { ...this.fresh, [key]: performance.now() + FRESH_MS };
    },
    fade() {
      const now = performance.now();
      const left = Object.entries(this.fresh).filter(([, until]) => until > now);
      if (left.length !== Object.keys(this.fresh).length) this.fresh = Object.fromEntries(left);
    },
    // The server's answer to an act: `what` is a sentence when it was refused.
    answered(answer) {
      if (this.asked[answer.key] === undefined) return;
      const asked = { ...this.asked };
      delete asked[answer.key];
      this.asked = asked;
      if (!answer.ok) this.tell(answer.key, answer.what);
      else if (answer.what) this.tell(answer.key, answer.what);
    },
    tell(key, what) {
      this.said = { ...this.said, [key]: what };
      setTimeout(() => {
        const said = { ...this.said };
        if (said[key] === what) delete said[key];
        this.said = said;
      }, 8000);
    },
    act(act, row, note = "") {
      if (this.asked[row.key]) return;
      if (document.body.dataset.line === "cut") {
        this.tell(row.key, this.say("watch.no_line"));
        return;
      }
      const id = newId();
      this.asked = { ...this.asked, [row.key]: act };
      this.$emit("act", { act, key: row.key, step: row.step, note, id });
      setTimeout(() => {
        if (this.asked[row.key] === act)
          this.answered({ key: row.key, ok: false, what: this.say("watch.no_answer") });
      }, ANSWER_MS);
    },
    actAll(group) {
      for (const row of group.rows) if (!row.acknowledged) this.act("acknowledge", row);
    },
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") {
        this.help = false;
        this.writing = "";
        return;
      }
      if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      const row = this.visible.find((one) => one.key === this.at);
      const onControl = /^(A|BUTTON)$/.test(event.target.tagName);
      const acts = {
        j: () => this.move(1),
        k: () => this.move(-1),
        a: () => row && this.may.acknowledge && !row.acknowledged && this.act("acknowledge", row),
        r: () => row && this.may.direct && !row.active && row.latched && this.act("reset", row),
        c: () => row && this.may.acknowledge && (this.writing = this.writing === row.key ? "" : row.key),
        t: () => row && this.may.direct && row.assigned_to !== this.me && this.act("assign", row, this.me),
        Enter: () => row && !onControl && (window.location.href = "/alarms/" + row.key),
        "/": () => this.$refs.text.focus(),
        "?": () => (this.help = !this.help),
      };
      if (acts[event.key]) {
        if (event.key !== "Enter" || !onControl) event.preventDefault();
        acts[event.key]();
      }
    },
    move(by) {
      const rows = this.visible;
      if (!rows.length) return;
      const place = rows.findIndex((one) => one.key === this.at);
      const next = place < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, place + by));
      this.at = rows[next].key;
      this.$nextTick(() => document.getElementById("alarm-" + this.at)?.scrollIntoView({ block: "nearest" }));
    },
    toggle(name, value) {
      const list = this.wanted[name];
      this.wanted[name] = list.includes(value) ? list.filter((one) => one !== value) : [...list, value];
      this.keep();
    },
    clear() {
      this.wanted = { grade: [], kind: "", district: "", text: "" };
      this.keep();
    },
    leaveText(event) {
      this.wanted.text = "";
      this.keep();
      event.target.blur();
    },
    // The URL is the filter: it can be kept, sent and reloaded.
    keep() {
      const asked = new URLSearchParams(window.location.search);
      for (const name of ["grade", "kind", "district", "text"]) asked.delete(name);
      for (const one of this.wanted.grade) asked.append("grade", one);
      for (const name of ["kind", "district", "text"]) if (this.wanted[name]) asked.set(name, this.wanted[name]);
      const query = asked.toString();
      history.replaceState(history.state, "", window.location.pathname + (query ? "?" + query : ""));
    },
    ago(ms) {
      moments.value;
      return agoWords(window.tocsin.now() - ms, this.texts);
    },
    enterprise(row) {
      return nameOf(row.enterprise_name, row.enterprise_name_en, this.language) || row.enterprise;
    },
    address(row) {
      return nameOf(row.address, row.address_en, this.language);
    },
    haystack(row) {
      return [
        row.enterprise, row.enterprise_name, row.enterprise_name_en, row.zone, row.zone_name, row.zone_name_en,
        row.device, row.device_name, row.device_name_en, row.address, row.address_en, row.measure, row.family,
        row.assigned_to, row.acknowledged_by, measureWords(row, this.texts), this.say("kind." + row.kind),
      ].join(" ").toLowerCase();
    },
  },
};
