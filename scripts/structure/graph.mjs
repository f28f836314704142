// Graphs as maps from a node to the set of nodes that it points to.

/** Strongly connected components of two or more nodes (Tarjan 1972), each sorted. */
export function circlesOf(graph) {
  const index = new Map();
  const low = new Map();
  const stack = [];
  const onStack = new Set();
  const circles = [];
  const connect = (node) => {
    index.set(node, index.size);
    low.set(node, index.get(node));
    stack.push(node);
    onStack.add(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) {
        connect(next);
        low.set(node, Math.min(low.get(node), low.get(next)));
      } else if (onStack.has(next)) low.set(node, Math.min(low.get(node), index.get(next)));
    }
    if (low.get(node) !== index.get(node)) return;
    const circle = [];
    for (let other; other !== node; ) {
      other = stack.pop();
      onStack.delete(other);
      circle.push(other);
    }
    if (circle.length > 1) circles.push(circle.sort());
  };
  for (const node of [...graph.keys()].sort()) if (!index.has(node)) connect(node);
  return circles;
}

/**
 * The shortest way from a node to one that `reached` accepts, both ends included; undefined when
 * there is none.
 */
export function pathBetween(graph, from, reached) {
  const before = new Map([[from, undefined]]);
  const queue = [from];
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    if (node !== from && reached(node)) {
      const path = [];
      for (let at = node; at !== undefined; at = before.get(at)) path.unshift(at);
      return path;
    }
    for (const next of graph.get(node) ?? []) {
      if (before.has(next)) continue;
      before.set(next, node);
      queue.push(next);
    }
  }
  return undefined;
}

/** The graph without the arrows that a longer way implies. For graphs without circles. */
export function transitiveReduction(graph) {
  const reach = new Map();
  const reachable = (node) => {
    if (!reach.has(node)) {
      reach.set(node, new Set());
      for (const next of graph.get(node) ?? []) {
        reach.get(node).add(next);
        for (const far of reachable(next)) reach.get(node).add(far);
      }
    }
    return reach.get(node);
  };
  const reduced = new Map();
  for (const [node, targets] of graph) {
    const implied = new Set();
    for (const next of targets) for (const far of reachable(next)) if (far !== next) implied.add(far);
    reduced.set(node, new Set([...targets].filter((to) => !implied.has(to))));
  }
  return reduced;
}

/**
 * Each node's floor: one above the highest node that it points to. A circle counts as if its last
 * arrow were not there.
 */
export function floorsOf(graph) {
  const floors = new Map();
  const floor = (node) => {
    if (!floors.has(node)) {
      floors.set(node, 0);
      floors.set(node, 1 + Math.max(-1, ...[...(graph.get(node) ?? [])].map(floor)));
    }
    return floors.get(node);
  };
  for (const node of graph.keys()) floor(node);
  return floors;
}
