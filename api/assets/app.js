// The dashboard: what is chosen, when to ask, and where to put the answers.

import { Board, mood } from "./board.js";
import { Chart } from "./chart.js";
import { ApiProblem, account, get, listen } from "./client.js";
import { DAY, HOUR, ago, amount, assetName, change, count, direction, empty, h, moment, percent, segments, signed } from "./format.js";
import { alerts, deadLetters, diff, lineage, sources, terms } from "./panels.js";
import { KINDS, Posts } from "./posts.js";

const $ = (id) => document.getElementById(id);
const PERIODS = [["1h", "1 h"], ["6h", "6 h"], ["24h", "24 h"], ["7d", "7 d"]];
const RANGES = [["1h", "1 h"], ["6h", "6 h"], ["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"], ["all", "All"]];
const LENGTHS = { "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const SORTS = ["growth", "posts", "mean_score", "anomaly"];
const WINDOW = { "1h": "hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days" };

const chosen = { asset: null, range: "24h", window: "1h", sort: "growth", kind: "telling", period: null, run: null };
const known = { board: null, assets: null, newest: null, live: "wait" };

const board = new Board($("board"), { onselect: select, onsort: (sort) => choose({ sort }) });
const chart = new Chart($("chart"), { onpick: (period) => choose({ period }) });
const posts = new Posts({ list: $("posts"), more: $("more"), filter: $("post-filter"), onclear: () => choose({ period: null }) });

// --- what is chosen, kept in the address

function readHash() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const among = (value, options, otherwise) => (options.some(([name]) => name === value) ? value : otherwise);
  chosen.asset = hash.get("asset");
  chosen.range = among(hash.get("range"), RANGES, "24h");
  chosen.window = among(hash.get("window"), PERIODS, "1h");
  chosen.sort = SORTS.includes(hash.get("sort")) ? hash.get("sort") : "growth";
  chosen.run = hash.get("run");
}

function writeHash() {
  const hash = new URLSearchParams({ asset: chosen.asset ?? "*", range: chosen.range, window: chosen.window });
  if (chosen.sort !== "growth") hash.set("sort", chosen.sort);
  if (chosen.run) hash.set("run", chosen.run);
  history.replaceState(null, "", `#${hash}`);
}

// A login leads away and back to the bare address.
function keepHash() {
  addEventListener("click", ({ target }) => {
    if (target.closest("a[href='/login']")) sessionStorage.setItem("vigie-hash", location.hash);
  });
  const kept = sessionStorage.getItem("vigie-hash");
  sessionStorage.removeItem("vigie-hash");
  if (kept && !location.hash) history.replaceState(null, "", kept);
}

function select(asset) {
  choose({ asset, period: null });
}

function choose(changes) {
  const before = { ...chosen };
  Object.assign(chosen, changes);
  if (chosen.range !== before.range) chosen.period = null;
  writeHash();
  controls();
  board.select(chosen.asset);
  chart.pick(chosen.period?.from ?? null);
  const boardToo = chosen.window !== before.window || chosen.sort !== before.sort;
  if (boardToo) attempt(loadBoard().then(loadPosts));
  if (chosen.asset !== before.asset || chosen.range !== before.range) attempt(loadChart());
  if (!boardToo) attempt(loadPosts());
}

function controls() {
  segments($("periods"), PERIODS, chosen.window, (window) => choose({ window }));
  segments($("ranges"), RANGES, chosen.range, (range) => choose({ range }));
  segments($("post-kinds"), KINDS, chosen.kind, (kind) => choose({ kind }));
}

// --- answers

async function loadBoard() {
  const answer = await get("/v1/trends", { window: chosen.window, sort: chosen.sort, limit: 25, min_posts: 3, posts: 8, run: chosen.run });
  known.board = answer;
  known.newest = answer.newest ? Date.parse(answer.newest) : null;
  $("sample").hidden = !answer.sample;
  $("board-hint").textContent = answer.at ? `Last ${WINDOW[chosen.window]} to ${moment(Date.parse(answer.at))}, against the ${WINDOW[chosen.window]} before` : "";
  $("board-empty").hidden = answer.trends.length > 0;
  $("board-empty").textContent = answer.newest ? "No asset was mentioned in these two periods. Choose a longer one." : "Waiting for the first posts. They appear here within seconds of being read.";
  if (!chosen.asset) {
    const first = answer.trends.find((trend) => trend.posts >= 10) ?? answer.trends[0];
    chosen.asset = first?.asset ?? "*";
    if (answer.newest) writeHash();
  }
  board.show(answer, chosen.asset, chosen.sort);
  header();
}

