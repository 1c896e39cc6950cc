/**
 * A flame graph: each box is a function, as wide as its share of the samples, standing on its
 * caller. Left and right mean nothing. Orange is ours, blue the kernel, grey the rest.
 */

interface Frame {
  name: string;
  dso: string;
}

/** How often each stack was seen; the outermost function comes first. */
export type Stacks = { frames: Frame[]; count: number }[];

interface Node extends Frame {
  count: number;
  callees: Map<string, Node>;
}

const WIDTH = 1200;
const ROW = 15;
const MARGIN = 24;
const SHARE_MIN = 0.004; // narrower boxes are left out
const LETTER = 6.3; // width of one at this font size

/** Reads what `perf script -F comm,ip,sym,dso` prints: a line with the thread, then its stack. */
export function foldStacks(script: string): Stacks {
  const counts = new Map<string, Stacks[number]>();
  for (const sample of script.split('\n\n')) {
    const [thread = '', ...lines] = sample.split('\n').filter((line) => line.trim() !== '');
    const stack = lines.flatMap((line) => {
      const match = /^\s*[0-9a-f]+ (.+) \((.*)\)$/.exec(line);
      if (match === null || match[1] === '[unknown]') return [];
      return [{ name: nameOf(match[1] ?? ''), dso: match[2] ?? '' }];
    });
    if (stack.length === 0) continue;
    const frames = [{ name: thread.trim(), dso: '' }, ...stack.reverse()];
    const key = frames.map(({ name }) => name).join(';');
    const seen = counts.get(key);
    if (seen === undefined) counts.set(key, { frames, count: 1 });
    else seen.count += 1;
  }
  return [...counts.values()];
}

/** Without arguments, template parameters and our namespaces, which say little. */
function nameOf(symbol: string): string {
  return symbol
    .replace(/\(anonymous namespace\)::/g, '')
    .replace(/\(.*$/, '')
    .replace(/aurochs::/g, '')
    .replace(/\.(isra|constprop|part|cold).*$/, '');
}

function treeOf(stacks: Stacks): Node {
  const root: Node = { name: 'all', dso: '', count: 0, callees: new Map() };
  for (const { frames, count } of stacks) {
    root.count += count;
    let node = root;
    for (const frame of frames) {
      const callee = node.callees.get(frame.name) ?? { ...frame, count: 0, callees: new Map() };
      node.callees.set(frame.name, callee);
      callee.count += count;
      node = callee;
    }
  }
  return root;
}

function colorOf(dso: string): string {
  if (dso.includes('aurochs')) return '#f4a259';
  return dso.includes('kernel') ? '#8ab6d6' : '#cfcfcf';
}

const escaped = (text: string) =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

export function flameGraph(title: string, stacks: Stacks): string {
  const root = treeOf(stacks);
  const boxes: { node: Node; x: number; depth: number }[] = [];
  const place = (node: Node, x: number, depth: number): void => {
    if (node.count / root.count < SHARE_MIN) return;
    boxes.push({ node, x, depth });
    let left = x;
    for (const callee of [...node.callees.values()].sort((a, b) => a.name.localeCompare(b.name))) {
      place(callee, left, depth + 1);
      left += (callee.count / root.count) * WIDTH;
    }
  };
  place(root, 0, 0);
  const height = MARGIN + (Math.max(...boxes.map(({ depth }) => depth)) + 1) * ROW;
  const drawn = boxes.map(({ node, x, depth }) => {
    const share = node.count / root.count;
    const width = share * WIDTH;
    const y = height - (depth + 1) * ROW;
    const label = escaped(node.name);
    const letters = Math.floor(width / LETTER);
    const text =
      letters < 4
        ? ''
        : `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${escaped(node.name.slice(0, letters))}</text>`;
    const at = `x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}"`;
    const tip = `<title>${label} ${(share * 100).toFixed(1)} %</title>`;
    return `<g>${tip}<rect ${at} fill="${colorOf(node.dso)}"/>${text}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="10.5">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="4" y="15" font-size="13">${escaped(title)}: ${root.count} samples of the server</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}
