// A moment as people need it: how long ago, ticking by the server's clock, with the moment itself beneath it.
import { agoWords, momentWords, moments, timeWords } from "tocsin_words";

export default {
  template: `<time class="t-since" :datetime="iso" :title="full">{{ text }}</time>`,
  props: { us: Number, texts: Object, language: String, mode: String },
  computed: {
    iso() {
      return new Date(this.us / 1000).toISOString();
    },
    full() {
      return momentWords(this.us / 1000, this.language);
    },
    clock() {
      return timeWords(this.us / 1000, this.language);
    },
    isToday() {
      return new Date(this.us / 1000).toDateString() === new Date(window.tocsin.now()).toDateString();
    },
    text() {
      if (this.mode === "time") return this.clock;
      if (this.mode === "full") return this.isToday ? this.clock : this.full;
      moments.value;
      return agoWords(window.tocsin.now() - this.us / 1000, this.texts);
    },
  },
};
