// Enterprises by the risk of the place, worst first, each with its reasons. Names are drawn by interpolation alone.

export default {
  template: `
    <section class="s-list" :aria-label="texts['supervisor.list']">
      <p v-if="!all.length" class="w-none">{{ texts["supervisor.none"] }}</p>
      <ol v-else>
        <li v-for="row in all" :key="row.code" class="s-row" :class="'is-' + row.colour" :data-code="row.code">
          <div class="r-mark" :class="'is-' + row.colour">
            <b>{{ row.score }}</b><span>{{ texts["map.colour." + row.colour] }}</span>
          </div>
          <div class="s-who">
            <a :href="'/enterprises/' + encodeURIComponent(row.code)">{{ row.name }}</a>
            <span class="t-soft">{{ row.where }}</span>
          </div>
          <ul class="r-reasons">
            <li v-for="[points, said] in row.reasons" :class="{ 'is-out': !points }"><b>{{ points || "!" }}</b><span>{{ said }}</span></li>
          </ul>
        </li>
      </ol>
    </section>`,
  props: { texts: Object, rows: Array },
  data: () => ({ more: [] }),
  computed: {
    all() {
      return [...this.rows, ...this.more];
    },
  },
  watch: {
    rows() {
      this.more = [];
    },
  },
  methods: {
    add(rows) {
      this.more.push(...rows);
    },
  },
};
