// Alerts, terms that rise, sources, and how a number is made.

import { ago, amount, assetName, clock, count, day, empty, h, moment, signed } from "./format.js";

export function alerts(list, answer, now, onselect) {
  if (!answer.alerts.length) {
    list.replaceChildren(empty("All quiet", "Nothing unusual was found."));
    return;
  }
  list.replaceChildren(...answer.alerts.map((alert) => {
    const spike = alert.kind === "attention_spike";
    const at = Date.parse(alert.window_start);
    const what = spike
      ? `${count(alert.value)} posts in ${span(alert)}, ${amount(alert.expected)} expected`
      : `Mood ${signed(alert.value)} over ${span(alert)}, ${signed(alert.expected)} expected`;
    const title = spike ? "Attention spike" : alert.kind === "sentiment_drop" ? "Mood drop" : alert.kind.replaceAll("_", " ");
    return h("li", {}, h("button", { type: "button", title: `Window of ${moment(at)}`, onclick: () => onselect(alert.asset) },
      h("span", { class: spike ? "odd" : "down", "aria-hidden": "true" }, spike ? "▲" : "▼"),
      h("span", {}, h("b", {}, assetName(alert.asset)), ` ${title}`),
      h("span", { class: "when" }, ago(at, now)),
      h("span", { class: "what" }, what, h("time", { datetime: alert.window_start }, ` · ${day(at)}, ${clock(at)}`))));
  }));
}

export function terms(list, answer, now, onselect) {
  list.replaceChildren(...answer.terms.map((term) => {
    const at = Date.parse(term.window_start);
    const about = term.asset ?? term.assets[0] ?? "*";
    const what = `${count(term.authors)} of ${count(term.all_authors)} authors, ${amount(term.expected_authors)} expected`;
    return h("li", {}, h("button", { type: "button", title: `Hour of ${moment(at)}`, onclick: () => onselect(about) },
      h("span", { class: "odd", "aria-hidden": "true" }, "▲"),
      h("span", {}, h("b", {}, term.term), term.kind === "cashtag" && !term.asset ? " unknown coin" : ""),
      h("span", { class: "when" }, ago(at, now)),
      h("span", { class: "what" }, what, about === "*" ? null : ` · ${assetName(about)}`)));
  }));
}

// How long a time an alert is about.
function span(alert) {
  const minutes = Math.round((alert.scale_seconds ?? (Date.parse(alert.window_end) - Date.parse(alert.window_start)) / 1000) / 60);
  return minutes % 60 ? `${minutes} minutes` : minutes === 60 ? "1 hour" : `${minutes / 60} hours`;
}

export function sources(list, answer) {
  list.replaceChildren(...answer.sources.map((source) => {
    const facts = [source.kind, `${count(source.posts_new_24h)} new posts in 24 h`, `last asked ${clock(Date.parse(source.at))} UTC`, source.reason];
    return h("li", { "data-health": source.health }, h("i", {}), h("b", {}, source.source), h("span", { class: "soft" }, source.health),
      h("small", {}, facts.filter(Boolean).join(" · ")));
  }));
  if (!answer.sources.length) list.replaceChildren(empty("No source yet", "Nothing has been fetched so far."));
}

// Records that could not be processed: how many and why, and the latest.
export function deadLetters(container, answer) {
  const facts = answer.counts.slice(0, 8).flatMap(({ topic, stage, reason, letters, redriven }) => [
    h("dt", {}, reason),
    h("dd", {}, h("b", {}, count(letters)), ` of ${topic}, ${stage}`, redriven ? `; ${count(redriven)} redriven` : "")]);
  const latest = answer.dead_letters.map((letter) => {
    const path = `/v1/dead-letters/${encodeURIComponent(letter.topic)}/${letter.letter}`;
    return h("p", { title: letter.key ?? "no key" }, `${moment(Date.parse(letter.failed_at))} `,
      h("a", { href: path }, h("code", {}, `${letter.topic} ${letter.partition}:${letter.offset}`)),
      `${letter.attempts ? ` redriven ${count(letter.attempts)}×` : ""} ${letter.detail}`);
  });
  container.replaceChildren(h("dl", {}, ...facts), ...latest,
    h("div", { class: "links" }, h("a", { href: "/v1/dead-letters" }, "JSON"), h("a", { href: "/v1/dead-letters?format=csv" }, "CSV")));
}

