// The rules in words, by family, found by what one remembers of them: a measure, a number, a code, a standard.
// Names and sentences are drawn by interpolation alone, so markup in them is text.

import { gradeShapes } from "tocsin_words";

const GRADES = ["red", "orange", "yellow", "blue"];

export default {
  template: `
    <div class="p-rules">
      <div class="p-bar">
        <input class="t-field" type="search" v-model="text" maxlength="100" :aria-label="say('search')" :placeholder="say('search')" data-testid="rule-search" />
        <select class="t-field" v-model="family" :aria-label="say('by_family')">
          <option value="">{{ say("any_family") }}</option>
          <option v-for="one in families" :key="one.family" :value="one.family">{{ one.name }}</option>
        </select>
        <select class="t-field" v-model="grade" :aria-label="say('by_grade')">
          <option value="">{{ say("any_grade") }}</option>
          <option v-for="one in grades" :key="one" :value="one">{{ texts["grade." + one] }}</option>
        </select>
        <span class="t-soft" role="status">{{ say("found").replace("{count}", count) }}</span>
      </div>
      <section v-for="one in found" :key="one.family" class="t-card p-family">
        <h2>{{ one.name }}</h2>
        <article v-for="rule in one.rules" :key="rule.id" class="p-rule" :class="'is-' + rule.grade" :id="rule.id">
          <div class="t-grade">
            <svg class="t-shape" viewBox="0 0 20 20" aria-hidden="true"><path :d="shapes[rule.grade]" /></svg>
            <strong>{{ texts["grade." + rule.grade] }}</strong>
          </div>
          <div>
            <h3 class="p-said">{{ rule.said }}</h3>
            <p class="p-under">
              <code class="p-id">{{ rule.id }}</code>
              <span v-if="rule.latched" class="t-badge">{{ say("latched") }}</span>
              <span v-if="rule.profile" class="t-badge">{{ rule.profile }}</span>
            </p>
            <p v-if="rule.source" class="p-source"><span>{{ say("source") }}</span> {{ rule.source }}</p>
            <details v-if="rule.own.length">
              <summary>{{ say("exceptions").replace("{count}", rule.own.length) }}</summary>
              <ul class="p-exceptions"><li v-for="own in rule.own"><b>{{ own.whom }}</b><div>{{ own.said }}</div></li></ul>
            </details>
          </div>
        </article>
      </section>
      <p v-if="!count" class="w-none">{{ say("none") }}</p>
    </div>`,
  props: { texts: Object, families: Array },
  data: () => ({ text: "", family: "", grade: "", grades: GRADES, shapes: gradeShapes }),
  computed: {
    found() {
      const wanted = this.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (rule, name) => {
        if (this.grade && rule.grade !== this.grade) return false;
        const whole = [rule.id, rule.said, rule.measures, rule.source, name, ...rule.own.map((own) => own.whom)].join(" ").toLowerCase();
        return wanted.every((word) => whole.includes(word));
      };
      return this.families
        .filter((one) => !this.family || one.family === this.family)
        .map((one) => ({ ...one, rules: one.rules.filter((rule) => fits(rule, one.name)) }))
        .filter((one) => one.rules.length);
    },
    count() {
      return this.found.reduce((sum, one) => sum + one.rules.length, 0);
    },
  },
  mounted() {
    // An alarm's story links to its rule: the address knew the place before it was drawn.
    const there = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (there) {
      there.scrollIntoView({ block: "center" });
      there.classList.add("is-meant");
    }
  },
  methods: {
    say(key) {
      return this.texts["rules." + key];
    },
  },
};
