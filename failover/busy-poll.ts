/** How long an event loop looks for something to do before it sleeps (lib/native/hook.c). */
import { availableParallelism } from 'node:os';
import { FtError } from '../lib/errors.js';

/** What Linux advises for net.core.busy_poll, microseconds. */
const USUAL_US = 50;
/** Longer than a scheduler's slice would be no look any more. */
const MOST_US = 1000;

/** Microseconds; with one CPU there is nobody whose answer could come while we look. */
export function usualBusyPoll(): number {
  return availableParallelism() > 1 ? USUAL_US : 0;
}

/** Reads `--busy-poll`. Throws FtError ERR_FT_USAGE. */
export function busyPollArgument(text: string | undefined): number {
  if (text === undefined) return usualBusyPoll();
  if (/^\d{1,4}$/.test(text) && Number(text) <= MOST_US) return Number(text);
  throw new FtError(
    'ERR_FT_USAGE',
    `--busy-poll ${text} is not right`,
    `Write it like --busy-poll ${USUAL_US} (microseconds, 0 to ${MOST_US})`,
  );
}