// What a replay changes: posts, mood with the interval of its shift, labels and alerts.
export function diff(container, answer) {
  const { run, posts, flips, examples } = answer;
  const facts = [];
  const fact = (name, ...values) => facts.push(h("dt", {}, name), h("dd", {}, ...values));
  fact("Range", `${moment(Date.parse(answer.from))} to ${moment(Date.parse(answer.to))}`);
  fact("Posts", `${count(posts.run)}, live ${count(posts.with)}; ${count(posts.only_run)} only here, ${count(posts.only_with)} only live`);
  for (const { asset, shift, shift_low, shift_high, posts: now, posts_with: live } of answer.assets) {
    const interval = shift_low === null ? "" : ` (${signed(shift_low)} to ${signed(shift_high)})`;
    fact(assetName(asset), `${count(now)} posts, live ${count(live)}; mood ${signed(shift)}${interval}`);
  }
  for (const flip of flips.slice(0, 6)) fact(`${count(flip.posts)} posts`, `${flip.label_with} live, ${flip.label} here`);
  alertDiff(fact, answer.alerts);
  container.replaceChildren(
    h("dl", {}, ...facts),
    examples.length ? h("p", {}, "Labels that changed most:") : h("p", {}, "No label changed."),
    ...examples.map((post) => h("p", { title: post.post_id }, `${post.label_with} → ${post.label}: ${post.text}`)),
    h("div", { class: "links" }, h("a", { href: `/v1/runs/${encodeURIComponent(run)}/diff` }, "JSON")));
}

// A replay judges only what is unusual within its own range: how many windows that are stands beside the alerts.
function alertDiff(fact, alerts) {
  if (!alerts) return fact("Alerts", "not raised: the replay is not finished, or of an older version");
  const { both, only_run, only_with, windows_run, judged_run, windows_with, judged_with } = alerts;
  fact("Alerts", `${count(both)} in both, ${count(only_run)} only here, ${count(only_with)} only live`);
  fact("Judged", `${count(judged_run)} of ${count(windows_run)} windows, live ${count(judged_with)} of ${count(windows_with)}`);
  for (const alert of alerts.changes.slice(0, 6)) {
    const value = alert.kind === "sentiment_drop" ? signed(alert.value) : `${count(alert.value)} posts`;
    fact(assetName(alert.asset), `${alert.kind.replace("_", " ")} ${moment(Date.parse(alert.window_start))}, ${value}, only ${alert.fires_in_run ? "here" : "live"}`);
  }
}

// Where the chart's numbers come from, down to the offsets.
export function lineage(container, series, parameters) {
  const { lineage, points } = series;
  const windows = points.reduce((sum, p) => sum + p.windows, 0);
  const open = points.filter((p) => p.final === false).length;
  const revisions = Math.max(0, ...points.map((p) => p.revision ?? 0));
  const facts = [];
  const fact = (name, ...values) => facts.push(h("dt", {}, name), h("dd", {}, ...values));
  fact("Run", lineage.runs.join(", "));
  for (const model of lineage.models) {
    fact("Model", `${model.name} ${model.version}`);
    fact("SHA-256", h("code", { title: model.sha256 }, `${model.sha256.slice(0, 16)}…`));
    const [table, digest] = model.assets_version.split("+");
    fact("Assets", h("span", { title: model.assets_version }, `table ${table} `), digest ? h("code", {}, digest) : null);
  }
  for (const model of lineage.forecasters) {
    fact("Forecasts", `${model.name} ${model.version}`);
    fact("SHA-256", h("code", { title: model.sha256 }, `${model.sha256.slice(0, 16)}…`));
  }
  for (const range of lineage.inputs) fact("Input", h("code", {}, `${range.topic}-${range.partition}`), ` offsets ${count(range.first_offset)} to ${count(range.last_offset)}`);
  fact("Windows", `${count(windows)} of 5 min, highest revision ${revisions || "–"}`);
  fact("State", open ? `${count(open)} ${open === 1 ? "interval" : "intervals"} provisional, the rest final` : "all final");
  const path = `/v1/assets/${encodeURIComponent(series.asset)}/series`;
  const link = (more, text) => h("a", { href: `${path}?${new URLSearchParams({ ...parameters, ...more })}` }, text);
  container.replaceChildren(
    h("p", {}, "Each post is scored by the model from −1 to +1 and counted where it was published, in windows of 5 minutes. Mood is the mean of the scored posts. Late posts revise a window until it is final."),
    h("dl", {}, ...facts),
    h("div", { class: "links" }, link({}, "JSON"), link({ format: "csv" }, "CSV"), link({ lineage: "true" }, "JSON with lineage per point")));
}
