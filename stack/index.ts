/** The stack: `ft-tcp/stack`. */
export * from './observer.js';
export * from './sockets/index.js';
export { AppEndpoint, EventQueue } from './app-endpoint.js';
export { Cubic } from './tcp/congestion/cubic.js';
export { NewReno } from './tcp/congestion/new-reno.js';
export { StackHost } from './loop.js';
export { Stack, type AddInterface, type StackOptions } from './stack.js';
export { TcpConnection } from './tcp/connection.js';
export { stateName, TcpState } from './tcp/state.js';
export { Tcp, TCP_DEFAULTS, type TcpOptions } from './tcp/tcp.js';
export { Udp, UdpSocket, type UdpEvents } from './udp.js';
