// Attention as bars, mood as a line around zero, on one time axis.

import { DAY, HOUR, MINUTE, amount, clock, count, day, direction, empty, h, percent, signed, span, svg } from "./format.js";

const LEFT = 44, RIGHT = 10, TOP = 22, GAP = 30, BOTTOM = 24;
const STEPS = [5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY];
// Anomaly scores from which on an interval is marked, the first in a row, and marked as very unusual: those of the board.
const ODD = 0.5, VERY_ODD = 0.9;

export class Chart {
  constructor(container, { onpick }) {
    this.container = container;
    this.onpick = onpick;
    this.points = null;
    this.picked = null;
    this.tip = h("div", { class: "tip", hidden: true });
    this.readout = h("div", { class: "sr", "aria-live": "polite" });
    new ResizeObserver(() => this.draw()).observe(container);
  }

  show(title, series) {
    this.title = title;
    this.points = series.points.map((p) => ({ ...p, from: Date.parse(p.start), to: Date.parse(p.end) }));
    this.rolling = this.points.length > 150 ? { "5m": 12, "1h": 6, "1d": 7 }[series.interval] : this.points.length > 36 && series.interval === "5m" ? 6 : 1;
    this.rolled = { "5m": `${this.rolling * 5} minutes`, "1h": `${this.rolling} hours`, "1d": `${this.rolling} days` }[series.interval];
    roll(this.points, this.rolling);
    this.draw();
  }

  pick(from) {
    this.picked = from;
    this.draw();
  }

