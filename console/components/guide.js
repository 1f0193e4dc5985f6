// A short walk for a newcomer, beside the page: it follows what they really do, on whichever page they do it.
//
// Begun by `?guide=1`; where it stands is kept for the tab. Steps: an alarm appears, it is opened, acknowledged, reset.

const KEPT = "tocsin_guide";

export default {
  template: `
    <aside v-if="step" class="g-guide" :aria-label="say('title')" data-testid="guide">
      <header><strong>{{ say("title") }}</strong><span>{{ Math.min(step, 4) }} / 4</span></header>
      <ol aria-hidden="true"><li v-for="one in 4" :key="one" :class="{ 'is-done': one < step, 'is-now': one === step }"></li></ol>
      <p role="status">{{ say("step_" + step) }}</p>
      <button type="button" class="t-button is-small" @click="stop">{{ say(step > 4 ? "done" : "stop") }}</button>
    </aside>
  `,
  props: { texts: Object },
  data: () => ({ step: 0 }),
  mounted() {
    const url = new URL(window.location.href);
    if (url.searchParams.has("guide")) {
      url.searchParams.delete("guide");
      history.replaceState(history.state, "", url);
      this.go(1);
    } else {
      this.step = Number(sessionStorage.getItem(KEPT)) || 0;
      this.mark();
    }
    if (this.step && this.step < 3 && window.location.pathname.startsWith("/alarms/")) this.go(3);
    this.heard = (event) => this.hear(event.detail);
    window.addEventListener("tocsin-beat", this.heard);
    window.addEventListener("tocsin-act", this.heard);
  },
  beforeUnmount() {
    window.removeEventListener("tocsin-beat", this.heard);
    window.removeEventListener("tocsin-act", this.heard);
  },
  methods: {
    say(key) {
      return this.texts["guide." + key] || key;
    },
    hear(detail) {
      if (!this.step) return;
      if (detail.reds && this.step === 1 && detail.reds.length) this.go(2);
      if (detail.act === "acknowledge" && this.step < 4) this.go(4);
      if (detail.act === "reset") this.go(5);
    },
    go(step) {
      this.step = step;
      sessionStorage.setItem(KEPT, String(step));
      this.mark();
    },
    stop() {
      this.step = 0;
      sessionStorage.removeItem(KEPT);
      this.mark();
    },
    // What is meant is outlined by the style sheet.
    mark() {
      if (this.step) document.body.dataset.guide = String(this.step);
      else delete document.body.dataset.guide;
    },
  },
};
