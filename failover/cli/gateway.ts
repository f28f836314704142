/** `ft-tcp gateway` and its commands. */
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { ExitCode } from '../admin/error-codes.js';
import { askReplicas } from '../admin/replicas.js';
import type { ReplicaStatus } from '../admin/status.js';
import { askGateway, type GatewayReport, gatewaySocketPath, reportOf, serveGateway } from '../gateway/admin.js';
import { readGatewayConfig } from '../gateway/config.js';
import { Gateway } from '../gateway/gateway.js';
import { requireDevice } from '../host/device-check.js';
import { Group } from '../host/group-directory.js';
import { requireSupportedNode } from '../host/node-version.js';
import { ownPid } from '../host/own-pid.js';
import { GATEWAY_PROGRAM } from '../replica/agreement.js';
import type { Replica } from '../replica/replica.js';
import { startReplica } from '../replica/start.js';
import { createDevice, deviceUse } from './create-device.js';
import { connectionsArguments, type GatewayArguments, gatewayArguments, reloadArguments } from './gateway-options.js';
import { findGroup } from './group-options.js';
import { Reporting } from './reporting.js';
import { bindToAgent, keepMemory, reportEvents } from './run.js';
import { RunningReplica } from './running-replica.js';

/**
 * Runs a replica of a gateway, or the agent with `--cluster`. The arguments are those of
 * `ft-tcp gateway`.
 *
 * Throws FtError ERR_FT_USAGE, ERR_FT_CONFIG, ERR_FT_NODE_VERSION, and what opening the group, the
 * device and the services throws.
 * @returns the exit code, once the agent has ended. A replica ends the process itself: for it the
 * promise stays pending.
 */
export async function gatewayCommand(argv: string[]): Promise<number> {
  requireSupportedNode(process.versions.node);
  const args = gatewayArguments(argv);
  if (args.cluster !== undefined && args.member === undefined) {
    const { clusterCommand } = await import('./cluster.js');
    return await clusterCommand(args, ['gateway', ...argv]);
  }
  const addon = native();
  keepMemory(addon);
  if (args.member !== undefined) bindToAgent(addon, args.options.agentPid);
  const group = new Group(addon, args.directory, args.group);
  const reporting = new Reporting(group, args);
  const { report } = reporting;
  // Replicas that were killed have left their sockets.
  await askReplicas(group);
  if (args.create) createDevice(args.options);
  requireDevice({ ...deviceUse(args.options), addresses: args.options.addresses });
  const replica = await startReplica({
    replica: { ...args.options, group, ringBytes: args.logBytes },
    program: { argv: ['gateway'], digest: GATEWAY_PROGRAM },
    ...(args.member === undefined ? {} : { assignedRole: args.member }),
    restartWindowSeconds: args.restartWindow,
    events: {
      role: (role, resumesPid) => report('role', resumesPid === undefined ? { role } : { role, resumesPid }),
      resumeSkipped: (reason) => report('resume-skipped', { reason }),
      resumed: (resumed) => report('resumed', { ...resumed, beginAnew: '--restart-window 0' }),
      variablesDiffer: () => undefined,
    },
  });
  if (replica === null) {
    report('group-ended', {});
    return ExitCode.Ok;
  }
  reporting.watch(replica);
  reportEvents(replica, report);
  const wrote = (conn: number, bytes: Uint8Array): void => replica.checks.sink?.wrote(conn, bytes);
  const gateway = new Gateway(replica.stack, wrote, args.services);
  gateway.onHealth = ({ settings }, { name, up }) =>
    report(up ? 'server-up' : 'server-down', { service: settings.name, server: name });
  replica.connections.resident = gateway;
  const { graceMs, metrics } = args;
  const hasAgent = args.member !== undefined;
  const running = await RunningReplica.serve(replica, group, { graceMs, hasAgent, report, metrics });
  running.endOnSignals();
  running.endOnFailure();
  running.watchPlace(args.options.tap);
  const path = gatewaySocketPath((name) => group.file(name), ownPid);
  running.closeAtEnd(await serveGateway(path, (question) => answer(question, gateway, replica, args)));
  if (replica.role === 'primary') {
    replica.beginStart();
    gateway.open();
    replica.programStarted();
  } else {
    replica.once('startProgram', () => {
      replica.beginStart();
      replica.programStarted();
    });
    replica.follow();
  }
  return new Promise<number>(() => undefined);
}

