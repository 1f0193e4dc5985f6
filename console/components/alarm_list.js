// The open alarms of a duty desk: worst first, one group an enterprise, acts by hand and by key.
//
// The server gives all rows once (`first`) and afterwards only what changed (`change`), so a hundred rows on two hundred
// desks cost little. Nothing here is shown as done before the server says so: an act is "asked" until its answer comes.
// Names and notes are drawn by interpolation alone, so markup in them is text.

import { markRaw, toRaw } from "vue";

import { agoWords, gradeShapes, measureWords, nameOf, newId } from "tocsin_words";

const GRADES = ["red", "orange", "yellow", "blue"];
const WEIGHT = { red: 4, orange: 3, yellow: 2, blue: 1 };
const SHOWN_GROUPS = 60;
const ANSWER_MS = 6000;

export default {
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
          <article v-for="row in group.shown" :key="row.key" class="w-row" :id="'alarm-' + row.key"
            :class="['is-' + row.grade, { 'is-seen': row.acknowledged, 'is-over': !row.active, 'is-at': row.key === at,
              'is-new': fresh[row.key] }]"
            :data-key="row.key" :data-testid="'alarm'" :aria-label="label(row)" @click="at = row.key">
            <div class="w-grade">
              <svg viewBox="0 0 20 20" aria-hidden="true"><path :d="shapes[row.grade]" /></svg>
              <strong>{{ say("grade." + row.grade) }}</strong>
              <span class="w-since" :title="clock(row.raised_us)">{{ ago(row.raised_us / 1000) }}</span>
            </div>
            <div class="w-what">
              <a class="w-title" :href="'/alarms/' + row.key">{{ say("kind." + row.kind) }} · {{ measure(row) }}</a>
              <span class="w-value" v-if="quantity(row)">{{ quantity(row) }}</span>
              <span class="w-state">{{ standing(row) }}</span>
            </div>
            <div class="w-where">
              <a v-if="group.rows.length === 1" class="w-name" :href="'/enterprises/' + encodeURIComponent(row.enterprise)">{{
                enterprise(row) }}</a>
              <span :class="{ 'w-place': group.rows.length > 1 }">{{ place(row) }}</span>
              <span v-if="group.rows.length === 1 && address(row)" class="w-address">{{ address(row) }}</span>
            </div>
            <div class="w-told">
              <span v-if="row.acknowledged" class="w-answer">
                <span class="material-icons" aria-hidden="true">done</span>{{ say("watch.by", { by: row.acknowledged_by,
                  ago: ago((row.acknowledged_us || row.event_us) / 1000) }) }}
              </span>
              <span v-else class="w-noanswer">{{ say("watch.nobody") }}</span>
              <span v-for="one in told(row).slice(0, 3)" :key="one.recipient + one.channel" class="w-heard"
                :class="'is-' + reached(one)">{{ who(one) }} <i>{{ say("watch.reached." + reached(one)) }}</i></span>
              <span v-if="told(row).length > 3" class="w-heard">{{ say("watch.more", { count: told(row).length - 3 }) }}</span>
              <span v-if="row.assigned_to" class="w-has">
                <span class="material-icons" aria-hidden="true">person</span>{{ row.assigned_to }}
              </span>
              <span v-if="row.comments" class="w-said">
                <span class="material-icons" aria-hidden="true">chat_bubble_outline</span>{{ row.comments }}
              </span>
            </div>
            <div class="w-acts">
              <button v-if="may.acknowledge && !row.acknowledged" type="button" class="t-button is-main"
                data-testid="acknowledge" :disabled="!!asked[row.key]" @click.stop="act('acknowledge', row)">
                {{ asked[row.key] === "acknowledge" ? say("watch.asked") : say("watch.acknowledge") }}
              </button>
              <button v-if="may.direct && !row.active && row.latched" type="button" class="t-button is-main"
                data-testid="reset" :disabled="!!asked[row.key] || row.resetting" @click.stop="act('reset', row)">
                {{ asked[row.key] === "reset" || row.resetting ? say("watch.asked") : say("watch.reset") }}
              </button>
              <button v-if="may.direct && row.assigned_to !== me" type="button" class="t-button"
                @click.stop="act('assign', row, me)">{{ say("watch.take") }}</button>
              <button v-if="may.acknowledge" type="button" class="t-button" @click.stop="comment(row)">
                {{ say("watch.comment") }}</button>
            </div>
            <form v-if="writing === row.key" class="w-comment" @submit.prevent="sendComment(row)" @click.stop>
              <input class="t-field" v-model="note" maxlength="1000" :placeholder="say('watch.comment_hint')"
                :aria-label="say('watch.comment_hint')" :id="'note-' + row.key" @keydown.esc.stop="writing = ''" />
              <button type="submit" class="t-button is-main" :disabled="!note.trim()">{{ say("watch.send") }}</button>
              <button type="button" class="t-button" @click="writing = ''">{{ say("frame.cancel") }}</button>
            </form>
            <p v-if="said[row.key]" class="w-said-back" role="status">{{ said[row.key] }}</p>
          </article>
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
      note: "",
      help: false,
      tick: 0,
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
      if (this.filtered) return this.say("watch.count_of", { count: this.found.length, all: this.total });
      return this.say("watch.count", { count: this.total });
    },
    visible() {
      return this.shownGroups.flatMap((group) => group.shown);
    },
  },
  mounted() {
    this.timer = setInterval(() => this.tick++, 1000);
    window.addEventListener("keydown", this.key);
  },
  beforeUnmount() {
    clearInterval(this.timer);
    window.removeEventListener("keydown", this.key);
  },
  methods: {
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
      this.fresh = { ...this.fresh, [key]: true };
      setTimeout(() => {
        const fresh = { ...this.fresh };
        delete fresh[key];
        this.fresh = fresh;
      }, 4000);
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
    comment(row) {
      this.writing = this.writing === row.key ? "" : row.key;
      this.note = "";
      if (this.writing) this.$nextTick(() => document.getElementById("note-" + row.key)?.focus());
    },
    sendComment(row) {
      const note = this.note.trim();
      if (!note) return;
      this.writing = "";
      this.act("comment", row, note);
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
        c: () => row && this.may.acknowledge && this.comment(row),
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
      this.tick;
      return agoWords(window.tocsin.now() - ms, this.texts);
    },
    clock(us) {
      return new Date(us / 1000).toLocaleString(this.language === "zh" ? "zh-CN" : "en-GB", { hour12: false });
    },
    measure(row) {
      return measureWords(row, this.texts);
    },
    quantity(row) {
      if (row.value === null || row.unit === "flag") return "";
      // A load is a multiple of what the circuit is made for.
      const unit = row.family === "load" && !row.unit ? this.say("watch.rated") : row.unit_word;
      const value = this.number_of(row.value) + unit;
      if (row.limit === null) return value;
      return this.say("watch.value", { value, limit: this.number_of(row.limit) + unit });
    },
    number_of(value) {
      return Number(value.toPrecision(4)).toLocaleString(this.language === "zh" ? "zh-CN" : "en-GB", {
        maximumFractionDigits: 2,
      });
    },
    standing(row) {
      if (row.suppression !== "none") return this.say("watch.standing." + row.suppression);
      if (row.active) return this.say("watch.standing.active");
      return this.say(row.latched ? "watch.standing.latched" : "watch.standing.over");
    },
    enterprise(row) {
      return nameOf(row.enterprise_name, row.enterprise_name_en, this.language) || row.enterprise;
    },
    place(row) {
      const zone = nameOf(row.zone_name, row.zone_name_en, this.language) || row.zone;
      const device = nameOf(row.device_name, row.device_name_en, this.language) || row.device;
      return [zone, row.floor, device].filter(Boolean).join(" · ");
    },
    address(row) {
      return nameOf(row.address, row.address_en, this.language);
    },
    // The journal is nobody: it is named only where nobody else was told.
    told(row) {
      const people = row.heard.filter((one) => one.channel !== "journal");
      return people.length ? people : row.heard;
    },
    // The second contact of the enterprise has no name here: who may see contacts finds it on the alarm's page.
    who(one) {
      const contact = one.recipient.match(/^contact:.*:(\d+)$/);
      if (contact) return this.say("alarm.contact", { order: contact[1] });
      return this.texts["alarm.channel." + one.recipient] || one.recipient;
    },
    reached(one) {
      if (one.answered_us) return "answered";
      if (one.delivered_us) return "delivered";
      if (one.accepted_us) return "accepted";
      return one.status === "failed" ? "failed" : "sending";
    },
    label(row) {
      return [this.say("grade." + row.grade), this.say("kind." + row.kind), this.enterprise(row), this.place(row)].join(", ");
    },
    haystack(row) {
      return [
        row.enterprise, row.enterprise_name, row.enterprise_name_en, row.zone, row.zone_name, row.zone_name_en,
        row.device, row.device_name, row.device_name_en, row.address, row.address_en, row.measure, row.family,
        row.assigned_to, row.acknowledged_by, this.measure(row), this.say("kind." + row.kind),
      ].join(" ").toLowerCase();
    },
  },
};
