// Label selectors as kubectl reads them. Pure.
//   app=x, tier!=db, zone in (a, b), disk notin (hdd), gpu, !spot
// A word alone is also looked for in names, so that "node-1" finds node-1, node-10, ...

const WORD = "[A-Za-z0-9][-A-Za-z0-9_./]*";
const SET = new RegExp(`^(${WORD})\\s+(in|notin)\\s+\\(([^()]*)\\)$`);
const EQUAL = new RegExp(`^(${WORD})\\s*(==|=|!=)\\s*((?:[A-Za-z0-9][-A-Za-z0-9_.]*)?)$`);
const EXISTS = new RegExp(`^(!?)\\s*(${WORD})$`);

/** {terms, error}: what a selector demands; error is "" or what is wrong with it. */
export function parse(text) {
  const terms = [];
  for (const part of split(text)) {
    const term = one(part.trim());
    if (!term) return { terms: [], error: `cannot read "${part.trim()}" (try: app=web, zone in (a, b), !spot)` };
    terms.push(term);
  }
  return { terms, error: "" };
}

function split(text) {
  return text.trim() ? text.split(/,(?![^(]*\))/) : [];
}

function one(part) {
  let found = SET.exec(part);
  if (found) return { key: found[1], op: found[2], values: found[3].split(",").map((v) => v.trim()) };
  found = EQUAL.exec(part);
  if (found) return { key: found[1], op: found[2] === "!=" ? "notin" : "in", values: [found[3]] };
  found = EXISTS.exec(part);
  return found ? { key: found[2], op: found[1] ? "absent" : "present", values: [] } : null;
}

/** Selectors that tell these tiles apart, those of most nodes first: at most `most`. */
export function suggestions(tiles, most = 30) {
  const counts = new Map(), values = new Map();
  let all = 0;
  for (const { labels } of tiles) {
    all += 1;
    for (const [key, value] of Object.entries(labels)) {
      const term = `${key}=${value}`;
      if (!counts.has(term)) values.set(key, (values.get(key) ?? 0) + 1);
      counts.set(term, (counts.get(term) ?? 0) + 1);
    }
  }
  return [...counts].filter(([term, count]) => count < all && (values.get(term.split("=")[0]) < all / 2 || count > 1))
    .sort(([, a], [, b]) => b - a).slice(0, most).map(([term]) => term);
}

/** Whether labels (an object) and a name fulfil the terms of `parse`. */
export function matches(terms, labels = {}, name = "") {
  return terms.every(({ key, op, values }) => {
    const has = Object.hasOwn(labels, key);
    if (op === "in") return has && values.includes(labels[key]);
    if (op === "notin") return !has || !values.includes(labels[key]);
    if (op === "absent") return !has;
    return has || name.includes(key);
  });
}
