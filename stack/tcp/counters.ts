/** Counters of one stack's TCP; stack/mib.ts has the standard ones under their MIB names. */
export class TcpCounters {
  activeOpens = 0;
  passiveOpens = 0;
  attemptFails = 0;
  estabResets = 0;
  inSegs = 0;
  outSegs = 0;
  retransSegs = 0;
  outRsts = 0;
  resetsReceived = 0;
  rtoTimeouts = 0;
  fastRetransmits = 0;
  tailProbes = 0;
  windowProbes = 0;
  keepalives = 0;
  delayedAcks = 0;
  outOfOrder = 0;
  outOfWindow = 0;
  pawsDropped = 0;
  /** Segments without timestamps on connections with timestamps. */
  timestampsMissing = 0;
  ackedUnsent = 0;
  challengeAcks = 0;
  reassemblyFull = 0;
  timeouts = 0;
  listenOverflows = 0;
  tableFull = 0;
  noConnection = 0;
  silenced = 0;
  dsacksSent = 0;
  dsacksReceived = 0;
  /** Recoveries and timeouts that were spurious. */
  spuriousRecoveries = 0;
  reorderingSeen = 0;
  sackReneging = 0;
  probeRepairs = 0;
  ecnMarks = 0;
  ecnReductions = 0;
  urgent = 0;
  /** Connections that shrank their segments because full ones went unanswered. */
  blackHoles = 0;
  /** Probes of the original segment size, and those that succeeded. */
  mtuProbes = 0;
  mtuRaised = 0;
  /** Fast Open: SYNs whose data we took, and SYNs of ours whose data was taken. */
  fastOpenPassive = 0;
  fastOpenActive = 0;
  /** Fast Open: invalid cookies, and SYNs beyond the listener's limit. */
  fastOpenRefused = 0;
  syncookiesSent = 0;
  syncookiesReceived = 0;
  syncookiesFailed = 0;
}
