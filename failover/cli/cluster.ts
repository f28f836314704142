/** `ft-tcp run --cluster`: the agent of one machine. It starts the replica's process and stays with it. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import { Agent } from '../cluster/agent/agent.js';
import { CLUSTER_STATUS, type ClusterStatus } from '../cluster/agent/status.js';
import { type ClusterConfig, readClusterConfig } from '../cluster/config.js';
import type { Coordinator } from '../cluster/coordinator/coordinator.js';
import { EtcdCoordinator } from '../cluster/coordinator/etcd.js';
import { FenceCommandCoordinator, fenceCommand } from '../cluster/coordinator/fence-command.js';
import { FileLockCoordinator } from '../cluster/coordinator/file-lock.js';
import { ReplicaProcess } from '../cluster/replica-process.js';
import { Links } from '../cluster/transport/links.js';
import { Doorbells } from '../host/doorbells.js';
import { Group } from '../host/group-directory.js';
import { ownPid } from '../host/own-pid.js';
import { listenAt } from '../host/unix-socket.js';
import type { RunArguments } from './run-options.js';

const TICK_MS = 10;
/** An agent that has worked for longer, by and large encrypting, is behind, and nobody waits for what comes next. Microseconds. */
const HARD_WORK_US = 5000;
/** A member that is asked to end gets so long. */
const LEAVE_MS = 6000;

function coordinatorOf(config: ClusterConfig, group: string): Coordinator {
  const { coordinator, self, nodes } = config;
  if (coordinator.type === 'etcd') return new EtcdCoordinator(coordinator, group, self.name, systemClock);
  if (coordinator.type === 'lock') {
    mkdirSync(coordinator.directory, { recursive: true, mode: 0o700 });
    const wait = (us: number): Promise<void> => new Promise((done) => setTimeout(done, us / 1000));
    return new FileLockCoordinator(coordinator, group, self.name, ownPid, native(), systemClock, wait);
  }
  const others = nodes.map(({ name }) => name).filter((name) => name !== self.name);
  return new FenceCommandCoordinator(self.name, others, fenceCommand(coordinator));
}

/** Runs until this machine's part is over. @returns the exit code. */
export async function clusterCommand(args: RunArguments, argv: string[]): Promise<number> {
  const config = readClusterConfig(args.cluster!, args.node);
  const addon = native();
  const group = new Group(addon, args.directory, args.group);
  if (addon.lockFile(group.file('agent.lock')) < 0) {
    throw new FtError('EBUSY', `Another agent has the group ${args.group} on this machine`, 'See ft-tcp status');
  }
  const { self } = config;
  const note = (event: string, more: object): void =>
    void process.stderr.write(`${JSON.stringify({ event, pid: ownPid, node: self.name, ...more })}\n`);
  let finish = (_code: number): void => undefined;
  const finished = new Promise<number>((done) => {
    finish = done;
  });
  /** What cannot be mended here, as a log that there is no room for, ends the agent with a word. */
  const guard = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      const text = error instanceof FtError ? error.message : error instanceof Error ? error.stack : String(error);
      process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: ${text}\n`);
      finish(1);
    }
  };
  const coordinator = coordinatorOf(config, args.group);
  // One doorbell has one listener: the agent takes the part that the member has not.
  const bells = new Doorbells(addon, group, () =>
    guard(() => (agent.role === 'leading' ? agent.pump() : agent.step())),
  );
  let part: 'primary' | 'backup' | null = null;
  const member = new ReplicaProcess(
    group,
    argv,
    (code, signal) => {
      if (code !== 0) note('member-died', { code, signal });
      guard(() => agent.memberEnded(code));
    },
    (role) => {
      const ours = role === 'backup' ? 'primary' : 'backup';
      if (part !== ours) {
        part = ours;
        bells.open(ours);
      }
      bells.ring();
    },
  );
  const links = new Links(
    config,
    { group: args.group, node: self.name, incarnation: randomBytes(8).toString('hex') },
    {
      up: (peer, incarnation) => {
        note('peer-up', { peer });
        guard(() => agent.linkUp(peer, incarnation));
      },
      down: (peer) => {
        note('peer-down', { peer });
        guard(() => agent.linkDown(peer));
      },
      message: (peer, type, body) => guard(() => agent.message(peer, type, body)),
      writable: () => guard(() => agent.pump()),
    },
  );
  const agent: Agent = new Agent(
    {
      self: self.name,
      nodes: config.nodes.map(({ name }) => name),
      stable: config.stable,
      lostMs: config.lostMs,
      freshMs: config.freshMs,
      hangMs: args.options.hangTimeoutMs,
      unasked: config.coordinator.type === 'static',
    },
    { links, coordinator, member, clock: systemClock, note, finished: (code) => finish(code) },
  );
  // The log's way to another machine is four processes long: each of them that need not be woken counts.
  const hook = addon.loopHook(() => false, 1);
  addon.loopLook(hook, args.options.busyPollUs ?? 0, HARD_WORK_US);
  await links.open();
  const status = await listenAt(
    net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(JSON.stringify(clusterStatus(agent, links, coordinator)));
    }),
    group.file(CLUSTER_STATUS),
  );
  const ticking = setInterval(() => guard(() => agent.step()), TICK_MS);
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) finish(1);
      asked = true;
      agent.leave();
      setTimeout(() => finish(1), LEAVE_MS).unref();
    });
  }
  const code = await finished;
  clearInterval(ticking);
  member.kill();
  status.close();
  // What was said last is still to leave.
  await new Promise((done) => setTimeout(done, 50));
  links.close();
  coordinator.close();
  return code;
}

function clusterStatus(agent: Agent, links: Links, coordinator: Coordinator): ClusterStatus {
  const { leader } = agent;
  const peers: ClusterStatus['peers'] = {};
  for (const [name, peer] of agent.peers) {
    const feed = leader?.feeds.get(name);
    peers[name] = {
      up: peer.up,
      role: peer.status?.role ?? null,
      epoch: peer.status?.epoch ?? 0,
      ready: peer.status?.ready === true,
      lagBytes:
        feed === undefined || feed.acked === null || leader === null ? null : ((leader.head - feed.acked) | 0) * 8,
    };
  }
  const until = coordinator.speakUntilUs - systemClock.now();
  return {
    node: agent.options.self,
    pid: ownPid,
    role: agent.role,
    epoch: agent.epoch,
    inSync: leader?.state.inSync ?? null,
    stable: leader?.state.stable ?? null,
    speaksForMs: agent.role !== 'leading' || until <= 0 ? 0 : Number.isFinite(until) ? Math.floor(until / 1000) : null,
    peers,
    counters: { agent: { ...agent.counters }, links: { ...links.counters }, leader: { ...(leader?.counters ?? {}) } },
  };
}