function answer(
  question: 'report' | 'check' | 'reload',
  gateway: Gateway,
  replica: Replica,
  { config }: GatewayArguments,
): object {
  if (question === 'report') return reportOf(gateway, replica.role, replica.stack.relays.counters.relays);
  if (config === undefined)
    throw new FtError('ERR_FT_USAGE', 'This gateway was started without --config', 'Start it with a file');
  const services = readGatewayConfig(config);
  for (const { listen } of services) replica.stack.listenAddress(listen.address);
  if (question === 'reload') gateway.reload(services);
  return { ok: true };
}

/** The replicas of a group, the primary first. Throws FtError ERR_FT_NO_PRIMARY. */
async function replicasOf(values: { group: string; dir: string | undefined }): Promise<[Group, ReplicaStatus[]]> {
  const group = findGroup(values);
  const { replicas } = group === null ? { replicas: [] } : await askReplicas(group);
  if (group === null || replicas[0]?.role !== 'primary')
    throw new FtError('ERR_FT_NO_PRIMARY', `No primary of group ${values.group} answers`, 'See ft-tcp status');
  return [group, replicas];
}

/**
 * `ft-tcp gateway reload`. @returns 0.
 * Throws FtError ERR_FT_NO_PRIMARY, ERR_FT_CONFIG, ERR_FT_UNRESPONSIVE.
 */
export async function gatewayReload(argv: string[]): Promise<number> {
  const values = reloadArguments(argv);
  const [group, replicas] = await replicasOf(values);
  // All are asked first: a mistake changes nothing anywhere.
  for (const question of ['check', 'reload'] as const)
    for (const { pid } of replicas)
      await askGateway(
        gatewaySocketPath((name) => group.file(name), pid),
        question,
      );
  process.stdout.write(`group ${values.group}: ${replicas.length} replicas use the new file\n`);
  return ExitCode.Ok;
}

/**
 * `ft-tcp gateway connections`. @returns 0. Throws FtError ERR_FT_NO_PRIMARY, ERR_FT_UNRESPONSIVE.
 */
export async function gatewayConnections(argv: string[]): Promise<number> {
  const values = connectionsArguments(argv);
  const [group, [primary]] = await replicasOf(values);
  const reply = await askGateway(
    gatewaySocketPath((name) => group.file(name), primary.pid),
    'report',
  );
  if (reply === null)
    throw new FtError('ERR_FT_NO_PRIMARY', `No primary of group ${values.group} answers`, 'See ft-tcp status');
  const report = reply as GatewayReport;
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : reportText(report));
  return ExitCode.Ok;
}

function reportText({ services, connections, relays }: GatewayReport): string {
  const lines: string[] = [];
  for (const { name, listen, relays: own, connecting, waiting, servers } of services) {
    lines.push(`service ${name}  ${listen}  relays ${own}  connecting ${connecting}  waiting ${waiting}`);
    for (const server of servers)
      lines.push(
        `  ${server.name}  ${server.up ? 'up' : 'DOWN'}  active ${server.active}  connections ${server.connections}`,
      );
  }
  for (const one of connections)
    lines.push(
      `${one.client} -> ${one.server}  ${one.service}  ${one.ageSeconds} s  ` +
        `${one.bytesFromClient} B up, ${one.bytesFromServer} B down  ${one.clientState}/${one.serverState}`,
    );
  if (relays > connections.length) lines.push(`${relays - connections.length} more`);
  return `${lines.join('\n')}\n`;
}
