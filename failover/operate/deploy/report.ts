/** The report of a deploy, as JSON and for people. */
import { MOVED_KINDS, type MovedConnections, RESET_REASONS } from '../../connections/checkpoint/moved-connections.js';

/** What a deploy has done. */
export interface DeployReport {
  /** `deployed`: the new version serves. `rolled-back`: it served, and the old one does again. */
  readonly outcome: 'deployed' | 'rolled-back';
  /** Why it was rolled back. */
  readonly reason?: string;
  readonly from: { readonly program: string; readonly pid: number };
  readonly to: { readonly program: string; readonly pid: number };
  /** How long the new version took to load, listen and pass its check, milliseconds. */
  readonly prepareMs: number;
  /** From the last input of the old version to the first frame of the new one, milliseconds. */
  readonly pauseMs: number;
  /** Connections at that moment. */
  readonly connections: number;
  readonly moved: MovedConnections['moved'];
  readonly reset: MovedConnections['reset'];
  readonly waiting: number;
  /** The standby that the group has now: which version it runs; null: none. */
  readonly standby: { readonly program: string; readonly pid: number } | null;
}

/** The report for people. */
export function reportText(report: DeployReport): string {
  const { outcome, from, to, standby } = report;
  const lines = [
    outcome === 'deployed'
      ? `deployed: ${to.program} (process ${to.pid}) serves instead of ${from.program}`
      : `rolled back: ${to.program} (process ${to.pid}) serves again; ${report.reason}`,
    `pause: ${report.pauseMs.toFixed(1)} ms; ready after ${(report.prepareMs / 1000).toFixed(1)} s`,
    `connections: ${report.connections}`,
  ];
  const add = (count: number, what: string): void => void (count > 0 && lines.push(`  ${count} ${what}`));
  for (const [kind, text] of Object.entries(MOVED_KINDS))
    add(report.moved[kind as keyof typeof MOVED_KINDS], `moved: ${text}`);
  add(report.waiting, 'moved: not accepted before');
  for (const [reason, text] of Object.entries(RESET_REASONS))
    add(report.reset[reason as keyof typeof RESET_REASONS], `reset: ${text}`);
  lines.push(standby === null ? 'standby: none' : `standby: ${standby.program} (process ${standby.pid})`);
  return `${lines.join('\n')}\n`;
}
