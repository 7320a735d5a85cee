// The posts behind a number: the most telling ones of the board's period, or the newest, page by page.

import { ago, assetName, clock, count, day, empty, h, moment, signed, span, webLink } from "./format.js";
import { get } from "./client.js";

export const KINDS = [["telling", "Most telling"], ["newest", "Newest"], ["negative", "Negative"], ["positive", "Positive"]];

export class Posts {
  constructor({ list, more, filter, onclear }) {
    Object.assign(this, { list, more, filter, onclear });
    this.turn = 0;
    more.addEventListener("click", () => this.nextPage());
  }

  // What to show: `telling` are posts that the board already brought.
  async show({ asset, kind, period, telling, now }) {
    const turn = ++this.turn;
    this.question = { asset, kind, period, now };
    this.filter.hidden = !period;
    if (period) this.filter.replaceChildren(h("span", {}, `Posts of ${span(period.from, period.to)}`), h("button", { class: "link", type: "button", onclick: this.onclear }, "Show all"));
    if (kind === "telling" && !period) {
      this.more.hidden = true;
      this.list.replaceChildren(...(telling.length ? telling.map((post) => item(post, now)) : [empty("No posts in this period", `Nobody mentioned ${assetName(asset)} in the period of the board. Look at the newest ones.`)]));
      return;
    }
    const page = await get(this.path(), this.parameters());
    if (turn !== this.turn) return;
    this.next = page.next;
    this.more.hidden = !page.next;
    this.list.replaceChildren(...(page.posts.length ? page.posts.map((post) => item(post, now)) : [empty("No such posts", "Choose another kind or time.")]));
  }

  path() {
    return `/v1/assets/${encodeURIComponent(this.question.asset)}/posts`;
  }

  parameters() {
    const { kind, period } = this.question;
    return {
      limit: 20,
      // One of several copies stands for all, unless single posts of a period are looked at.
      unique: period ? null : true,
      label: kind === "negative" || kind === "positive" ? kind : null,
      from: period ? new Date(period.from).toISOString() : null,
      to: period ? new Date(period.to).toISOString() : null,
    };
  }

  async nextPage() {
    const turn = this.turn;
    this.more.disabled = true;
    try {
      const page = await get(this.path(), { ...this.parameters(), cursor: this.next });
      if (turn !== this.turn) return;
      this.next = page.next;
      this.more.hidden = !page.next;
      this.list.append(...page.posts.map((post) => item(post, this.question.now)));
    } finally {
      this.more.disabled = false;
    }
  }
}

// Characters that a post's excerpt holds at most: one of that length goes on.
const EXCERPT = 280;
const words = (reason) => reason.replaceAll("_", " ");

function item(post, now) {
  const published = Date.parse(post.published_at);
  const link = webLink(post.url);
  const label = post.label ?? "not scored";
  const why = post.unscored_reason ? `Not scored: ${post.unscored_reason}` : `Model ${post.lineage.model.name} ${post.lineage.model.version}`;
  const repeats = post.title && post.excerpt.startsWith(post.title);
  const excerpt = [...post.excerpt].length < EXCERPT ? post.excerpt : `${post.excerpt.trimEnd()}…`;
  return h("li", {},
    h("div", { class: "post-top" },
      h("span", { class: `chip ${post.label ?? ""}`, title: why }, post.score === null ? label : `${label} ${signed(post.score)}`),
      ...(post.assets.length > 1 ? post.assets.filter((mood) => mood.score !== null) : []).map((mood) =>
        h("span", { class: `chip ${mood.label}`, title: `Mood towards ${mood.asset}` }, `${mood.asset} ${signed(mood.score)}`)),
      h("span", {}, post.source),
      post.spam_score >= 0.5 ? h("span", { class: "chip negative", title: `Spam score ${post.spam_score.toFixed(2)}` }, `spam: ${post.spam_reasons.map(words).join(", ")}`) : null,
      post.spam_score < 0.5 && post.spam_reasons.length > 0 ? h("span", { title: `Spam score ${post.spam_score.toFixed(2)}` }, post.spam_reasons.map(words).join(", ")) : null,
      post.copies ? h("span", { title: "Posts with the same words within a day" }, post.copies === 1 ? "1 copy" : `${count(post.copies)} copies`) : null,
      post.revision > 1 ? h("span", { title: `Revision ${post.revision}` }, "edited") : null,
      h("time", { datetime: post.published_at, title: moment(published) }, `${day(published)}, ${clock(published)} · ${ago(published, now)}`),
      link ? h("a", { href: link, target: "_blank", rel: "noopener noreferrer nofollow ugc", referrerpolicy: "no-referrer" }, "Read ↗") : null),
    post.title && !repeats ? h("div", { class: "post-title" }, post.title) : null,
    h("div", { class: repeats || !post.title ? "post-title" : "post-text" }, excerpt));
}
