// One open alarm in the list of a duty desk. A component of its own, so that a change of one alarm, and each second that
// passes, costs nothing for the others: this row is drawn anew when something of its own has changed, its ages alone tick.

import { agoWords, gradeShapes, measureWords, momentWords, nameOf, numberWords, moments } from "tocsin_words";

// An age moves in steps, smaller while it is young: fifty that all change each second are a flicker, and a paint each.
function stepped(ms) {
  const step = ms < 60_000 ? 5_000 : ms < 600_000 ? 10_000 : 60_000;
  return Math.floor(ms / step) * step;
}

// The only part of a row that changes by itself.
const Ago = {
  template: `<span>{{ text }}</span>`,
  props: { us: Number, texts: Object, words: String },
  computed: {
    text() {
      moments.value;
      const ago = agoWords(stepped(window.tocsin.now() - this.us / 1000), this.texts);
      return this.words ? this.words.replace("{ago}", () => ago) : ago;
    },
  },
};

export default {
  components: { Ago },
  template: `
    <article class="w-row" :id="'alarm-' + row.key"
      :class="['is-' + row.grade, { 'is-seen': row.acknowledged, 'is-over': !row.active, 'is-at': at, 'is-new': fresh }]"
      :data-key="row.key" data-testid="alarm" :aria-label="label" @click="$emit('pick')">
      <div class="w-grade">
        <svg viewBox="0 0 20 20" aria-hidden="true"><path :d="shapes[row.grade]" /></svg>
        <strong>{{ say("grade." + row.grade) }}</strong>
        <Ago class="w-since" :title="clock" :us="row.raised_us" :texts="texts" />
      </div>
      <div class="w-what">
        <a class="w-title" :href="'/alarms/' + row.key">{{ say("kind." + row.kind) }} · {{ measure }}</a>
        <span class="w-value" v-if="quantity">{{ quantity }}</span>
        <span class="w-state">{{ standing }}</span>
      </div>
      <div class="w-where">
        <a v-if="alone" class="w-name" :href="'/enterprises/' + encodeURIComponent(row.enterprise)">{{ enterprise }}</a>
        <span :class="{ 'w-place': !alone }">{{ place }}</span>
        <span v-if="alone && address" class="w-address">{{ address }}</span>
      </div>
      <div class="w-told">
        <span v-if="row.acknowledged" class="w-answer">
          <span class="material-icons" aria-hidden="true">done</span>
          <Ago :us="row.acknowledged_us || row.event_us" :texts="texts"
            :words="say('watch.by', { by: row.acknowledged_by, ago: '{ago}' })" />
        </span>
        <span v-else class="w-noanswer">{{ say("watch.nobody") }}</span>
        <span v-for="one in told.slice(0, 3)" :key="one.recipient + one.channel" class="w-heard"
          :class="'is-' + reached(one)">{{ who(one) }} <i>{{ say("watch.reached." + reached(one)) }}</i></span>
        <span v-if="told.length > 3" class="w-heard">{{ say("watch.more", { count: told.length - 3 }) }}</span>
        <span v-if="row.assigned_to" class="w-has">
          <span class="material-icons" aria-hidden="true">person</span>{{ row.assigned_to }}
        </span>
        <span v-if="row.comments" class="w-said">
          <span class="material-icons" aria-hidden="true">chat_bubble_outline</span>{{ row.comments }}
        </span>
      </div>
      <div class="w-acts">
        <button v-if="may.acknowledge && !row.acknowledged" type="button" class="t-button is-main"
          data-testid="acknowledge" :disabled="!!asked" @click.stop="$emit('act', 'acknowledge')">
          {{ asked === "acknowledge" ? say("watch.asked") : say("watch.acknowledge") }}
        </button>
        <button v-if="may.direct && !row.active && row.latched" type="button" class="t-button is-main"
          data-testid="reset" :disabled="!!asked || row.resetting" @click.stop="$emit('act', 'reset')">
          {{ asked === "reset" || row.resetting ? say("watch.asked") : say("watch.reset") }}
        </button>
        <button v-if="may.direct && row.assigned_to !== me" type="button" class="t-button"
          @click.stop="$emit('act', 'assign', me)">{{ say("watch.take") }}</button>
        <button v-if="may.acknowledge" type="button" class="t-button" @click.stop="$emit('write', !writing)">
          {{ say("watch.comment") }}</button>
      </div>
      <form v-if="writing" class="w-comment" @submit.prevent="send" @click.stop>
        <input class="t-field" v-model="note" ref="note" maxlength="1000" :placeholder="say('watch.comment_hint')"
          :aria-label="say('watch.comment_hint')" :id="'note-' + row.key" @keydown.esc.stop="$emit('write', false)" />
        <button type="submit" class="t-button is-main" :disabled="!note.trim()">{{ say("watch.send") }}</button>
        <button type="button" class="t-button" @click="$emit('write', false)">{{ say("frame.cancel") }}</button>
      </form>
      <p v-if="said" class="w-said-back" role="status">{{ said }}</p>
    </article>
  `,
  props: {
    row: Object,
    texts: Object,
    language: String,
    may: Object,
    me: String,
    alone: Boolean, // the only one of its enterprise
    at: Boolean, // chosen by hand or key
    fresh: Boolean,
    asked: String, // the act that waits for its answer
    said: String, // what the server said to one
    writing: Boolean,
  },
  emits: ["pick", "act", "write"],
  data: () => ({ note: "", shapes: gradeShapes }),
  watch: {
    writing(begins) {
      this.note = "";
      if (begins) this.$nextTick(() => this.$refs.note?.focus());
    },
  },
  computed: {
    measure() {
      return measureWords(this.row, this.texts);
    },
    clock() {
      return momentWords(this.row.raised_us / 1000, this.language);
    },
    quantity() {
      const { value, limit, unit, family, unit_word } = this.row;
      if (value === null || unit === "flag") return "";
      // A load is a multiple of what the circuit is made for.
      const word = family === "load" && !unit ? this.say("watch.rated") : unit_word;
      const own = numberWords(value, this.language) + word;
      if (limit === null) return own;
      return this.say("watch.value", { value: own, limit: numberWords(limit, this.language) + word });
    },
    standing() {
      const { suppression, active, latched } = this.row;
      if (suppression !== "none") return this.say("watch.standing." + suppression);
      if (active) return this.say("watch.standing.active");
      return this.say(latched ? "watch.standing.latched" : "watch.standing.over");
    },
    enterprise() {
      return nameOf(this.row.enterprise_name, this.row.enterprise_name_en, this.language) || this.row.enterprise;
    },
    place() {
      const row = this.row;
      const zone = nameOf(row.zone_name, row.zone_name_en, this.language) || row.zone;
      const device = nameOf(row.device_name, row.device_name_en, this.language) || row.device;
      return [zone, row.floor, device].filter(Boolean).join(" · ");
    },
    address() {
      return nameOf(this.row.address, this.row.address_en, this.language);
    },
    // The journal is nobody: it is named only where nobody else was told.
    told() {
      const people = this.row.heard.filter((one) => one.channel !== "journal");
      return people.length ? people.sort((a, b) => (a.place || 99) - (b.place || 99)) : this.row.heard;
    },
    label() {
      return [this.say("grade." + this.row.grade), this.say("kind." + this.row.kind), this.enterprise, this.place].join(", ");
    },
  },
  methods: {
    say(key, values) {
      const text = this.texts[key] ?? key;
      return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name]) : text;
    },
    // The second contact of the enterprise has no name here: who may see contacts finds it on the alarm's page.
    who(one) {
      if (one.place) return this.say("alarm.contact", { order: one.place });
      if (one.recipient.startsWith("contact:")) return this.say("alarm.contact_before");
      return this.texts["alarm.channel." + one.recipient] || one.recipient;
    },
    reached(one) {
      if (one.answered_us) return "answered";
      if (one.delivered_us) return "delivered";
      if (one.accepted_us) return "accepted";
      return one.status === "failed" ? "failed" : "sending";
    },
    send() {
      const note = this.note.trim();
      if (!note) return;
      this.$emit("write", false);
      this.$emit("act", "comment", note);
    },
  },
};
