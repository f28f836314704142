/** The error type that users meet, and the reading of codes from unknown values. */
import t from 'tap';
import { errorCode, FtError } from '../../lib/errors.js';

t.test('an error says what to do, last', async (t) => {
  const error = new FtError('ERR_FT_EXAMPLE', 'no such device', 'Create it first.');
  t.ok(error instanceof Error);
  t.equal(error.name, 'FtError');
  t.equal(error.code, 'ERR_FT_EXAMPLE');
  t.equal(error.message, 'no such device. Create it first.');
  t.equal(error.hint, 'Create it first.');
  t.match(
    String(error.stack),
    /^FtError: no such device\. Create it first\.|^Error: no such device\. Create it first\./,
  );
});

t.test('without a hint the message stays as it is', async (t) => {
  const error = new FtError('EINVAL', 'bad prefix');
  t.equal(error.message, 'bad prefix');
  t.equal(error.hint, '');
});

t.test('only a string code counts', async (t) => {
  t.equal(errorCode(new FtError('EINVAL', 'x')), 'EINVAL');
  t.equal(errorCode(Object.assign(new Error('x'), { code: 'ENOENT' })), 'ENOENT');
  t.equal(errorCode({ code: 'E1' }), 'E1');
  const without: unknown[] = [undefined, null, 'EINVAL', 5, {}, new Error('x'), { code: 5 }, { code: undefined }];
  for (const value of without) t.equal(errorCode(value), undefined, String(value));
});