  draw() {
    const width = this.container.clientWidth;
    if (!this.points || !width) return;
    if (this.points.every((p) => p.posts === null)) {
      this.container.replaceChildren(empty("Nothing was observed in this time", "Choose a longer range, or wait for posts to come in."));
      return;
    }
    const height = Math.max(340, Math.min(460, Math.round(width * 0.42)));
    this.size = { width, height, plot: width - LEFT - RIGHT, posts: Math.round((height - TOP - GAP - BOTTOM) * 0.63) };
    this.size.moodTop = TOP + this.size.posts + GAP;
    this.size.mood = height - BOTTOM - this.size.moodTop;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0, "aria-label": this.describe() });
    picture.append(this.patterns(), this.axis(), this.gaps(), this.pickedBox(), this.bars(), this.moods());
    this.cross = svg("line", { class: "cross", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    picture.append(this.cross);
    picture.addEventListener("pointermove", (event) => this.hover(this.indexAt(event)));
    picture.addEventListener("pointerleave", () => this.hover(null));
    picture.addEventListener("blur", () => this.hover(null));
    picture.addEventListener("click", (event) => this.choose(this.indexAt(event)));
    picture.addEventListener("keydown", (event) => this.key(event));
    this.container.replaceChildren(picture, this.tip, this.readout);
    this.tip.hidden = true;
    this.at = null;
  }

  describe() {
    const known = this.points.filter((p) => p.posts !== null);
    const total = known.reduce((sum, p) => sum + p.posts, 0);
    const top = known.reduce((best, p) => (p.posts > best.posts ? p : best), known[0]);
    return `${this.title}: ${count(total)} posts from ${span(known[0].from, known.at(-1).to)}, most (${count(top.posts)}) ${span(top.from, top.to)}. Arrow keys read single values, Enter shows the posts.`;
  }

  x(ms) {
    const first = this.points[0].from;
    return LEFT + ((ms - first) / (this.points.at(-1).to - first)) * this.size.plot;
  }

  indexAt(event) {
    const box = this.container.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left - LEFT) / this.size.plot) * this.points.length);
    return at >= 0 && at < this.points.length ? at : null;
  }

  patterns() {
    const lines = svg("path", { d: "M0 6 6 0", class: "gap-line" });
    return svg("defs", {}, svg("pattern", { id: "gap", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, lines));
  }

  // Times that fall on round hours or days, at most one label per 90 pixels.
  axis() {
    const { width, height, posts, mood, moodTop, plot } = this.size;
    const group = svg("g");
    const from = this.points[0].from, to = this.points.at(-1).to;
    const step = STEPS.find((s) => ((to - from) / s) * 90 <= plot) ?? 180 * DAY;
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const x = Math.round(this.x(t));
      group.append(svg("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: height - BOTTOM }));
      const midnight = t % DAY === 0;
      const text = svg("text", { x, y: height - 7, "text-anchor": x > width - 30 ? "end" : "middle" });
      text.textContent = midnight || step >= DAY ? day(t) : clock(t);
      group.append(text);
    }
    this.top = niceTop(Math.max(1, ...this.points.map((p) => Math.max(p.posts ?? 0, p.expected_posts ?? 0))));
    for (const value of [0, this.top / 2, this.top]) {
      const y = TOP + posts - (value / this.top) * posts;
      group.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }), label(amount(value), LEFT - 7, y + 4));
    }
    const largest = Math.max(0.2, ...this.points.map((p) => Math.abs(p.mean_score ?? 0)));
    this.reach = largest > 0.6 ? 1 : largest > 0.3 ? 0.6 : 0.3;
    for (const value of [this.reach, 0, -this.reach]) {
      const y = moodTop + mood / 2 - (value / this.reach) * (mood / 2);
      group.append(svg("line", { class: value ? "grid" : "zero", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }), label(value ? signed(value, 1) : "0", LEFT - 7, y + 4));
    }
    const rolled = this.rolling > 1 ? `Mood, mean of the last ${this.rolled}` : "Mood";
    group.append(heading("Posts", TOP - 8), heading(rolled, moodTop - 8));
    return group;
  }

  // Where nothing at all was observed.
  gaps() {
    const group = svg("g");
    for (let at = 0; at < this.points.length; at += 1) {
      if (this.points[at].posts !== null) continue;
      const from = at;
      while (at + 1 < this.points.length && this.points[at + 1].posts === null) at += 1;
      const x = this.x(this.points[from].from);
      group.append(svg("rect", { class: "gap", x, width: this.x(this.points[at].to) - x, y: TOP, height: this.size.height - TOP - BOTTOM }));
    }
    return group;
  }

  pickedBox() {
    const point = this.points.find((p) => p.from === this.picked);
    if (!point) return svg("g");
    const x = this.x(point.from);
    return svg("rect", { class: "pick", x: x - 2, width: this.x(point.to) - x + 4, y: TOP, height: this.size.height - TOP - BOTTOM });
  }

  bars() {
    const { posts } = this.size;
    const wide = this.size.plot / this.points.length;
    const inset = wide > 6 ? 1 : wide > 3 ? 0.5 : 0.1;
    const y = (value) => TOP + posts - (value / this.top) * posts;
    const paths = { settled: "", soft: "" };
    const group = svg("g");
    const odd = svg("g");
    let expected = "", joined = false;
    this.points.forEach((p, at) => {
      const x = this.x(p.from) + inset;
      if (p.posts) paths[p.final ? "settled" : "soft"] += `M${x.toFixed(1)} ${y(0)}V${y(p.posts).toFixed(1)}h${(wide - 2 * inset).toFixed(2)}V${y(0)}Z`;
      if (p.anomaly_score >= ODD && !(this.points[at - 1]?.anomaly_score >= ODD)) odd.append(svg("circle", { class: p.anomaly_score >= VERY_ODD ? "odd very" : "odd", cx: x + wide / 2 - inset, cy: Math.max(TOP - 3, y(p.posts) - 6), r: 3.2 }));
      // A forecast is known only where there is a window; it is one line over the intervals without posts, not over gaps.
      if (p.posts === null) joined = false;
      if (p.expected_posts === null) return;
      const middle = (this.x(p.from) + wide / 2).toFixed(1);
      expected += `${joined ? "L" : "M"}${middle} ${y(p.expected_posts).toFixed(1)}`;
      joined = true;
    });
    group.append(svg("path", { class: "bar", d: paths.settled }), svg("path", { class: "bar soft", d: paths.soft }));
    group.append(svg("path", { class: "expected", d: expected }), odd);
    return group;
  }

  // The same line twice, clipped at zero: one colour above, one below. Over many short intervals the line is the rolling mean of
  // the scored posts, and the single means are dots.
  moods() {
    const { width, mood, moodTop, plot } = this.size;
    const zero = moodTop + mood / 2;
    const y = (value) => (zero - (value / this.reach) * (mood / 2)).toFixed(1);
    const wide = plot / this.points.length;
    const group = svg("g");
    const dots = svg("g", { class: this.rolling > 1 ? "raw" : "" });
    const middle = (p) => (this.x(p.from) + wide / 2).toFixed(1);
    let line = "", area = "";
    for (const run of runs(this.points)) {
      const at = run.map((p) => `${middle(p)} ${y(p.rolling)}`);
      line += `M${at.join("L")}`;
      area += `M${middle(run[0])} ${zero}L${at.join("L")}L${middle(run.at(-1))} ${zero}Z`;
      if (run.length === 1) line += "h.1";
    }
    for (const p of this.points) {
      if (p.mean_score === null || (this.rolling === 1 && wide < 14)) continue;
      dots.append(svg("circle", { class: `dot ${p.mean_score < 0 ? "poor" : "good"}`, cx: middle(p), cy: y(p.mean_score), r: Math.min(3.5, 1.2 + Math.sqrt(p.posts) / 3).toFixed(1) }));
    }
    for (const [half, top] of [["good", moodTop - 4], ["poor", zero]]) {
      const clip = svg("clipPath", { id: `clip-${half}` }, svg("rect", { x: 0, y: top, width, height: mood / 2 + 4 }));
      const clipped = svg("g", { "clip-path": `url(#clip-${half})` });
      clipped.append(svg("path", { class: half === "good" ? "above" : "below", d: area }), svg("path", { class: `line ${half}`, d: line }));
      group.append(clip, clipped);
    }
    group.prepend(dots);
    return group;
  }

  hover(at) {
    this.at = at;
    const point = at === null ? null : this.points[at];
    this.tip.hidden = !point;
    this.cross.setAttribute("visibility", point ? "visible" : "hidden");
    if (!point) return;
    const x = (this.x(point.from) + this.x(point.to)) / 2;
    this.cross.setAttribute("x1", x);
    this.cross.setAttribute("x2", x);
    const row = (name, value, style = "") => h("div", {}, h("span", {}, name), h("span", { class: style }, value));
    const rows = point.posts === null
      ? [row("Nothing was observed", "")]
      : [
        row("Posts", count(point.posts)),
        row("Expected", amount(point.expected_posts)),
        point.next_hour_p50 === null || point.next_hour_p50 === undefined ? null
          : row("Hour after it", `${amount(Math.round(point.next_hour_p50))} (${amount(Math.floor(point.next_hour_p10))} to ${amount(Math.ceil(point.next_hour_p90))})`),
        point.doubling_probability === null || point.doubling_probability === undefined ? null : row("Chance of doubling", percent(point.doubling_probability, 1)),
        point.unique_authors === undefined ? null : row("Authors", count(point.unique_authors)),
        row("Mood", signed(point.mean_score), direction(point.mean_score)),
        this.rolling > 1 ? row(`Mood, last ${this.rolled}`, signed(point.rolling), direction(point.rolling)) : null,
        row("− / 0 / +", `${count(point.negative)} / ${count(point.neutral)} / ${count(point.positive)}`),
        row("Part of all posts", percent(point.dominance, 1)),
        row("Anomaly", point.anomaly_score === null ? "–" : String(Math.round(point.anomaly_score * 100))),
        point.tail_probability > 0 && point.tail_probability < 0.1 ? row("So many posts", `once in ${amount(Math.round(1 / point.tail_probability))}`) : null,
        row("Window", point.final ? "final" : `provisional${point.revision ? `, rev. ${point.revision}` : ""}`),
      ];
    this.tip.replaceChildren(h("b", {}, span(point.from, point.to)), ...rows.filter(Boolean));
    const left = x > this.size.width / 2 ? x - this.tip.offsetWidth - 14 : x + 14;
    this.tip.style.left = `${Math.max(0, left)}px`;
    this.tip.style.top = `${TOP}px`;
  }

  choose(at) {
    const point = at === null ? null : this.points[at];
    if (point && point.posts) this.onpick(point.from === this.picked ? null : { from: point.from, to: point.to });
  }

  key(event) {
    const end = this.points.length - 1;
    const moves = { ArrowLeft: Math.max(0, (this.at ?? end + 1) - 1), ArrowRight: Math.min(end, (this.at ?? end - 1) + 1), Home: 0, End: end };
    if (event.key in moves) {
      event.preventDefault();
      this.hover(moves[event.key]);
      this.readout.textContent = this.tip.innerText.replaceAll("\n", ", ");
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(this.at);
    } else if (event.key === "Escape") {
      this.hover(null);
      if (this.picked !== null) this.onpick(null);
    }
  }
}

function label(text, x, y) {
  const element = svg("text", { x, y, "text-anchor": "end" });
  element.textContent = text;
  return element;
}

function heading(text, y) {
  const element = svg("text", { class: "pane", x: LEFT, y });
  element.textContent = text;
  return element;
}

// 2, 4, 6, 8, 10, 20, ...
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= Math.max(2, value * 1.02)) ?? 10 * power;
}

// The mean over the scored posts of the last `size` intervals, this one included.
function roll(points, size) {
  points.forEach((point, at) => {
    let total = 0, scored = 0;
    for (const p of points.slice(Math.max(0, at - size + 1), at + 1)) {
      if (p.mean_score === null) continue;
      const n = p.negative + p.neutral + p.positive;
      total += p.mean_score * n;
      scored += n;
    }
    point.rolling = scored ? total / scored : null;
  });
}

// Stretches of points with a mood. Two missing ones do not break the line.
function runs(points) {
  const all = [];
  let last = -9;
  points.forEach((p, at) => {
    if (p.rolling === null || p.posts === null) return;
    if (at - last > 3) all.push([]);
    all.at(-1).push(p);
    last = at;
  });
  return all;
}
