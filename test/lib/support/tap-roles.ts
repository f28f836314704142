/** Child processes of the tests of TAP devices, by role: `node tap-roles.js ROLE OPTIONS`. */
import { writeSync } from 'node:fs';
import { TapDevice, type TapOptions } from '../../../lib/device/tap.js';
import { errorCode, FtError } from '../../../lib/errors.js';

import { isUdp, split } from './tap-lab.js';

const roles: Record<string, (...args: string[]) => void> = {
  /** Opens a device, reports what it sees, and holds it. */
  hold(options: string) {
    let frames = 0;
    const device = TapDevice.open(JSON.parse(options) as TapOptions);
    device.start({
      onFrames: (batch) => {
        for (const frame of split(batch)) if (isUdp(frame)) frames++;
      },
      onWritable: () => {},
    });
    process.stdin.on('data', () => writeSync(1, `${frames}\n`));
    writeSync(1, 'ready\n');
  },
  /** Tries to open a device and prints the error. */
  open(options: string) {
    try {
      TapDevice.open(JSON.parse(options) as TapOptions);
      writeSync(1, 'opened\n');
    } catch (error) {
      writeSync(1, `${errorCode(error)} ${error instanceof FtError ? error.hint : 'not an FtError'}\n`);
    }
    process.exit();
  },
};

roles[process.argv[2]](...process.argv.slice(3));
