/**
 * Functions of Node as they are when this module is loaded. The runtime replaces them for a program
 * while its events run, and the start of a program is one event of many turns: a call that the
 * replica makes for itself in it must not be taken for one of the program.
 */
import fs from 'node:fs';

export const {
  accessSync,
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} = fs;

/** Sends a signal to a process; 0 asks whether it exists. Throws what `process.kill` throws. */
export const kill: typeof process.kill = process.kill.bind(process);

/** The user that this process runs as; undefined where there are none. */
export const geteuid: (() => number) | undefined = process.geteuid?.bind(process);
