/** What more than one CPU is good for: looking for something to do before sleeping (lib/native/look.h), and a thread that sends (sender.c). */
import { availableParallelism } from 'node:os';
import { FtError } from '../../lib/errors.js';

/** What Linux advises for net.core.busy_poll, microseconds. */
const USUAL_US = 50;
/** Longer than a scheduler's slice would be no look any more. */
const MOST_US = 1000;

/** With one CPU there is nobody whose answer could come while we look, and nobody who could send meanwhile. */
export function severalCpus(): boolean {
  return availableParallelism() > 1;
}

/** How the thread that sends looks, or undefined where there is to be none. */
export function senderOptions(wanted: boolean, busyPollUs: number): { lookUs: number } | undefined {
  // Shorter looks than the loop's miss its next answer where a backup has to be heard first: an echo took 80 us in `acked` mode instead of 32.
  return wanted ? { lookUs: busyPollUs } : undefined;
}

/** Reads `--busy-poll`. Throws FtError ERR_FT_USAGE. */
export function busyPollArgument(text: string | undefined): number {
  if (text === undefined) return severalCpus() ? USUAL_US : 0;
  if (/^\d{1,4}$/.test(text) && Number(text) <= MOST_US) return Number(text);
  throw new FtError(
    'ERR_FT_USAGE',
    `--busy-poll ${text} is not right`,
    `Write it like --busy-poll ${USUAL_US} (microseconds, 0 to ${MOST_US})`,
  );
}
