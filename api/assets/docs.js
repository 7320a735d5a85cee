// Renders the OpenAPI description.

import { h } from "./format.js";

const $ = (id) => document.getElementById(id);
const EXAMPLES = {
  "/v1/assets/{asset}/series": "/v1/assets/BTC/series?interval=1h&metrics=posts,mean_score",
  "/v1/series": "/v1/series?assets=bitcoin,ETH&interval=4h&metrics=posts,dominance",
  "/v1/assets/{asset}/posts": "/v1/assets/BTC/posts?label=negative&limit=5",
  "/v1/trends": "/v1/trends?window=24h&limit=5",
  "/v1/market-trends": "/v1/market-trends?window=24h",
  "/assets/{file}": "/assets/icon.svg",
};

// Text with `code` in it.
function prose(text) {
  return (text ?? "").split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));
}

function refName(schema) {
  return schema?.$ref?.split("/").at(-1);
}

function typeOf(schema) {
  if (!schema) return "";
  if (refName(schema)) return h("a", { href: `#schema-${refName(schema)}` }, refName(schema));
  const options = schema.oneOf ?? schema.anyOf ?? (schema.allOf?.length === 1 ? schema.allOf : null);
  if (options) return h("span", {}, ...options.flatMap((option, at) => [at ? " or " : "", typeOf(option)]));
  if (schema.enum) return schema.enum.join(", ");
  if (schema.type === "array" || schema.type?.includes?.("array")) return h("span", {}, "list of ", typeOf(schema.items));
  const types = [schema.type ?? "any"].flat().join(" or ");
  return schema.format === "date-time" ? types.replace("string", "time") : types;
}

function rows(head, body) {
  return h("table", {}, h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...body));
}

function operation(path, get) {
  const parameters = (get.parameters ?? []).map((p) => h("tr", {},
    h("td", {}, h("code", {}, p.name), p.required ? " (needed)" : ""), h("td", {}, p.in), h("td", {}, ...prose(p.description))));
  const responses = Object.entries(get.responses).map(([status, response]) => {
    const [media, content] = Object.entries(response.content ?? {})[0] ?? ["", null];
    return h("tr", {}, h("td", {}, h("code", {}, status)), h("td", {}, typeOf(content?.schema), " ", h("code", {}, Object.keys(response.content ?? {}).join(", ") || media)), h("td", {}, ...prose(response.description)));
  });
  const example = EXAMPLES[path] ?? path;
  return h("section", { class: "operation", id: anchor(path) },
    h("h3", {}, h("span", { class: "method" }, "GET"), h("code", {}, path), h("span", { class: "soft" }, get.summary ?? "")),
    ...(get.description ?? "").split("\n\n").filter(Boolean).map((text) => h("p", {}, ...prose(text))),
    parameters.length ? rows(["Parameter", "In", ""], parameters) : null,
    h("details", {}, h("summary", {}, "Answers"), rows(["Status", "Body", ""], responses)),
    h("pre", {}, `curl -s '${location.origin}${example}'`),
    h("p", {}, h("a", { href: example }, "Open")));
}

function schema(name, value) {
  const properties = Object.entries(value.properties ?? {}).concat((value.allOf ?? []).flatMap((part) => Object.entries(part.properties ?? {})));
  const included = (value.allOf ?? []).filter(refName).map((part) => h("p", {}, "All of ", typeOf(part), ", and:"));
  const fields = properties.map(([field, type]) => h("tr", {}, h("td", {}, h("code", {}, field)), h("td", {}, typeOf(type)), h("td", {}, ...prose(type.description))));
  return h("details", { id: `schema-${name}` }, h("summary", {}, name), h("p", {}, ...prose(value.description)), ...included,
    fields.length ? rows(["Field", "Type", ""], fields) : h("p", {}, typeOf(value)));
}

const anchor = (path) => `get${path.replace(/[^a-z0-9]+/gi, "-")}`;

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
  target?.scrollIntoView();
}

async function start() {
  document.documentElement.dataset.theme = localStorage.getItem("vigie-theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
  const answer = await fetch("/openapi.json");
  const doc = await answer.json();
  const paths = Object.entries(doc.paths).filter(([, item]) => item.get);
  $("operations").replaceChildren();
  for (const tag of doc.tags) {
    const own = paths.filter(([, item]) => item.get.tags.includes(tag.name));
    $("operations").append(h("h2", {}, tag.name[0].toUpperCase() + tag.name.slice(1)), h("p", {}, tag.description ?? ""), ...own.map(([path, item]) => operation(path, item.get)));
    $("index").append(h("b", {}, tag.name), ...own.map(([path]) => h("a", { href: `#${anchor(path)}` }, path)));
  }
  $("index").append(h("b", {}, "More"), h("a", { href: "#problems" }, "Problems"), h("a", { href: "#schemas" }, "Schemas"));
  $("schemas").append(...Object.entries(doc.components.schemas).map(([name, value]) => schema(name, value)));
  addEventListener("hashchange", openTarget);
  openTarget();
}

start().catch((problem) => {
  console.error(problem);
  $("operations").replaceChildren(h("p", { class: "empty" }, "openapi.json could not be loaded. Reload the page to try again."));
});