const oldest = () => (known.assets?.oldest ? Date.parse(known.assets.oldest) : known.newest - DAY);

function range() {
  // Not further back than the data, which is as far as anything can be said, but an hour at least.
  const wanted = chosen.range === "all" ? oldest() : Math.max(known.newest - LENGTHS[chosen.range], oldest());
  const from = Math.min(wanted, known.newest - HOUR);
  const length = known.newest - from;
  const interval = length <= DAY ? "5m" : length <= 60 * DAY ? "1h" : "1d";
  // Without an end the window that is going on is there too.
  return { from: new Date(from).toISOString(), interval };
}

let chartTurn = 0;
async function loadChart() {
  if (!known.newest) return;
  const turn = ++chartTurn;
  const parameters = range();
  if (chosen.run) parameters.run = chosen.run;
  // Over many hours authors must be recounted from the posts: nobody waits for that here.
  if (parameters.interval !== "5m") parameters.metrics = "posts,mean_score,dominance,negative,neutral,positive,anomaly_score,tail_probability,expected_posts,next_hour_p10,next_hour_p50,next_hour_p90,doubling_probability,unique_posts,spam_posts";
  $("chart").classList.add("loading");
  try {
    const series = await get(`/v1/assets/${encodeURIComponent(chosen.asset)}/series`, parameters);
    if (turn !== chartTurn) return;
    title(series);
    chart.show(assetName(chosen.asset), series);
    lineage($("lineage"), series, parameters);
  } finally {
    if (turn === chartTurn) $("chart").classList.remove("loading");
  }
}

function title(series) {
  const trend = chosen.asset === "*" ? known.board.market : known.board.trends.find((t) => t.asset === chosen.asset);
  const per = { "5m": "per 5 minutes", "1h": "per hour", "1d": "per day" }[series.interval];
  $("chart-title").replaceChildren(assetName(chosen.asset), h("small", {}, per));
  document.title = `${assetName(chosen.asset)} · vigie`;
  const seen = series.points.filter((p) => p.posts !== null);
  const sum = (field) => (seen.length ? seen.reduce((total, p) => total + (p[field] ?? 0), 0) : null);
  const figure = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));
  // Windows from before copies and spam were counted have neither.
  const counted = seen.length > 0 && seen.every((p) => p.unique_posts !== null && p.spam_posts !== null);
  const totals = { negative: sum("negative"), neutral: sum("neutral"), positive: sum("positive"), mean_score: weightedMean(seen) };
  const range = RANGES.find(([name]) => name === chosen.range)[1];
  const facts = [figure(chosen.range === "all" ? "Posts, all time" : `Posts, ${range}`, count(sum("posts"))), figure("Mood", mood(totals))];
  if (counted && sum("posts") > 0) {
    const why = "Without spam and without near copies of a post of the 24 hours before";
    facts.push(figure("Unique", h("span", { title: why }, `${count(sum("unique_posts"))} `, h("small", {}, `${percent(sum("spam_posts") / sum("posts"), 1)} spam`))));
  }
  if (trend) {
    facts.push(figure(`Last ${WINDOW[chosen.window]}`, `${count(trend.posts)} `, h("small", { class: direction(trend.growth_z, 1.5) }, change(trend.posts, trend.previous.posts))));
    if (trend.mean_score_change !== null) facts.push(figure("Mood change", h("span", { class: direction(trend.mean_score_change, 0.05) }, signed(trend.mean_score_change))));
    const hour = trend.next_hour;
    if (hour) {
      const why = `Nine times in ten fewer than ${amount(hour.p90)}, one time in ten fewer than ${amount(hour.p10)}; made for the hour from ${moment(Date.parse(hour.from))}`;
      facts.push(figure("Next hour", h("span", { title: why }, `${amount(Math.round(hour.p50))} `, h("small", {}, `${amount(Math.floor(hour.p10))} to ${amount(Math.ceil(hour.p90))}`))));
      facts.push(figure("Chance of doubling", h("span", { title: "That some hour which ends within the next one has twice the posts of the last, and 10 or more" }, percent(hour.doubling_probability, hour.doubling_probability < 0.1 ? 1 : 0))));
    }
    if (trend.dominance !== null) facts.push(figure("Of all posts", percent(trend.dominance, 1)));
  }
  $("figures").replaceChildren(...facts);
}

