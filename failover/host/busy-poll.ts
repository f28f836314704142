/**
 * What more than one CPU is good for: looking for something to do before sleeping
 * (lib/native/look.h), and a thread that sends (sender.c).
 */
import { availableParallelism } from 'node:os';

/** What Linux advises for net.core.busy_poll, microseconds. */
const USUAL_US = 50;

/**
 * With one CPU there is nobody whose answer could come while we look, and nobody who could send
 * meanwhile.
 */
export function severalCpus(): boolean {
  return availableParallelism() > 1;
}

/** How the thread that sends looks, or undefined where there is to be none. */
export function senderOptions(wanted: boolean, busyPollUs: number): { lookUs: number } | undefined {
  // Shorter looks than the loop's miss its next answer where a backup has to be heard first: an
  // echo took 80 us in `acked` mode instead of 32.
  return wanted ? { lookUs: busyPollUs } : undefined;
}

/** How long the event loop polls where nothing else is given. Microseconds; 0 with one CPU. */
export function usualBusyPollUs(): number {
  return severalCpus() ? USUAL_US : 0;
}
