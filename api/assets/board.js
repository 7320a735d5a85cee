// The leaderboard.

import { assetName, change, count, direction, h, percent, signed, svg } from "./format.js";

const SORTABLE = { posts: "posts", growth: "growth", mean_score: "mean_score", anomaly: "anomaly" };

export class Board {
  constructor(table, { onselect, onsort }) {
    this.body = table.tBodies[0];
    this.onselect = onselect;
    this.seen = new Map();
    this.heads = [...table.tHead.rows[0].cells].filter((cell) => cell.dataset.sort in SORTABLE);
    for (const cell of this.heads) {
      const button = h("button", { type: "button", onclick: () => onsort(cell.dataset.sort) });
      button.append(...cell.childNodes);
      cell.append(button);
    }
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  show(board, selected, sort) {
    for (const cell of this.heads) {
      if (cell.dataset.sort === sort) cell.setAttribute("aria-sort", "descending");
      else cell.removeAttribute("aria-sort");
    }
    const focused = document.activeElement?.closest("tr")?.dataset.asset;
    const rows = board.trends.map((trend) => this.row(trend, selected));
    if (board.market) rows.unshift(this.row({ ...board.market, rank: "" }, selected));
    this.body.replaceChildren(...rows);
    if (focused) this.body.querySelector(`tr[data-asset="${CSS.escape(focused)}"] button`)?.focus();
  }

  select(asset) {
    for (const row of this.body.rows) row.setAttribute("aria-selected", String(row.dataset.asset === asset));
  }

  row(trend, selected) {
    const { asset, posts, previous } = trend;
    const before = this.seen.get(asset);
    this.seen.set(asset, posts);
    const names = [asset === "*" ? "market" : "", before !== undefined && before !== posts ? "changed" : ""].join(" ").trim();
    const part = asset === "*" ? null : h("span", { class: "part" }, `${percent(trend.dominance, trend.dominance < 0.1 ? 1 : 0)} of posts`);
    const level = trend.anomaly_score >= 0.9 ? 2 : trend.anomaly_score >= 0.5 ? 1 : 0;
    const moved = trend.growth_z === null ? "" : direction(trend.growth_z, 1.5);
    return h("tr", { class: names, "data-asset": asset, "aria-selected": String(asset === selected), onclick: () => this.onselect(asset) },
      h("td", { class: "rank" }, String(trend.rank)),
      h("td", {}, h("button", { class: "name", type: "button", title: `Show ${assetName(asset)}` }, assetName(asset)), part),
      h("td", { class: "num", title: volume(trend) }, h("b", {}, count(posts))),
      h("td", { class: `num ${moved}`, title: `${count(previous.posts)} posts in the period before${trend.growth_z === null ? "" : `, z = ${signed(trend.growth_z, 1)}`}` }, change(posts, previous.posts)),
      h("td", { class: "wide" }, spark(trend.history)),
      h("td", {}, mood(trend)),
      h("td", { class: "num" }, h("span", { class: "heat", "data-level": level }, trend.anomaly_score === null ? "–" : String(Math.round(trend.anomaly_score * 100)))));
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("tr");
    if (!step || !row) return;
    event.preventDefault();
    const next = this.body.rows[row.rowIndex - 1 + step];
    next?.querySelector("button").focus();
  }
}

// What is left of the posts without copies and spam.
function volume({ posts, unique_posts: unique, spam_posts: spam }) {
  return unique === null || spam === null ? null : `${count(unique)} of ${count(posts)} posts are unique, ${count(spam)} are spam`;
}

// Both periods, the earlier one paler.
function spark(history) {
  const width = 84, height = 26, step = width / history.length;
  const top = Math.max(1, ...history.map((n) => n ?? 0));
  const picture = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const paths = { then: "", now: "" };
  history.forEach((n, at) => {
    if (n === null) return;
    const tall = Math.max(n > 0 ? 1.5 : 0.6, (n / top) * height);
    paths[at < history.length / 2 ? "then" : "now"] += `M${(at * step + 0.4).toFixed(1)} ${height}v${(-tall).toFixed(1)}h${(step - 0.9).toFixed(1)}v${tall.toFixed(1)}Z`;
  });
  picture.append(svg("path", { class: "then", d: paths.then }), svg("path", { class: "now", d: paths.now }));
  return picture;
}

export function mood(totals) {
  const { negative, neutral, positive, mean_score: mean } = totals;
  const bar = h("span", { class: "split", title: `${count(negative)} negative, ${count(neutral)} neutral, ${count(positive)} positive` });
  for (const [name, n] of [["n", negative], ["o", neutral], ["p", positive]]) {
    if (!n) continue;
    const part = h("i", { class: name });
    part.style.flexGrow = n;
    bar.append(part);
  }
  return h("span", { class: "mood" }, bar, h("span", { class: direction(mean, 0.05) }, signed(mean)));
}
