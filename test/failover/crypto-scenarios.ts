/** Programs that compare keys, signatures and ciphers which other threads compute. */
import crypto from 'node:crypto';
import { promisify } from 'node:util';
import type { Program } from './runtime-harness.js';

const TEXT = Buffer.from('of the program');

function hex(bytes: ArrayBuffer | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array)
    .toString('hex')
    .slice(0, 32);
}

/** Asymmetric keys: made, exported, used, and kept. */
const asymmetric: Program = async ({ trace, done }) => {
  const { subtle } = globalThis.crypto;
  const ec = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pair = await subtle.generateKey(ec, false, ['sign', 'verify']);
  const { publicKey, privateKey } = pair as crypto.webcrypto.CryptoKeyPair;
  trace(privateKey.extractable, privateKey.usages, publicKey.type, hex(await subtle.exportKey('spki', publicKey)));
  const signature = await subtle.sign(ec, privateKey, TEXT);
  trace(hex(signature), await subtle.verify(ec, publicKey, signature, TEXT));
  const generate = promisify(crypto.generateKeyPair);
  const keys = await generate('ed25519');
  trace(keys.publicKey.export({ type: 'spki', format: 'pem' }), keys.privateKey.type);
  trace(hex(crypto.sign(null, TEXT, keys.privateKey)));
  const pem = await generate('rsa', {
    modulusLength: 1024,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  trace(pem.publicKey);
  done();
};

/** Secret keys and ciphers, in any order, and what Node refuses. */
const symmetric: Program = async ({ trace, done }) => {
  const { subtle } = globalThis.crypto;
  const key = await subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt', 'decrypt']);
  const iv = crypto.randomBytes(12);
  const sealing = subtle.encrypt({ name: 'AES-GCM', iv }, key, TEXT);
  const before = Buffer.from(iv);
  iv.fill(0);
  const sealed = await sealing;
  trace(hex(sealed), hex(await subtle.exportKey('raw', key)));
  const opened = await subtle.decrypt({ name: 'AES-GCM', iv: before }, key, sealed);
  trace(Buffer.from(opened).toString(), opened instanceof ArrayBuffer);
  const digests = ['SHA-1', 'SHA-512', 'SHA-256'].map(async (name) =>
    trace(name, hex(await subtle.digest(name, TEXT))),
  );
  await Promise.all(digests);
  try {
    await subtle.decrypt({ name: 'AES-GCM', iv }, key, sealed);
  } catch (error) {
    trace((error as Error).name, error instanceof DOMException);
  }
  const secret = await subtle.importKey('raw', TEXT, 'PBKDF2', false, ['deriveBits', 'deriveKey']);
  const how = { name: 'PBKDF2', salt: before, iterations: 10, hash: 'SHA-256' };
  trace(hex(await subtle.deriveBits(how, secret, 128)));
  const derived = await subtle.deriveKey(how, secret, { name: 'AES-CBC', length: 128 }, true, ['encrypt']);
  trace((await subtle.exportKey('jwk', derived)).k);
  done();
};

export const cryptoScenarios: Record<string, Program> = { asymmetric, symmetric };
