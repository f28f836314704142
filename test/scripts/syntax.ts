/** The words of packet scripts: addresses, times and the fields of segments. */

/** A line of a script that cannot be read, or whose expectation fails. */
export class ScriptError extends Error {}

/** An IPv4 address as a number. */
export function ip(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** "1.5s", "200ms", "7us" or plain microseconds. */
export function micros(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|m|h)?$/.exec(text);
  if (match === null) throw new ScriptError(`"${text}" is no time`);
  const unit = { us: 1, ms: 1000, s: 1e6, m: 60e6, h: 3600e6 }[match[2] ?? 'us'] ?? 1;
  return Math.round(Number(match[1]) * unit);
}

/** The fields of a segment, as a script writes them. */
export interface Fields {
  flags: string;
  values: Map<string, string>;
}

/** "SA seq 0 ack 1 len 10 mss 1460 ts 5 3 sack 10-20,30-40 nop" as flags and named values. */
export function fields(text: string): Fields {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const flags = words.shift() ?? '';
  const values = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const name = words[i];
    if (name === 'ts') {
      values.set('ts', `${words[i + 1]} ${words[i + 2]}`);
      i += 2;
    } else if (
      name === 'sackok' ||
      name === 'ce' ||
      name === 'ect' ||
      name === 'nosack' ||
      name === 'nots' ||
      name === 'notfo' ||
      name === 'badsum'
    ) {
      values.set(name, '');
    } else {
      values.set(name, words[i + 1] ?? '');
      i++;
    }
  }
  return { flags, values };
}

/** Flags in one order, without the dots. */
export function normal(flags: string): string {
  return [...flags]
    .filter((letter) => letter !== '.')
    .sort()
    .join('');
}
