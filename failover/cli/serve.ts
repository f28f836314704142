/** `ft-tcp serve`: the classic services on a stack of their own, without failover. */
import type { FrameDevice } from '../../lib/device/device.js';
import { CapturedDevice, type CaptureWriter, PcapWriter } from '../../lib/device/pcap.js';
import { PcapngWriter } from '../../lib/device/pcapng.js';
import { TapDevice, type TapOptions } from '../../lib/device/tap.js';
import { VlanTrunk } from '../../lib/device/vlan.js';
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';
import { Cubic, NewReno, Stack, StackHost } from '../../stack/index.js';
import { defaultBusyPollUs, senderOptions, severalCpus } from '../host/busy-poll.js';
import { requireDevice } from '../host/device-check.js';
import { tryClaimDevice } from '../host/device-claim.js';
import { type ServeOptions, serveOptions } from './serve-options.js';
import { startService } from './services.js';

/** A device that was made for replicas has several queues: this process uses one of them. */
function openTap(options: TapOptions): TapDevice {
  try {
    return TapDevice.open(options);
  } catch (error) {
    if (errorCode(error) !== 'EINVAL') throw error;
    return TapDevice.open({ ...options, multiQueue: true });
  }
}

/** Opens the device with its capture and VLAN. `onError`: the device is gone. */
function openDevice(options: ServeOptions, name: string, onError: (error: FtError) => void): FrameDevice {
  const tap = openTap({
    name,
    mode: options.tun === undefined ? 'tap' : 'tun',
    offload: !options['no-offload'] && options.vlan === undefined,
    sender: senderOptions(!options['no-send-thread'] && severalCpus(), busyPollUs(options)),
    onError,
  });
  let device: FrameDevice = tap;
  if (options.pcap !== undefined) {
    const writer = captureWriter(options.pcap, name, device);
    device = new CapturedDevice(device, writer, () => systemClock.wall());
  }
  return options.vlan === undefined ? device : new VlanTrunk(device).open(options.vlan);
}

function captureWriter(file: string, name: string, device: FrameDevice): CaptureWriter {
  if (!file.endsWith('.pcapng')) return new PcapWriter(file, device.link);
  const writer = new PcapngWriter(file);
  writer.addInterface(name, device.link);
  return writer;
}

function busyPollUs(options: ServeOptions): number {
  return options['busy-poll'] ?? defaultBusyPollUs();
}

function openStack(options: ServeOptions, name: string, device: FrameDevice): Stack {
  const { ecn, congestion } = options;
  const stack = new Stack({
    clock: systemClock,
    random: systemRandom,
    forwarding: options.forward,
    tcp: { ecn, congestion: congestion === 'newreno' ? (mss) => new NewReno(mss) : (mss) => new Cubic(mss) },
  });
  stack.addInterface(device, {
    name,
    addresses: options.ip,
    gateway: options.gateway,
    ...(options.mac === undefined ? {} : { mac: options.mac }),
    autoconfigure: options.autoconfigure,
    probe: options.probe,
  });
  return stack;
}

/**
 * Runs until a signal comes or the device is gone.
 * @returns the exit code. Throws FtError ERR_FT_USAGE, or the device's error.
 */
export async function serveCommand(argv: string[]): Promise<number> {
  const options = serveOptions(argv);
  const name = options.tun ?? options.tap ?? 'ft0';
  const mode = options.tun === undefined ? 'tap' : 'tun';
  requireDevice({ name, mode, multiQueue: false, offload: !options['no-offload'], addresses: options.ip });
  if (!tryClaimDevice(native(), name))
    throw new FtError('EBUSY', `Another ft-tcp process uses the device ${name}`, 'Choose another one with --tap');
  let exitCode = 0;
  let stop = (): void => undefined;
  const device = openDevice(options, name, (error) => {
    process.stderr.write(`ft-tcp: ${error.code}: ${error.message}\n`);
    exitCode = 1;
    stop();
  });
  const stack = openStack(options, name, device);
  const host = new StackHost(stack, native(), { busyPollUs: busyPollUs(options) });
  for (const net of stack.interfaces) net.announce();
  const now = (): Date => new Date(systemClock.wall());
  const running = options.services.map(([service, port]) => startService(host, service, port, now));
  const services = Object.fromEntries(options.services);
  process.stdout.write(`${JSON.stringify({ event: 'ready', device: name, addresses: options.ip, services })}\n`);
  await new Promise<void>((resolve) => {
    stop = resolve;
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  for (const service of running) service.close();
  // One more turn, so that the RST of every aborted connection is sent.
  host.turn();
  host.close();
  return exitCode;
}