function weightedMean(points) {
  let total = 0, scored = 0;
  for (const p of points) {
    if (p.mean_score === null) continue;
    const n = p.negative + p.neutral + p.positive;
    total += p.mean_score * n;
    scored += n;
  }
  return scored ? total / scored : null;
}

async function loadPosts() {
  if (!known.newest) return;
  const trend = known.board.trends.find((t) => t.asset === chosen.asset);
  const kind = chosen.asset === "*" && chosen.kind === "telling" ? "newest" : chosen.kind;
  await posts.show({ asset: chosen.asset, kind, period: chosen.period, telling: trend?.explained_by ?? [], now: known.newest });
}

async function loadAlerts() {
  const answer = await get("/v1/alerts", { limit: 8, run: chosen.run });
  const now = known.newest ?? Date.now();
  alerts($("alerts"), answer, now, select);
  const recent = answer.alerts.filter((alert) => now - Date.parse(alert.window_start) < DAY).length;
  $("alerts-hint").textContent = recent ? `${recent}${answer.next && recent === answer.alerts.length ? " or more" : ""} in the last 24 h` : "";
}

async function loadDiff() {
  $("diff-card").hidden = !chosen.run;
  if (chosen.run) diff($("diff"), await get(`/v1/runs/${encodeURIComponent(chosen.run)}/diff`, { limit: 6 }));
}

// The live run alone has terms.
async function loadTerms() {
  const answer = chosen.run ? { terms: [] } : await get("/v1/terms", { limit: 8, from: "now-1d" });
  $("terms-card").hidden = !answer.terms.length;
  terms($("terms"), answer, known.newest ?? Date.now(), select);
}

async function loadSources() {
  const answer = await get("/v1/sources");
  $("sources-button").hidden = !answer.total;
  $("sources-button").replaceChildren("Sources ", h("b", {}, `${answer.healthy} of ${answer.total} healthy`));
  sources($("sources"), answer);
}

async function loadDeadLetters() {
  const answer = await get("/v1/dead-letters", { limit: 5 });
  $("dead-card").hidden = !answer.counts.length;
  $("dead-hint").textContent = `${count(answer.counts.reduce((sum, { letters }) => sum + letters, 0))} in 30 days`;
  deadLetters($("dead"), answer);
}

// Replays can be looked at beside the live numbers.
async function loadRuns() {
  const { runs } = await get("/v1/runs", { limit: 100 });
  const names = ["served", "live", ...runs.map((run) => run.run_id).filter((id) => id !== "live")];
  $("run-box").hidden = names.length < 3 && !chosen.run;
  const at = chosen.run ?? "served";
  if (!names.includes(at)) names.push(at);
  $("run").replaceChildren(...names.map((name) => h("option", { value: name, selected: name === at }, name)));
}

function header() {
  const now = known.newest;
  $("newest").hidden = !now;
  if (!now) return;
  // Archives play the past: then the data's own time is what counts.
  const behind = Date.now() - now;
  $("newest").replaceChildren("Data to ", h("b", {}, moment(now)), behind > 2 * DAY ? " (archive)" : behind > 15 * 60e3 ? ` (${ago(now, Date.now())})` : "");
  state(known.live);
}

function state(name) {
  known.live = name;
  $("live").dataset.state = name;
  $("live-text").textContent = { wait: "Connecting", live: "Live", away: "Reconnecting" }[name];
}

// --- keeping up

async function attempt(work) {
  try {
    await work;
    $("problem").hidden = true;
  } catch (problem) {
    if (problem.name === "AbortError") return;
    // Without the scope for a part, that part stays away.
    if (problem.status === 403) return;
    const away = problem instanceof TypeError;
    $("problem").textContent = away ? "The server cannot be reached. Trying again." : `This could not be loaded: ${problem.message}`;
    $("problem").hidden = false;
    if (!away && !(problem instanceof ApiProblem)) console.error(problem);
  }
}

