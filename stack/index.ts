/** The stack: `ft-tcp/stack`. */

export { AppEndpoint, EventQueue } from './app-endpoint.js';
export { StackHost } from './loop.js';
export * from './observer.js';
export * from './sockets/index.js';
export { type AddInterface, Stack, type StackOptions } from './stack.js';
export { Cubic } from './tcp/congestion/cubic.js';
export { NewReno } from './tcp/congestion/new-reno.js';
export { TcpConnection } from './tcp/connection.js';
export { stateName, TcpState } from './tcp/state.js';
export { TCP_DEFAULTS, Tcp, type TcpOptions } from './tcp/tcp.js';
export { Udp, type UdpEvents, UdpSocket } from './udp.js';
