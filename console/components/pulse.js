// Whether the page is alive, said at once when it is not; and the bell for reds.
//
// The server sends a beat every second: its time, as of when the alarms are, when the engine last judged, and the reds
// that nobody has acknowledged. A beat that stays away for three seconds is a cut, whatever the socket believes. All
// that shows data is dimmed by `body[data-line]` (tocsin.css) until beats come again. Others read the server's clock
// from `window.tocsin.now()`.

import { markRaw, toRaw } from "vue";

import { moments, timeWords } from "tocsin_words";

const CUT_MS = 3000;
const STILL_MS = 12000;
const RING_EVERY_MS = 2400;
const MUTE_MS = 60000;
const ALOUD_MS = 400;

const pulse = (window.tocsin = window.tocsin || {});
pulse.now = () => Date.now() + (pulse.offset || 0);

let audio = null;
function bell() {
  // Made at the first gesture: browsers let nothing sound before.
  const Context = window.AudioContext || window.webkitAudioContext;
  if (!audio && Context) audio = new Context();
  if (audio && audio.state === "suspended") audio.resume().catch(() => {});
  return audio;
}

function tone(frequency, at, length, loud) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.type = "triangle";
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0.0001, at);
  gain.gain.exponentialRampToValueAtTime(loud, at + 0.02);
  gain.gain.setValueAtTime(loud, at + length - 0.06);
  gain.gain.exponentialRampToValueAtTime(0.0001, at + length);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(at);
  oscillator.stop(at + length);
}

function ring() {
  if (!audio || audio.state !== "running") return false;
  const at = audio.currentTime + 0.02;
  tone(740, at, 0.28, 0.35);
  tone(988, at + 0.3, 0.28, 0.35);
  tone(740, at + 0.6, 0.28, 0.35);
  pulse.rung = (pulse.rung || 0) + 1;
  return true;
}

// NiceGUI reloads a page whose server has forgotten it. Asked first whether somebody answers: a browser that reloads
// into nothing shows its own error page and never comes back by itself.
let reloading = false;
pulse.reload = reloadWhenAnswered;
async function reloadWhenAnswered() {
  if (reloading) return;
  reloading = true;
  for (;;) {
    try {
      const answer = await fetch(window.location.href, { cache: "no-store", redirect: "follow" });
      if (answer.status < 500) {
        window.location.href = answer.redirected ? answer.url : window.location.href;
        if (!answer.redirected) window.location.reload();
        return;
      }
    } catch {
      // nobody there yet
    }
    await new Promise((done) => setTimeout(done, 700));
  }
}

