// Where tiles and cells lie. Pure: numbers in, numbers out; no DOM.
// Lengths are CSS pixels at zoom 1.

const GAP = 10; // between zones
const TITLE = 20; // height of a zone's name
const LARGEST = 430, SMALLEST = 3;

const PARTS = /^(.*?)(\d*)$/s; // of a name, whatever is in it

/** node-2 before node-10; the same order as everywhere in kubeherd. */
export function natural(a, b) {
  const [, headA, numberA] = PARTS.exec(a), [, headB, numberB] = PARTS.exec(b);
  if (headA !== headB) return headA < headB ? -1 : 1;
  return Number(numberA) - Number(numberB) || (a < b ? -1 : a > b ? 1 : 0);
}

/** Tiles by zone: [{zone, names}], zones and names in order. */
export function zonesOf(tiles) {
  const zones = new Map();
  for (const tile of tiles) {
    const zone = tile.zone;
    if (!zones.has(zone)) zones.set(zone, []);
    zones.get(zone).push(tile.name);
  }
  return [...zones].sort(([a], [b]) => natural(a, b))
    .map(([zone, names]) => ({ zone, names: names.sort(natural) }));
}

/** How tall tiles may be, as shares of their width; small ones are squares. */
const SHAPES = [0.5, 0.62, 0.8, 1];

function heightOf(width, shape) {
  return width >= 200 ? width * Math.min(shape, 0.62) : width >= 60 ? width * shape : width;
}

/** The space between tiles so wide. */
export function spaceOf(width) {
  return width >= 60 ? 8 : width >= 14 ? 3 : 1;
}

/**
 * All zones within width x height with tiles as large as possible.
 * Gives {width, height (all that is taken), tile: {w, h}, zones: [{zone, count, x, y, w, h}],
 * places: Map(name -> {x, y})}.
 */
export function layout(zones, width, height) {
  const titled = zones.length > 1 || Boolean(zones[0]?.zone);
  let best = null;
  for (let columns = 1; columns <= Math.max(Math.min(zones.length, 6), 1); columns++) {
    const wide = (width - GAP * (columns - 1)) / columns;
    for (const shape of SHAPES) {
      const tile = largest(zones, { columns, wide, shape, titled }, height), h = heightOf(tile, shape);
      const area = tile * h;
      if (!best || area > best.area * 1.02) best = { tile, h, area, columns, wide, shape, titled };
    }
  }
  return placed(zones, best, width);
}

function largest(zones, grid, height) {
  for (let tile = Math.min(LARGEST, grid.wide); tile > SMALLEST; tile -= tile > 40 ? 2 : 0.5) {
    if (total(zones, grid, tile) <= height) return tile;
  }
  return SMALLEST;
}

function across(wide, tile) {
  const space = spaceOf(tile);
  return Math.max(Math.floor((wide + space) / (tile + space)), 1);
}

function tall(count, { wide, shape, titled }, tile) {
  const space = spaceOf(tile);
  return Math.ceil(count / across(wide, tile)) * (heightOf(tile, shape) + space) - space + (titled ? TITLE : 0);
}

/** Zones in rows of so many columns. */
function rows(zones, columns) {
  const found = [];
  for (let at = 0; at < zones.length; at += columns) found.push(zones.slice(at, at + columns));
  return found;
}

function total(zones, grid, tile) {
  return rows(zones, grid.columns).reduce((sum, row) =>
    sum + Math.max(...row.map((one) => tall(one.names.length, grid, tile))) + GAP, -GAP);
}

function placed(zones, grid, width) {
  const { tile, h, wide, titled } = grid, space = spaceOf(tile), per = across(wide, tile);
  const places = new Map(), boxes = [];
  let y = 0;
  for (const row of rows(zones, grid.columns)) {
    row.forEach(({ zone, names }, column) => {
      const x = column * (wide + GAP), top = y + (titled ? TITLE : 0);
      names.forEach((name, n) => places.set(name, {
        x: x + (n % per) * (tile + space), y: top + Math.floor(n / per) * (h + space),
      }));
      boxes.push({ zone, names, x, y, w: wide, h: tall(names.length, grid, tile) });
    });
    y += Math.max(...row.map((one) => tall(one.names.length, grid, tile))) + GAP;
  }
  return { width, height: Math.max(y - GAP, 0), tile: { w: tile, h }, zones: boxes, places, titled };
}

/** The side of the largest square of which count fit into width x height, at most `most`. */
export function cellSize(count, width, height, most = 22) {
  if (count < 1 || width <= 0 || height <= 0) return most;
  let side = Math.min(most, width, height);
  while (side > 1 && Math.floor(width / side) * Math.floor(height / side) < count) side -= 0.5;
  return Math.max(side, 1);
}

/** How much of a tile so wide on the screen can be told: "dot", "small", "tile" or "card". */
export function detail(width) {
  return width < 26 ? "dot" : width < 56 ? "small" : width < 150 ? "tile" : "card";
}

/** The tile at a place of the layout, by name; "" for none. */
export function tileAt(plan, x, y) {
  for (const box of plan.zones) {
    if (x < box.x || x > box.x + box.w || y < box.y || y > box.y + box.h) continue;
    const per = across(box.w, plan.tile.w), space = spaceOf(plan.tile.w);
    const column = Math.floor((x - box.x) / (plan.tile.w + space));
    const row = Math.floor((y - box.y - (plan.titled ? TITLE : 0)) / (plan.tile.h + space));
    if (column < per && row >= 0) return box.names[row * per + column] ?? "";
  }
  return "";
}

/** The next tile in a direction ("ArrowLeft", ...), by name; the first one if `name` is none. */
export function neighbour(plan, name, key) {
  const here = plan.places.get(name);
  if (!here) return plan.zones[0]?.names[0] ?? "";
  const sideways = key === "ArrowLeft" || key === "ArrowRight";
  const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  let best = name, least = Infinity;
  for (const [other, place] of plan.places) {
    const along = ((sideways ? place.x - here.x : place.y - here.y)) * sign;
    const off = Math.abs(sideways ? place.y - here.y : place.x - here.x);
    if (along < 1) continue;
    const far = along + off * 20;
    if (far < least) [best, least] = [other, far];
  }
  return best;
}
