/**
 * Bytes of JavaScript heap that a segment takes on its way through the stack, with the Buffer that
 * a program gets which does not only look.
 */
import { type Row, row } from '../goals.js';
import { allocated } from './bench.js';
import { segmentOperations } from './segments.js';

export function segmentBytes(): Row[] {
  return Object.entries(segmentOperations()).map(([name, operation]) =>
    row({
      name: `allocated: ${name.split(':')[0]}`,
      what: name,
      unit: 'bytes',
      ours: allocated(operation),
      against: 'goal',
      other: 0,
      goal: '<= 0',
      of: 'ours',
    }),
  );
}
