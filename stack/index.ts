/** The stack: `ft-tcp/stack`. */

export type { OutputGate } from '../lib/device/output-gate.js';
export { AppEndpoint, EventQueue } from './app-endpoint.js';
export { AddressBook, isV6 } from './core/address-book.js';
export type { SendOptions } from './core/context.js';
export type { TcpRoute } from './core/tcp-route.js';
export { mib } from './mib.js';
export { Raw, type RawEvents, RawSocket } from './raw.js';
export * from './sockets/index.js';
export { type AddInterface, Stack, type StackOptions } from './stack.js';
export { StackHost } from './stack-host.js';
export { AppEvent } from './tcp/app-event.js';
export {
  type ConnectionCheckpoint,
  checkpoint,
  checkpointTcp,
  checkpointTimeWait,
  FIELDS,
  type FieldKind,
  restore,
  restoreTcp,
  type TcpCheckpoint,
} from './tcp/checkpoint.js';
export type { CongestionController, CongestionFactory } from './tcp/congestion/controller.js';
export { Cubic } from './tcp/congestion/cubic.js';
export { NewReno } from './tcp/congestion/new-reno.js';
export { TcpConnection, type TcpUser, Timer } from './tcp/connection.js';
export type { TcpHost } from './tcp/context.js';
export { TcpListener } from './tcp/handshake/listener.js';
export { LINUX_LISTEN, tcpInfo } from './tcp/info.js';
export type { StackObserver } from './tcp/observer.js';
export { type ConnectionSettings, TCP_DEFAULTS, type TcpOptions } from './tcp/options.js';
export { stateName, TcpState } from './tcp/state.js';
export { Tcp } from './tcp/tcp.js';
export type { TimeWaitCheckpoint, TimeWaitEntry } from './tcp/time-wait.js';
export * as tcpCalls from './tcp/user-calls.js';
export { Udp, type UdpBind, type UdpEvents, UdpSocket } from './udp.js';