export default {
  template: `
    <div class="t-pulse" :data-line="line">
      <span class="t-live" role="status">
        <i class="t-dot" :class="{ 'is-odd': odd }" aria-hidden="true"></i>
        <span class="t-live-word">{{ liveWord }}</span>
        <span v-if="line === 'live' && judged" class="t-live-judged">{{
          say("judged", { time: clock(judged) })
        }}</span>
      </span>
      <button v-if="reds.length && heard && muteLeft > 0" type="button" class="t-quiet is-muted" @click="muteUntil = 0">
        <span class="material-icons" aria-hidden="true">volume_off</span>{{ say("muted", { left: muteLeft }) }}
      </button>
      <button v-else-if="reds.length && heard" type="button" class="t-quiet" @click="mute">
        <span class="material-icons" aria-hidden="true">volume_up</span>{{ say("mute") }}
      </button>
      <span v-if="!heard" class="t-quiet is-hint">
        <span class="material-icons" aria-hidden="true">volume_off</span>{{ say("sound_off") }}
      </span>
      <div v-if="banner" class="t-banner" :class="'is-' + line" role="alert">
        <span class="material-icons" aria-hidden="true">{{ line === "live" ? "check_circle" : "cloud_off" }}</span>
        <span><strong>{{ banner.title }}</strong> {{ banner.text }}</span>
      </div>
      <div class="t-aloud" aria-live="assertive" aria-atomic="true">{{ aloud }}</div>
    </div>
  `,
  props: { texts: Object, language: String, first: Object, login: String },
  data() {
    return {
      beat: null,
      judged: 0, // as it stands there
      odd: false,
      beatAt: 0,
      line: "waiting",
      asOf: 0,
      heard: false,
      muteUntil: 0,
      tick: 0,
      aloud: "",
      backUntil: 0,
      known: new Set(),
    };
  },
  computed: {
    reds() {
      return this.beat ? this.beat.reds : [];
    },
    muteLeft() {
      this.tick;
      return Math.max(0, Math.ceil((this.muteUntil - Date.now()) / 1000));
    },
    liveWord() {
      if (this.line === "live" || this.line === "back") return this.say("live");
      if (this.line === "waiting") return this.say("waiting");
      return this.say(this.line + "_title", { time: this.beat ? this.clock(this.beat.judged) : "" });
    },
    banner() {
      this.tick;
      if (this.line === "cut" || this.line === "away" || this.line === "still") {
        const time = this.clock(this.line === "still" ? this.beat.judged : this.asOf);
        return { title: this.say(this.line + "_title", { time }), text: this.say(this.line, { time }) };
      }
      if (this.line === "live" && Date.now() < this.backUntil) return { title: "", text: this.say("back") };
      return null;
    },
  },
  created() {
    this.$watch(() => moments.value, this.move);
  },
  mounted() {
    this.openedAt = performance.now();
    if (this.first) this.take(this.first);
    this.timer = setInterval(this.look, 250);
    this.ringer = setInterval(this.sound, RING_EVERY_MS);
    this.gesture = () => {
      const context = bell();
      if (context) context.onstatechange = () => (this.heard = context.state === "running");
      if (context) setTimeout(() => (this.heard = context.state === "running"), 60);
    };
    for (const name of ["pointerdown", "keydown"]) window.addEventListener(name, this.gesture, true);
    // Where a gesture on the page before still counts, no hint is needed.
    if (navigator.userActivation && navigator.userActivation.hasBeenActive) this.gesture();
    this.harden();
  },
  beforeUnmount() {
    clearInterval(this.timer);
    clearInterval(this.ringer);
    for (const name of ["pointerdown", "keydown"]) window.removeEventListener(name, this.gesture, true);
  },
  methods: {
    say(key, values) {
      const text = this.texts["pulse." + key] || key;
      return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name]) : text;
    },
    clock(ms) {
      if (!ms) return "–";
      return timeWords(ms, this.language);
    },
    // Called by the server once a second.
    take(beat) {
      pulse.offset = beat.t - Date.now();
      this.beat = markRaw(toRaw(beat));
      this.beatAt = performance.now();
      if (!this.judged) this.move();
      if (beat.as_of) this.asOf = beat.as_of;
      const fresh = beat.reds.filter((red) => !this.known.has(red.id));
      this.known = new Set(beat.reds.map((red) => red.id));
      if (fresh.length) {
        this.muteUntil = 0;
        this.sound();
      }
      // The sound is at once, and so is the alarm in the list; words aloud are a drawing of their own, behind it.
      setTimeout(() => this.announce(fresh, !beat.reds.length), ALOUD_MS);
      window.dispatchEvent(new CustomEvent("tocsin-beat", { detail: this.beat }));
      this.look();
    },
    announce(fresh, over) {
      if (fresh.length) this.aloud = this.say("red_one", { what: fresh[0].what });
      else if (over) this.aloud = "";
      this.title(this.reds.length);
    },
    move() {
      this.judged = this.beat ? this.beat.judged : 0;
      this.odd = !this.odd;
    },
    // Called by the server when an act of this page was done.
    done(act) {
      window.dispatchEvent(new CustomEvent("tocsin-act", { detail: { act } }));
    },
    expired() {
      // Back to where one was, with what was filtered there.
      window.location.href = "/login?next=" + encodeURIComponent(window.location.pathname + window.location.search);
    },
    look() {
      this.tick++;
      const silent = performance.now() - (this.beat ? this.beatAt : this.openedAt);
      let line = "live";
      if (silent > CUT_MS) line = "cut";
      else if (!this.beat) line = "waiting";
      else if (this.beat.line !== "live") line = this.beat.line;
      else if (this.beat.judged && pulse.now() - this.beat.judged > STILL_MS) line = "still";
      if (line === "live" && (this.line === "cut" || this.line === "away")) this.backUntil = Date.now() + 4000;
      if (line !== this.line) {
        this.line = line;
        document.body.dataset.line = line;
      }
      // The socket may believe in a line that is dead: begin anew.
      if (silent > 8000 && window.socket && performance.now() - (this.renewed || 0) > 8000) {
        this.renewed = performance.now();
        const engine = window.socket.io && window.socket.io.engine;
        if (window.socket.connected && engine) engine.close();
      }
    },
    sound() {
      if (this.reds.length && Date.now() >= this.muteUntil) ring();
    },
    mute() {
      this.muteUntil = Date.now() + MUTE_MS;
    },
    title(count) {
      const bare = document.title.replace(/^\(\d+\) /, "");
      const title = count ? `(${count}) ${bare}` : bare;
      if (title !== document.title) document.title = title;
    },
    // A socket that is refused: because nobody is there, or because the session is over?
    async ask() {
      if (this.asking) return;
      this.asking = true;
      try {
        const answer = await fetch("/api/v1/me", { cache: "no-store" });
        if (answer.status === 401) this.expired();
      } catch {
        // nobody is there: it goes on trying
      } finally {
        setTimeout(() => (this.asking = false), 1000);
      }
    },
    harden() {
      // The socket is made when the whole app is mounted, after this.
      if (!window.socket) {
        setTimeout(() => this.harden(), 20);
        return;
      }
      window.socket.off("connect_error");
      window.socket.on("connect_error", (error) => {
        if (error.message === "Implicit handshake failed") reloadWhenAnswered();
        else this.ask();
      });
      window.socket.on("disconnect", () => this.ask());
      window.socket.off("try_reconnect");
      window.socket.on("try_reconnect", reloadWhenAnswered);
    },
  },
};
