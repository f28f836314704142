/**
 * The programs of `npm run ecosystem`: packages of the registry, a server that uses them, and a
 * client. `programs/NAME.server.mjs` and `programs/NAME.client.mjs` have the code.
 */

/** One program. */
export interface EcosystemProgram {
  name: string;
  /** Packages and their versions, those of the client included; the first one is reported. */
  packages: Record<string, string>;
  /** It is part of `--quick`. */
  isQuick?: boolean;
  /** Options of `ft-tcp run`. */
  options?: string[];
}

/** All programs, in the order in which they run. */
export const PROGRAMS: readonly EcosystemProgram[] = [
  { name: 'express', packages: { express: '5.1.0', 'body-parser': '2.2.0' }, isQuick: true },
  { name: 'fastify', packages: { fastify: '5.6.0' } },
  { name: 'koa', packages: { koa: '3.0.1' } },
  { name: 'hono', packages: { hono: '4.9.6', '@hono/node-server': '1.19.0' } },
  { name: 'ws', packages: { ws: '8.18.3' }, isQuick: true },
  { name: 'socketio', packages: { 'socket.io': '4.8.1', 'socket.io-client': '4.8.1' }, isQuick: true },
  { name: 'grpc', packages: { '@grpc/grpc-js': '1.13.4' }, options: ['--log-size', '64'] },
  { name: 'mqtt', packages: { aedes: '0.51.3', mqtt: '5.14.0' } },
  { name: 'sse', packages: {}, isQuick: true },
  { name: 'auth', packages: { jsonwebtoken: '9.0.2', bcryptjs: '3.0.2', express: '5.1.0' } },
  { name: 'axios', packages: { axios: '1.11.0' }, isQuick: true },
  { name: 'undici', packages: { undici: '7.15.0' } },
  { name: 'graphql', packages: { graphql: '16.11.0' } },
  { name: 'got', packages: { got: '14.4.7' } },
  { name: 'http-proxy', packages: { 'http-proxy': '1.18.1' } },
  { name: 'jose', packages: { jose: '6.0.12' } },
  { name: 'multer', packages: { multer: '2.0.2', express: '5.1.0' } },
  { name: 'pino', packages: { pino: '9.9.0', express: '5.1.0' } },
  { name: 'bcrypt', packages: { bcrypt: '6.0.0', express: '5.1.0' } },
  { name: 'argon2', packages: { argon2: '0.44.0', express: '5.1.0' } },
  { name: 'node-rs-bcrypt', packages: { '@node-rs/bcrypt': '1.10.7', express: '5.1.0' } },
  {
    name: 'better-sqlite3',
    packages: { 'better-sqlite3': '12.2.0', express: '5.1.0' },
    options: ['--allow-addon', 'better-sqlite3'],
  },
  { name: 'ioredis', packages: { ioredis: '5.7.0' } },
  {
    name: 'nest',
    packages: {
      '@nestjs/core': '11.1.6',
      '@nestjs/common': '11.1.6',
      '@nestjs/platform-express': '11.1.6',
      rxjs: '7.8.2',
      'reflect-metadata': '0.2.2',
    },
  },
  { name: 'winston', packages: { winston: '3.17.0', express: '5.1.0' } },
];
