// Enterprises by name. Names are drawn by interpolation alone, so markup in them is text.

export default {
  template: `
    <ul class="e-list">
      <li v-for="row in [...rows, ...more]" :key="row.code">
        <a class="e-row" :href="'/enterprises/' + encodeURIComponent(row.code)">
          <i class="m-dot" :class="row.colour && 'is-' + row.colour"></i>
          <div>
            <div class="e-name">{{ row.name }}</div>
            <div class="t-soft">{{ row.where }}</div>
          </div>
          <div class="t-soft">{{ row.trade }}</div>
          <div class="t-soft">{{ row.said }}</div>
        </a>
      </li>
    </ul>`,
  props: { rows: Array },
  data: () => ({ more: [] }),
  methods: {
    add(rows) {
      this.more.push(...rows);
    },
  },
};
