/** Finds the known name that a mistyped one was probably meant to be. */

/** Names that differ in more than two of five letters are not proposed. Letters for each edit. */
const LETTERS_PER_EDIT = 2.5;
/** For a shorter name nothing is proposed. */
const MIN_LETTERS = 3;

/** Edits (insert, delete, replace) between two texts (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** @returns the nearest of the known names, or undefined when none is near */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length < MIN_LETTERS) return undefined;
  const begun = known.filter((one) => one.startsWith(name) || name.startsWith(one));
  let best = begun.sort((a, b) => a.length - b.length)[0];
  let least = Math.floor(name.length / LETTERS_PER_EDIT) + 1;
  if (best !== undefined) return best;
  for (const one of known) {
    // Of a long name the first letters may be enough.
    const edits = Math.min(distance(name, one), distance(name, one.slice(0, name.length)));
    if (edits < least) {
      least = edits;
      best = one;
    }
  }
  return best;
}