// Runs `work` soon, and not more often than every `pause` milliseconds, however often it is asked for.
function paced(pause, work) {
  let timer = null;
  let again = false;
  const run = async () => {
    again = false;
    await attempt(work());
    timer = setTimeout(() => {
      timer = null;
      if (again) run();
    }, pause);
  };
  return () => {
    again = true;
    if (timer === null) {
      timer = 0;
      setTimeout(run, 150);
    }
  };
}

const refresh = paced(2000, async () => {
  if (document.hidden) return;
  if (!known.newest) return everything();
  const before = known.newest;
  await loadBoard();
  // Where the chart begins with the data, older posts may have come.
  if (chosen.range === "all" ? known.newest !== before : oldest() > known.newest - LENGTHS[chosen.range]) known.assets = await get("/v1/assets", { run: chosen.run });
  await loadChart();
  if (!chosen.period && (chosen.kind === "telling" || $("posts").children.length <= 20)) await loadPosts();
});
const refreshAlerts = paced(3000, loadAlerts);
const refreshTerms = paced(60000, loadTerms);

function onevent(event) {
  refreshTerms();
  if (event.type === "switch") attempt(everything());
  else if (event.type === "alert") refreshAlerts();
  else refresh();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("vigie-theme", name);
}

function start() {
  const light = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = localStorage.getItem("vigie-theme") ?? light;
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "light" ? "dark" : "light"));
  $("sources-button").addEventListener("click", () => {
    $("sources-card").hidden = false;
    $("sources-title").focus();
    $("sources-card").scrollIntoView({ behavior: "smooth", block: "nearest" });
  });
  $("run").addEventListener("change", () => {
    const name = $("run").value;
    Object.assign(chosen, { run: name === "served" ? null : name, period: null });
    writeHash();
    attempt(everything());
  });
  $("sources-close").addEventListener("click", () => { $("sources-card").hidden = true; });
  addEventListener("hashchange", () => { readHash(); controls(); attempt(everything()); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  legend();
  keepHash();
  readHash();
  controls();
  attempt(account($("account")));
  attempt(everything());
  attempt(loadSources());
  attempt(loadRuns());
  attempt(loadDeadLetters());
  listen({ type: "trend,alert,switch" }, { onevent, onstate: (name) => { state(name); if (name === "live") refresh(); } });
  setInterval(() => { if (!document.hidden) for (const load of [loadSources, loadDeadLetters]) attempt(load()); }, 30e3);
  // Without live events, ask.
  setInterval(() => { if (known.live !== "live") refresh(); }, 15e3);
}

function legend() {
  const entry = (name, text) => h("span", {}, h("i", { class: name }), text);
  $("legend").replaceChildren(entry("", "posts"), entry("soft", "provisional"), entry("dash", "expected"), entry("odd", "unusual"), entry("odd very", "very unusual"), entry("good", "positive mood"), entry("poor", "negative mood"), entry("none", "nothing observed"));
}

// Without a wish: the last hour, or the last day where an hour holds too little to compare.
async function chooseWindow() {
  if (new URLSearchParams(location.hash.slice(1)).has("window")) return;
  const hour = await get("/v1/trends", { window: "1h", limit: 1, posts: 0, run: chosen.run });
  if (hour.newest && (hour.market?.posts ?? 0) < 200) chosen.window = "24h";
  controls();
}

async function everything() {
  await chooseWindow();
  known.assets = await get("/v1/assets", { run: chosen.run });
  // An asset of an old link that nobody mentions any more.
  if (chosen.asset && !known.assets.assets.some((a) => a.asset === chosen.asset)) chosen.asset = known.assets.newest ? "*" : null;
  await loadBoard();
  attempt(loadDiff());
  await Promise.all([loadChart(), loadPosts(), loadAlerts(), loadTerms()]);
  if (known.newest) return;
  $("chart-title").textContent = "Nothing yet";
  $("chart").replaceChildren(empty("Waiting for the first posts", "The pipeline is running. This page updates by itself."));
  $("lineage").replaceChildren(empty("No number yet", "Its model, its input and their offsets appear here."));
  $("posts").replaceChildren(empty("No posts yet", "They appear here within seconds of being read."));
}

start();
