// JSON as YAML, as kubectl -o yaml shows it. Pure.

const PLAIN = /^[A-Za-z_/][-A-Za-z0-9_./ ()=+]*$/;
const WORDS = /^(true|false|null|yes|no|on|off|y|n|~)$/i;

function scalar(value, pad) {
  if (typeof value !== "string") return String(value);
  if (value.includes("\n") && !/[^\S\n]\n|[\x00-\x08\x0b-\x1f\x7f]/.test(value)) {
    const keep = value.endsWith("\n") ? "" : "-";
    return `|${keep}\n${value.replace(/\n$/, "").split("\n").map((line) => line && `${pad}${line}`).join("\n")}`;
  }
  const plain = PLAIN.test(value) && !WORDS.test(value) && !value.endsWith(" ");
  return plain ? value : JSON.stringify(value);
}

/** A value as lines of YAML, indented by `pad`. */
export function yaml(value, pad = "") {
  if (Array.isArray(value)) {
    return value.map((one) => `${pad}- ${nested(one) ? yaml(one, `${pad}  `).slice(pad.length + 2) : inline(one, `${pad}  `)}`).join("\n");
  }
  return Object.entries(value).map(([key, one]) => {
    const name = scalar(key, "");
    if (!nested(one)) return `${pad}${name}: ${inline(one, `${pad}  `)}`;
    return `${pad}${name}:\n${yaml(one, Array.isArray(one) ? pad : `${pad}  `)}`;
  }).join("\n");
}

const nested = (value) => typeof value === "object" && value !== null && Object.keys(value).length > 0;

function inline(value, pad) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "[]";
  return typeof value === "object" ? "{}" : scalar(value, pad);
}
