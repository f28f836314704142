/**
 * What the models of congestion control promise: payload bits per second over a path with random
 * loss.
 */
import { FRAME, MSS } from './network.js';

/**
 * Mean window of Reno in segments (Mathis et al. 1997; one acknowledged byte counts once, however
 * acknowledged).
 */
export function renoWindow(loss: number): number {
  return Math.sqrt(3 / (2 * loss));
}

/**
 * Mean window of CUBIC in segments (RFC 9438 section 5.1, C 0.4, beta 0.7); Reno's where that is
 * larger (section 4.3).
 */
export function cubicWindow(loss: number, rttS: number): number {
  return Math.max(1.054 * (rttS / loss) ** 0.75, renoWindow(loss));
}

/** What is left of the bottleneck for payload. */
export function payloadRate(rate: number): number {
  return (rate * MSS) / FRAME;
}

/** The smaller of what the bottleneck and what congestion control allow. */
export function expectedRate(congestion: 'cubic' | 'newreno', rate: number, rttMs: number, loss: number): number {
  const most = payloadRate(rate);
  if (loss === 0) return most;
  // An empty path's round trip: the window that loss allows would not fill a queue.
  const rttS = rttMs / 1000 + (FRAME * 8) / rate;
  const window = congestion === 'cubic' ? cubicWindow(loss, rttS) : renoWindow(loss);
  return Math.min(most, (window * MSS * 8) / rttS);
}
