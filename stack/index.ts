/** The stack: `ft-tcp/stack`. */

export { AppEndpoint, EventQueue } from './app-endpoint.js';
export { AppEvent } from './app-event.js';
export type { SendOptions } from './context.js';
export { AddressBook, isV6 } from './ip/address-book.js';
export { mib } from './mib.js';
export type { StackObserver } from './observer.js';
export type { OutputGate } from './output-gate.js';
export { Raw, type RawEvents, RawSocket } from './raw.js';
export * from './sockets/index.js';
export { type AddInterface, Stack, type StackOptions } from './stack.js';
export { StackHost } from './stack-host.js';
export {
  type ConnectionCheckpoint,
  checkpoint,
  checkpointTimeWait,
  FIELDS,
  type FieldKind,
  restore,
  type TimeWaitCheckpoint,
} from './tcp/checkpoint.js';
export type { CongestionController, CongestionFactory } from './tcp/congestion/controller.js';
export { Cubic } from './tcp/congestion/cubic.js';
export { NewReno } from './tcp/congestion/new-reno.js';
export { type ConnectionSettings, TcpConnection, type TcpUser, Timer } from './tcp/connection.js';
export { TcpListener } from './tcp/handshake/listener.js';
export { LINUX_LISTEN, tcpInfo } from './tcp/info.js';
export { stateName, TcpState } from './tcp/state.js';
export { TCP_DEFAULTS, Tcp, type TcpOptions } from './tcp/tcp.js';
export { Udp, type UdpBind, type UdpEvents, UdpSocket } from './udp.js';
