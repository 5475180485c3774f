/** Circles of imports, types included: files that can only be understood together. */

/** @param imports the files that each file imports. @returns the files of each circle, sorted. */
export function circlesOf(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  // R. Tarjan, "Depth-First Search and Linear Graph Algorithms", 1972.
  const indexes = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): number => {
    const index = indexes.size;
    indexes.set(file, index);
    stack.push(file);
    let low = index;
    for (const imported of imports.get(file) ?? []) {
      if (!indexes.has(imported)) low = Math.min(low, visit(imported));
      else if (stack.includes(imported)) low = Math.min(low, lowest.get(imported) ?? indexes.get(imported) ?? low);
      lowest.set(file, low);
    }
    lowest.set(file, low);
    if (low === index) {
      const circle = stack.splice(stack.indexOf(file));
      if (circle.length > 1 || imports.get(file)?.includes(file) === true) circles.push(circle.sort());
    }
    return low;
  };
  for (const file of imports.keys()) if (!indexes.has(file)) visit(file);
  return circles;
}
