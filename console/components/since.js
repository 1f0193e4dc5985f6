// A moment as people need it: how long ago, ticking by the server's clock, with the moment itself beneath it.
import { agoWords, seconds } from "tocsin_words";

export default {
  template: `<time class="t-since" :datetime="iso" :title="full">{{ text }}</time>`,
  props: { us: Number, texts: Object, language: String, mode: String },
  computed: {
    iso() {
      return new Date(this.us / 1000).toISOString();
    },
    full() {
      return new Date(this.us / 1000).toLocaleString(this.language === "zh" ? "zh-CN" : "en-GB", { hour12: false });
    },
    clock() {
      return new Date(this.us / 1000).toLocaleTimeString(this.language === "zh" ? "zh-CN" : "en-GB", { hour12: false });
    },
    isToday() {
      return new Date(this.us / 1000).toDateString() === new Date(window.tocsin.now()).toDateString();
    },
    text() {
      if (this.mode === "time") return this.clock;
      if (this.mode === "full") return this.isToday ? this.clock : this.full;
      seconds.value;
      return agoWords(window.tocsin.now() - this.us / 1000, this.texts);
    },
  },
};
